import { describe, expect, it } from 'vitest';
import { testRandom, themedVectors } from '../../test-support/vectors.js';
import { certify } from '../table/certificate.js';
import { encodeTable } from '../table/format.js';
import { balancedGroups } from './cluster.js';
import { buildStaircase, type StaircaseOptions } from './staircase.js';
import { wordVectors } from './vectors.js';

const options: StaircaseOptions = {
  name: 'test',
  provenance: 'made up',
  notion: 'ldp-within-block',
  epsilon: '1',
  k: 20,
  m: 5,
};

/** Sum of squared distances to the mean of the own group. */
function spread(rows: Float64Array, dimension: number, groups: readonly Uint32Array[]): number {
  let sum = 0;
  for (const ids of groups) {
    for (let d = 0; d < dimension; d++) {
      let mean = 0;
      for (const id of ids) mean += rows[id * dimension + d]! / ids.length;
      for (const id of ids) sum += (rows[id * dimension + d]! - mean) ** 2;
    }
  }
  return sum;
}

describe('balanced groups', () => {
  const random = testRandom(3);
  const dimension = 5;
  const rows = Float64Array.from({ length: 503 * dimension }, () => random());

  it('puts every row into one group, sizes differing by at most one', () => {
    for (const size of [2, 7, 20, 100, 503]) {
      const groups = balancedGroups(rows, dimension, size);
      expect([...groups.flatMap((group) => [...group])].sort((a, b) => a - b)).toEqual([
        ...Array(503).keys(),
      ]);
      const sizes = groups.map(({ length }) => length);
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
      expect(Math.min(...sizes)).toBeGreaterThanOrEqual(size);
    }
  });

  it('is tighter than groups by chance, and swaps make it tighter still', () => {
    const chance = balancedGroups(rows, dimension, 20).map((group, g) =>
      group.map((_, i) => (g + 25 * i) % 503),
    );
    const bisected = spread(rows, dimension, balancedGroups(rows, dimension, 20, 0));
    const swapped = spread(rows, dimension, balancedGroups(rows, dimension, 20));
    expect(bisected).toBeLessThan(0.6 * spread(rows, dimension, chance));
    expect(swapped).toBeLessThan(bisected);
  });
});

describe('buildStaircase', () => {
  it('gives the same bytes every time', () => {
    const a = encodeTable(buildStaircase(themedVectors(400), options));
    const b = encodeTable(buildStaircase(themedVectors(400), options));
    expect(Buffer.compare(a, b)).toBe(0);
  });

  it('is certified at its claim, which is just below e^epsilon', () => {
    for (const epsilon of ['0.01', '0.5', '1', '3', '6', '12']) {
      for (const [k, m] of [
        [2, 1],
        [8, 2],
        [20, 5],
        [50, 50],
      ] as const) {
        const table = buildStaircase(themedVectors(173), { ...options, epsilon, k, m });
        const certificate = certify(table);
        expect(certificate.holds).toBe(true);
        if (m < k) {
          const claimed = Number(table.claimed.numerator) / Number(table.claimed.denominator);
          expect(claimed).toBeLessThanOrEqual(Math.exp(Number(epsilon)) * (1 + 1e-12));
          expect(claimed / Math.exp(Number(epsilon))).toBeGreaterThan(0.999);
          expect(certificate.epsilon).toBeLessThanOrEqual(Number(epsilon) + 1e-12);
        }
      }
    }
  });

  it('certifies whole-vocabulary tables, unknown words included', () => {
    for (const [epsilon, epsilonWithin, nearBlocks] of [
      ['2', '1', 1],
      ['6', '3', 4],
      ['10', '1', 2],
    ] as const) {
      const table = buildStaircase(themedVectors(211), {
        ...options,
        notion: 'ldp-whole-vocabulary',
        epsilon,
        epsilonWithin,
        nearBlocks,
      });
      const certificate = certify(table);
      expect(certificate.holds).toBe(true);
      expect(certificate.epsilon).toBeLessThanOrEqual(Number(epsilon) + 1e-12);
      expect(certificate.epsilon).toBeGreaterThan(0.98 * Number(epsilon));
    }
  });

  it('never mixes common words with others', () => {
    const table = buildStaircase(themedVectors(400), { ...options, commonShare: 0.1 });
    expect(table.commonWords).toBe(40);
    for (const { members } of table.blocks) {
      expect(new Set([...members].map((id) => id < 40)).size).toBe(1);
    }
  });

  it('refuses shapes that make no table', () => {
    expect(() => buildStaircase(themedVectors(400), { ...options, m: 21 })).toThrow(/BUILD_INVALID/);
    expect(() => buildStaircase(themedVectors(10), options)).toThrow(/BUILD_INVALID/);
    expect(() =>
      buildStaircase(themedVectors(400), {
        ...options,
        notion: 'ldp-whole-vocabulary',
        epsilonWithin: '1.5',
        epsilon: '0.5',
      }),
    ).toThrow(/epsilonWithin/);
    expect(() => wordVectors(['a', 'a'], 1, new Float32Array(2))).toThrow(/VECTORS_INVALID/);
    expect(() => wordVectors(['a'], 1, new Float32Array([Number.NaN]))).toThrow(/VECTORS_INVALID/);
  });
});
