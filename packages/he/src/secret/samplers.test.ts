import { describe, expect, it } from 'vitest';
import { RandomSource } from './random-source.js';
import { GaussianSampler, sampleFixedWeight, sampleTernary } from './samplers.js';

/** Pearson's statistic; for k cells its mean is k - 1 and its standard deviation sqrt(2(k - 1)). */
function chiSquare(counts: readonly number[], expected: readonly number[]): number {
  return counts.reduce((sum, count, i) => sum + (count - expected[i]) ** 2 / expected[i], 0);
}

/** Seven standard deviations: a right sampler fails once in 10^9 runs or less. */
const limit = (cells: number) => cells - 1 + 7 * Math.sqrt(2 * (cells - 1)) + 20;

describe('uniform ternary', () => {
  it('takes the three values equally often, independently of the neighbour', () => {
    const n = 90_000;
    const s = sampleTernary(new RandomSource(), n);
    const counts = new Array<number>(9).fill(0);
    for (let i = 0; i + 1 < n; i += 2) counts[3 * (s[i] + 1) + s[i + 1] + 1]++;
    expect(
      chiSquare(
        counts,
        counts.map(() => n / 18),
      ),
    ).toBeLessThan(limit(9));
  });
});

describe('fixed weight', () => {
  it('has exactly the weight, spread evenly over positions and signs', () => {
    const [n, weight, runs] = [64, 16, 4000];
    const random = new RandomSource();
    const positions = new Array<number>(n).fill(0);
    let sum = 0;
    for (let run = 0; run < runs; run++) {
      const s = sampleFixedWeight(random, n, weight);
      expect(s.reduce((total, c) => total + Math.abs(c), 0)).toBe(weight);
      s.forEach((c, i) => {
        positions[i] += Math.abs(c);
        sum += c;
      });
    }
    expect(
      chiSquare(
        positions,
        positions.map(() => (runs * weight) / n),
      ),
    ).toBeLessThan(limit(n));
    expect(Math.abs(sum)).toBeLessThan(7 * Math.sqrt(runs * weight));
  });
});

describe('discrete Gaussian', () => {
  it.each([0.8, 3.19])('follows its distribution for std %f', (std) => {
    const n = 200_000;
    const sampler = new GaussianSampler(std);
    const x = sampler.sample(new RandomSource(), n);
    const reach = Math.ceil(3 * std);
    const weight = (k: number) => Math.exp((-k * k) / (2 * std * std));
    let total = 0;
    for (let k = -60; k <= 60; k++) total += weight(k);
    const expected: number[] = [];
    for (let k = -reach; k <= reach; k++) expected.push((n * weight(k)) / total);
    const tail = n - expected.reduce((sum, e) => sum + e, 0);
    const counts = new Array<number>(expected.length).fill(0);
    let beyond = 0;
    for (const value of x) {
      if (Math.abs(value) <= reach) counts[value + reach]++;
      else beyond++;
    }
    expect(chiSquare([...counts, beyond], [...expected, tail])).toBeLessThan(limit(expected.length + 1));
    expect(x.reduce((most, value) => Math.max(most, Math.abs(value)), 0)).toBeLessThanOrEqual(sampler.tail);
  });

  it('cuts its tail at about nine standard deviations', () => {
    const { tail } = new GaussianSampler(3.19);
    expect(tail).toBeGreaterThanOrEqual(28);
    expect(tail).toBeLessThanOrEqual(31);
  });
});

describe('random source', () => {
  it('is a stream of its seed, and different for every fresh source', () => {
    const seed = new Uint8Array(32).fill(7);
    expect(new RandomSource(seed).words(100)).toEqual(new RandomSource(seed).words(100));
    expect(new RandomSource().words(8)).not.toEqual(new RandomSource().words(8));
  });

  it('draws below a bound uniformly', () => {
    const random = new RandomSource();
    const counts = new Array<number>(5).fill(0);
    for (let i = 0; i < 50_000; i++) counts[random.below(5)]++;
    expect(
      chiSquare(
        counts,
        counts.map(() => 10_000),
      ),
    ).toBeLessThan(limit(5));
    expect(random.below(1)).toBe(0);
  });
});
