// Attack with context on sanitized SST-2: a hidden Markov model with Kneser-Ney bigrams of the training sentences against guessing word
// by word. Every word is sanitized.
//   node bench/sst2-context.mjs [--sentences 500]       (after sst2.mjs has cached the vectors)
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import {
  BigramModel,
  buildStaircase,
  clopperPearson,
  groupWords,
  hmmGuess,
  randomisedResponse,
  tableMechanism,
  taskValues,
} from '@sotto/privacy';
import { loadSst2 } from './sst2-data.mjs';
import { sanitize } from './sst2-draws.mjs';

const { values } = parseArgs({ options: { sentences: { type: 'string', default: '500' } } });
const data = loadSst2();
if (data === null) {
  console.log('skipped: needs ../shared/data/sst2 and the cache that sst2.mjs makes');
  process.exit(0);
}
const { vocabulary, counts } = data;
const sentences = data.held.slice(0, Number(values.sentences));
const inOrder = ({ items }) => items.map((id) => id ?? -1);
const model = new BigramModel(data.train.map(inOrder), vocabulary.words.length);

function attack(mechanism, name, epsilon) {
  const sanitized = sanitize(vocabulary, mechanism, 0, sentences, 1, 7).copies[0];
  const groupOf = [];
  for (const group of mechanism.groups) for (const word of group) groupOf[word] = group;
  const hits = { kept: 0, alone: 0, marginal: 0, path: 0 };
  let words = 0;
  sentences.forEach(({ items }, s) => {
    const places = items.flatMap((id, t) => (id === null || id < 0 ? [] : [t]));
    const outputs = places.map((t) => sanitized[s].items[t]);
    const { marginal, path } = hmmGuess(mechanism, model, outputs);
    places.forEach((t, i) => {
      words++;
      if (outputs[i] === items[t]) hits.kept++;
      if (bestAlone(mechanism, groupOf[outputs[i]], outputs[i]) === items[t]) hits.alone++;
      if (marginal[i] === items[t]) hits.marginal++;
      if (path[i] === items[t]) hits.path++;
    });
  });
  const rate = (count) => {
    const { rate: found, low, high } = clopperPearson(count, words);
    return [found, low, high].map((value) => Math.round(1e4 * value) / 1e4);
  };
  const line = {
    mechanism: name,
    epsilon,
    words,
    kept: rate(hits.kept),
    guessAloneTruePrior: rate(hits.alone),
    hmmForwardBackward: rate(hits.marginal),
    hmmViterbi: rate(hits.path),
  };
  console.log(JSON.stringify(line));
  return line;
}

const alone = new Map();
function bestAlone(mechanism, group, output) {
  const key = `${output}`;
  const known = alone.get(key);
  if (known !== undefined) return known;
  let [best, most] = [-1, -1];
  for (const word of group) {
    const row = mechanism.row(word);
    const score = counts[word] * row.probabilities[row.outputs.indexOf(output)];
    if (score > most) [best, most] = [word, score];
  }
  alone.set(key, best);
  return best;
}

const texts = [...data.phrases, ...data.train].map(({ items, label }) => ({
  words: items.filter((id) => id !== null),
  label,
}));
const coordinates = [{ values: taskValues(vocabulary.words.length, texts), weight: 1 }];
const lines = [];
for (const [name, extra] of [
  ['neutral', []],
  ['task', coordinates],
]) {
  const shared = { name, provenance: 'SST-2', notion: 'ldp-within-block', k: 20, m: 5, coordinates: extra };
  const groups = groupWords(vocabulary, shared);
  for (const epsilon of ['1', '3']) {
    alone.clear();
    lines.push(
      attack(
        tableMechanism(buildStaircase(vocabulary, { ...shared, epsilon }, groups)),
        `${name} 20,5`,
        Number(epsilon),
      ),
    );
  }
  if (extra.length === 0) {
    alone.clear();
    lines.push(attack(randomisedResponse(groups.groups, 3), 'k-ary response on the neutral blocks', 3));
  }
}
const folder = fileURLToPath(new URL('results', import.meta.url));
mkdirSync(folder, { recursive: true });
writeFileSync(
  `${folder}/sst2-context-attack.json`,
  `[\n${lines.map((line) => JSON.stringify(line)).join(',\n')}\n]\n`,
);
