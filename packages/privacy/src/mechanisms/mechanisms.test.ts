import { describe, expect, it } from 'vitest';
import { testRandom, themedVectors } from '../../test-support/vectors.js';
import { buildStaircase } from '../build/staircase.js';
import { logUpperBound } from '../exact/ratio.js';
import { SystemSource } from '../random/source.js';
import {
  type CandidateList,
  custext,
  noisyMax,
  plainBlocks,
  randomisedResponse,
  santext,
} from './baselines.js';
import { ExactNoisyMax } from './exact-rnm.js';
import { judge, keepCeiling, type Mechanism, mechanismOf, tableMechanism } from './mechanism.js';
import { type Noise, noisyMaxProbabilities } from './noisy-max.js';

const vectors = themedVectors(120, 8);
const k = 20;
const blocks: CandidateList = { kind: 'blocks', blocks: plainBlocks(vectors, k) };
const epsilons = [0.5, 1, 3, 6];

/** Arg-max by simulation. */
function simulate(utilities: Float64Array, scale: number, noise: Noise, draws: number): Float64Array {
  const random = testRandom(11);
  const exponential = () => -Math.log(1 - random());
  const draw = () => {
    if (noise === 'gumbel') return -Math.log(exponential());
    return noise === 'exponential' ? exponential() : exponential() - exponential();
  };
  const counts = new Float64Array(utilities.length);
  for (let i = 0; i < draws; i++) {
    let [best, bestScore] = [0, Number.NEGATIVE_INFINITY];
    utilities.forEach((utility, y) => {
      const score = utility + scale * draw();
      if (score > bestScore) [best, bestScore] = [y, score];
    });
    counts[best]!++;
  }
  return counts.map((count) => count / draws);
}

describe('probabilities of a noisy arg-max', () => {
  it('agree with simulation', () => {
    const utilities = Float64Array.of(0.9, 0.1, 0.15, -0.4, 0.5, 0.5);
    for (const noise of ['laplace', 'exponential', 'gumbel'] as const) {
      const exact = noisyMaxProbabilities(utilities, 0.3, noise);
      expect(exact.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 12);
      const found = simulate(utilities, 0.3, noise, 200_000);
      // Five standard errors.
      exact.forEach((p, y) => {
        expect(Math.abs(p - found[y]!)).toBeLessThan(5 * Math.sqrt((p * (1 - p)) / 200_000));
      });
    }
  });

  it('agree with the closed form of two candidates', () => {
    // Difference of two Laplace variables: P(u1 wins) = 1 - e^-d (2 + d) / 4.
    for (const d of [0, 0.3, 2, 9]) {
      const [first] = noisyMaxProbabilities(Float64Array.of(d, 0), 1, 'laplace');
      expect(first).toBeCloseTo(1 - (Math.exp(-d) * (2 + d)) / 4, 12);
      const [flipped] = noisyMaxProbabilities(Float64Array.of(d, 0), 1, 'exponential');
      expect(flipped).toBeCloseTo(1 - Math.exp(-d) / 2, 12);
    }
  });
});

describe('verdicts', () => {
  const rnm = (epsilon: number, scale: 'D/eps' | '2D/eps' | 'calibrated', list: CandidateList = blocks) =>
    noisyMax(vectors, { epsilon, list, noise: 'laplace', scale });

  it('certified tables keep their epsilon', () => {
    for (const epsilon of epsilons) {
      const table = buildStaircase(vectors, {
        name: 'ours',
        provenance: 'made up',
        notion: 'ldp-within-block',
        epsilon: String(epsilon),
        k,
        m: 4,
      });
      expect(judge(tableMechanism(table)).epsilon).toBeLessThanOrEqual(epsilon + 1e-9);
    }
  });

  it('noisy max with D/eps breaks its epsilon, with 2D/eps wastes some, calibrated meets it', () => {
    for (const epsilon of [1, 3]) {
      const bare = judge(rnm(epsilon, 'D/eps'));
      expect(bare.epsilon).toBeGreaterThan(1.05 * epsilon);
      expect(bare.epsilon).toBeLessThanOrEqual(2 * epsilon);
      expect(judge(rnm(epsilon, '2D/eps')).epsilon).toBeLessThan(epsilon);
      const calibrated = judge(rnm(epsilon, 'calibrated')).epsilon;
      expect(calibrated).toBeLessThanOrEqual(epsilon);
      expect(calibrated).toBeGreaterThan(0.99 * epsilon);
    }
  });

  it('noisy max with D/eps leaks almost twice its epsilon on a block made for it', () => {
    // One input prefers the first output, another one dislikes it; everything else is equal.
    const synthetic = mechanismOf('synthetic', '', [Uint32Array.of(0, 1)], (x) => ({
      outputs: Uint32Array.from({ length: 100 }, (_, y) => y),
      probabilities: noisyMaxProbabilities(
        Float64Array.from({ length: 100 }, (_, y) => ((y === 0) === (x === 0) ? 1 : 0)),
        1,
        'laplace',
      ),
    }));
    const verdict = judge(synthetic);
    expect(verdict.epsilon).toBeGreaterThan(1.95);
    expect(verdict.epsilon).toBeLessThan(2);
    expect(verdict.pair).toEqual([0, 0, 1]);
  });

  it('lists that depend on the input have no finite epsilon', () => {
    for (const mechanism of [
      rnm(1, '2D/eps', { kind: 'nearest', k }),
      custext(vectors, 1, { k, mapping: 'aggressive' }),
      custext(vectors, 1, { k, mapping: 'conservative', kept: new Set([vectors.words[3]!]) }),
      santext(vectors, 1, { sensitiveShare: 0.9, replace: 0.3 }),
    ]) {
      const { epsilon, pair } = judge(mechanism);
      expect(epsilon).toBe(Number.POSITIVE_INFINITY);
      const probability = (input: number) => {
        const { outputs, probabilities } = mechanism.row(input);
        return outputs.includes(pair[0]) ? probabilities[outputs.indexOf(pair[0])]! : 0;
      };
      expect(probability(pair[1])).toBeGreaterThan(0);
      expect(probability(pair[2])).toBe(0);
    }
  });

  it('the others keep theirs; SANTEXT only per unit of distance', () => {
    for (const epsilon of epsilons) {
      const finite: Mechanism[] = [
        custext(vectors, epsilon, { k, mapping: 'conservative' }),
        noisyMax(vectors, { epsilon, list: blocks, noise: 'gumbel', scale: '2D/eps' }),
        noisyMax(vectors, { epsilon, list: blocks, noise: 'exponential', scale: '2D/eps' }),
        rnm(epsilon, '2D/eps', { kind: 'vocabulary' }),
        randomisedResponse(blocks.kind === 'blocks' ? blocks.blocks : [], epsilon),
      ];
      for (const mechanism of finite) expect(judge(mechanism).epsilon).toBeLessThanOrEqual(epsilon + 1e-9);
    }
    expect(judge(santext(vectors, 1)).epsilon).toBeGreaterThan(1);
  });

  it('the ceiling on keeping a word holds for what is private and does not catch noisy max with D/eps', () => {
    for (const epsilon of epsilons) {
      for (const mechanism of [
        custext(vectors, epsilon, { k, mapping: 'conservative' }),
        rnm(epsilon, '2D/eps'),
        randomisedResponse(blocks.kind === 'blocks' ? blocks.blocks : [], epsilon),
        ...(epsilon === 1 ? [rnm(epsilon, 'calibrated')] : []),
        noisyMax(vectors, { epsilon, list: blocks, noise: 'gumbel', scale: '2D/eps' }),
        noisyMax(vectors, { epsilon, list: blocks, noise: 'exponential', scale: '2D/eps' }),
        ...[1, 2, 5].map((m) =>
          tableMechanism(
            buildStaircase(vectors, {
              ...{ name: 'ours', provenance: 'made up', notion: 'ldp-within-block' },
              ...{ epsilon: String(epsilon), k, m },
            }),
          ),
        ),
      ]) {
        expect(meanKeep(mechanism)).toBeLessThanOrEqual(keepCeiling(epsilon, k) + 1e-12);
      }
    }
    expect(meanKeep(rnm(1, 'D/eps'))).toBeLessThan(keepCeiling(1, k));
    expect(meanKeep(santext(vectors, 6))).toBeGreaterThan(keepCeiling(6, vectors.words.length));
  });
});

function meanKeep(mechanism: Mechanism): number {
  let sum = 0;
  for (let x = 0; x < vectors.words.length; x++) {
    const { outputs, probabilities } = mechanism.row(x);
    sum += probabilities[outputs.indexOf(x)] ?? 0;
  }
  return sum / vectors.words.length;
}

describe('ExactNoisyMax', () => {
  it('has an exact epsilon just below the wanted one, and its table keeps it', () => {
    const mechanism = new ExactNoisyMax('1', 4);
    const epsilon = logUpperBound(mechanism.ratio);
    expect(epsilon).toBeLessThanOrEqual(1 + 1e-12);
    expect(epsilon).toBeGreaterThan(0.9999);
    const rows = [
      Uint8Array.of(4, 0, 0, 0, 0, 0),
      Uint8Array.of(0, 4, 4, 4, 4, 4),
      Uint8Array.of(3, 1, 4, 0, 2, 2),
    ].map((utilities) => mechanism.probabilities(utilities));
    for (const row of rows) expect(row.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 12);
    for (let y = 0; y < 6; y++) {
      const column = rows.map((row) => row[y]!);
      expect(Math.log(Math.max(...column) / Math.min(...column))).toBeLessThanOrEqual(epsilon + 1e-9);
    }
  });

  it('keeps words no more often than its epsilon allows', () => {
    const size = 6;
    for (const epsilon of [1, 3]) {
      const mechanism = new ExactNoisyMax(String(epsilon), 4);
      let keep = 0;
      for (let x = 0; x < size; x++) {
        const utilities = Uint8Array.from({ length: size }, (_, y) => Math.max(0, 4 - Math.abs(x - y)));
        keep += mechanism.probabilities(utilities)[x]! / size;
      }
      expect(keep).toBeLessThanOrEqual(keepCeiling(epsilon, size));
      expect(keep).toBeGreaterThan(1 / size);
    }
  });

  it('draws with those probabilities', () => {
    const mechanism = new ExactNoisyMax('3', 4);
    const utilities = Uint8Array.of(3, 1, 4, 0, 4);
    const expected = mechanism.probabilities(utilities);
    const source = new SystemSource();
    const counts = new Float64Array(5);
    for (let i = 0; i < 100_000; i++) counts[mechanism.sample(utilities, source)]!++;
    expected.forEach((p, y) => {
      expect(Math.abs(counts[y]! / 100_000 - p)).toBeLessThan(6 * Math.sqrt((p * (1 - p)) / 100_000));
    });
  });
});
