import { describe, expect, it } from 'vitest';
import { testRandom, themedVectors } from '../../test-support/vectors.js';
import { buildStaircase, type StaircaseOptions } from '../build/staircase.js';
import { drawFromRow, judge, keepCeiling, mechanismOf, tableMechanism } from '../mechanisms/mechanism.js';
import { noisyMaxProbabilities } from '../mechanisms/noisy-max.js';
import { ReplyMemo } from '../memo.js';
import { SystemSource } from '../random/source.js';
import { certify } from '../table/certificate.js';
import { TableSampler } from '../table/sampler.js';
import { audit } from './audit.js';
import { BigramModel, hmmGuess } from './hmm.js';
import {
  attributeLeak,
  bayesSuccess,
  inversionSuccess,
  keepRate,
  replaySuccess,
  tableAttributeLeak,
  tableBayesSuccess,
  wireSuccess,
} from './inference.js';
import { clopperPearson, incompleteBeta, wordPrior } from './statistics.js';

const options: StaircaseOptions = {
  name: 'ours',
  provenance: 'made up',
  notion: 'ldp-within-block',
  epsilon: '1',
  k: 20,
  m: 5,
};
const vectors = themedVectors(200);
const table = buildStaircase(vectors, options);
const mechanism = tableMechanism(table);
const source = new SystemSource();

describe('statistics', () => {
  it('knows beta tails and exact intervals', () => {
    expect(incompleteBeta(0.3, 1, 1)).toBeCloseTo(0.3, 12);
    // P(Bin(5, 0.4) >= 3)
    expect(incompleteBeta(0.4, 3, 3)).toBeCloseTo(0.31744, 10);
    // Textbook: 10 of 100 gives 4.90 % to 17.62 %.
    const { low, high } = clopperPearson(10, 100);
    expect(low).toBeCloseTo(0.04901, 4);
    expect(high).toBeCloseTo(0.17622, 4);
    expect(clopperPearson(0, 50)).toMatchObject({ rate: 0, low: 0 });
    expect(clopperPearson(50, 50).high).toBe(1);
    expect(clopperPearson(500_000, 1_000_000).low).toBeCloseTo(0.49902, 5);
  });
});

describe('token inference', () => {
  it('is at the ceiling with a uniform prior, and both ways to compute it agree', () => {
    const uniform = wordPrior(200, 'uniform');
    const success = bayesSuccess(mechanism, uniform);
    expect(success).toBeCloseTo(keepRate(mechanism, uniform), 10);
    expect(tableBayesSuccess(table, uniform)).toBeCloseTo(success, 12);
    expect(success).toBeLessThanOrEqual(keepCeiling(1, 20));
    const response = tableMechanism(buildStaircase(vectors, { ...options, m: 1 }));
    expect(bayesSuccess(response, uniform)).toBeCloseTo(keepCeiling(1, 20), 6);
  });

  it('is what a guesser reaches in practice', () => {
    const zipf = wordPrior(200, 'zipf');
    const exact = bayesSuccess(mechanism, zipf);
    const once = replaySuccess(mechanism, zipf, (input) => mechanism.sample(input, source), {
      repetitions: [1],
      trials: 20_000,
      source,
    });
    expect(Math.abs(once[0]!.rate - exact)).toBeLessThan(0.02);
  });

  it('knows the whole-vocabulary notion', () => {
    const whole = buildStaircase(themedVectors(60), {
      ...options,
      notion: 'ldp-whole-vocabulary',
      epsilon: '4',
      k: 10,
      nearBlocks: 2,
    });
    const prior = wordPrior(60, 'zipf');
    const sampler = new TableSampler(whole);
    const counts = new Map<number, Float64Array>();
    const draws = 20_000;
    for (let x = 0; x < 60; x++) {
      for (let i = 0; i < draws; i++) {
        const y = sampler.draw(x, source);
        const column = counts.get(y) ?? new Float64Array(60);
        column[x]! += prior[x]! / draws;
        counts.set(y, column);
      }
    }
    const simulated = [...counts.values()].reduce((sum, column) => sum + Math.max(...column), 0);
    expect(tableBayesSuccess(whole, prior)).toBeCloseTo(simulated, 2);
  });

  it('counts inversions exactly: of one guess, the kept words', () => {
    const prior = wordPrior(200, 'zipf');
    expect(inversionSuccess(mechanism, vectors, prior, 1)).toBeCloseTo(keepRate(mechanism, prior), 10);
    expect(inversionSuccess(mechanism, vectors, prior, 10)).toBeGreaterThan(
      inversionSuccess(mechanism, vectors, prior, 5),
    );
    expect(inversionSuccess(mechanism, vectors, prior, 200)).toBeCloseTo(1, 10);
  });
});

describe('embedding wire', () => {
  it('gives away every word, even when its vector travels in half precision', () => {
    const words = Array.from({ length: 200 }, (_, i) => i);
    const received = words.map((i) =>
      vectors.values.slice(8 * i, 8 * i + 8).map((v) => Math.round(v * 512) / 512),
    );
    expect(wireSuccess(vectors, words, received)).toBe(1);
  });
});

describe('replay', () => {
  it('wins without a memo and stays flat with one', () => {
    const prior = wordPrior(200, 'zipf');
    const sampler = new TableSampler(table);
    const repetitions = [1, 10, 100, 1000];
    const bare = replaySuccess(mechanism, prior, (input) => sampler.draw(input, source), {
      repetitions,
      trials: 200,
      source,
    });
    // Not 1: words of a block with the same near words stay indistinguishable for ever.
    expect(bare[3]!.low).toBeGreaterThan(0.75);
    expect(bare[3]!.rate).toBeGreaterThan(bare[0]!.rate + 0.5);
    // Every trial is another user with another key.
    const newUser = () => new ReplyMemo(ReplyMemo.newKey(), 0).context('digest', 'talk');
    let [context, last] = [newUser(), 0];
    const kept = replaySuccess(
      mechanism,
      prior,
      (input, repetition) => {
        if (repetition < last) context = newUser();
        last = repetition;
        return sampler.draw(input, context.word(input));
      },
      { repetitions, trials: 200, source },
    );
    expect(kept[3]!.rate).toBe(kept[0]!.rate);
    expect(kept[3]!.high).toBeLessThan(bare[3]!.low);
  });
});

describe('attributes', () => {
  it('leak through blocks at any epsilon when blocks are built on them', () => {
    const random = testRandom(5);
    const labels = Int32Array.from({ length: 200 }, () => (random() < 0.5 ? 0 : 1));
    const prior = wordPrior(200, 'uniform');
    const task = buildStaircase(vectors, {
      ...options,
      epsilon: '0.01',
      coordinates: [{ values: Float64Array.from(labels), weight: 5 }],
    });
    const neutral = buildStaircase(vectors, { ...options, epsilon: '0.01' });
    const byTask = attributeLeak(tableMechanism(task), prior, labels);
    const byNeutral = attributeLeak(tableMechanism(neutral), prior, labels);
    expect(byTask.fromBlock).toBeGreaterThan(0.95);
    expect(byNeutral.fromBlock).toBeLessThan(0.75);
    expect(byNeutral.fromBlock).toBeGreaterThanOrEqual(byNeutral.blind);
    expect(byNeutral.fromOutput).toBeGreaterThanOrEqual(byNeutral.fromBlock);
    expect(attributeLeak(mechanism, prior, labels).fromOutput).toBeGreaterThan(byNeutral.fromOutput);
  });
});

describe('attributes with hidden blocks', () => {
  it('are what counting over all pairs of words gives', () => {
    const whole = buildStaircase(themedVectors(60), {
      ...options,
      ...{ notion: 'ldp-whole-vocabulary', epsilon: '4', k: 10, nearBlocks: 2 },
    });
    const labels = Int32Array.from({ length: 60 }, (_, id) => (id % 3) - 1);
    const prior = wordPrior(60, 'zipf');
    const sampler = new TableSampler(whole);
    const draws = 20_000;
    const columns = Array.from({ length: 60 }, () => new Float64Array(2));
    let mass = 0;
    for (let x = 0; x < 60; x++) {
      if (labels[x]! < 0) continue;
      mass += prior[x]!;
      for (let i = 0; i < draws; i++) columns[sampler.draw(x, source)]![labels[x]!]! += prior[x]! / draws;
    }
    const simulated = columns.reduce((sum, column) => sum + Math.max(...column), 0) / mass;
    const { fromOutput, fromBlock, blind } = tableAttributeLeak(whole, null, prior, labels);
    expect(fromOutput).toBeCloseTo(simulated, 2);
    expect(fromBlock).toBe(blind);
  });
});

describe('HMM', () => {
  // A language in which every word has two successors.
  const random = testRandom(9);
  const sentence = (length: number) => {
    const words = [Math.floor(random() * 200)];
    while (words.length < length) words.push((7 * words.at(-1)! + 13 + Math.floor(random() * 2)) % 200);
    return words;
  };
  const model = new BigramModel(
    Array.from({ length: 400 }, () => sentence(20)),
    200,
  );

  it('has probabilities that add up', () => {
    for (const before of [-1, 0, 77]) {
      let sum = 0;
      for (let word = 0; word < 200; word++) sum += model.probability(before, word);
      expect(sum).toBeCloseTo(1, 10);
    }
  });

  it('finds more than guessing word by word', () => {
    let [marginal, path, kept, total] = [0, 0, 0, 0];
    for (let i = 0; i < 40; i++) {
      const words = sentence(20);
      const outputs = words.map((word) => mechanism.sample(word, source));
      const guess = hmmGuess(mechanism, model, outputs);
      words.forEach((word, t) => {
        total++;
        if (guess.marginal[t] === word) marginal++;
        if (guess.path[t] === word) path++;
        if (outputs[t] === word) kept++;
      });
    }
    expect(marginal / total).toBeGreaterThan(0.9);
    expect(path / total).toBeGreaterThan(0.9);
    expect(kept / total).toBeLessThan(0.2);
    expect(hmmGuess(mechanism, model, [])).toEqual({ marginal: [], path: [] });
  });
});

describe('audit over a million draws', () => {
  it('stays below the certificate of our table, though close to it', () => {
    const certificate = certify(table);
    const sampler = new TableSampler(table);
    const found = audit(
      table.blocks[0]!.members,
      (input, from) => sampler.draw(input, from),
      source,
      1_000_000,
    );
    expect(found.epsilonAtLeast).toBeLessThan(certificate.epsilon);
    expect(found.epsilonAtLeast).toBeGreaterThan(0.8);
  });

  it('finds noisy max with D/eps above its nominal epsilon', () => {
    const synthetic = mechanismOf('synthetic', 'epsilon 1', [Uint32Array.of(0, 1)], (x) => ({
      outputs: Uint32Array.from({ length: 100 }, (_, y) => y),
      probabilities: noisyMaxProbabilities(
        Float64Array.from({ length: 100 }, (_, y) => ((y === 0) === (x === 0) ? 1 : 0)),
        1,
        'laplace',
      ),
    }));
    const found = audit(
      synthetic.groups[0]!,
      (input, from) => drawFromRow(synthetic.row(input), from),
      source,
      1_000_000,
    );
    expect(found.epsilonAtLeast).toBeGreaterThan(1.5);
    expect(found.epsilonAtLeast).toBeLessThan(judge(synthetic).epsilon);
  });
});
