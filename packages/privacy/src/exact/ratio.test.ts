import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareRatios, expLowerBound, largestFractionBelow, logUpperBound, parseEpsilon } from './ratio.js';

describe('exact ratios', () => {
  it('reads decimals exactly and refuses the rest', () => {
    expect(parseEpsilon('0.50')).toEqual({ numerator: 1n, denominator: 2n });
    for (const bad of ['', '0', '-1', '1e3', '21', '1.', 'NaN', '0.0'])
      expect(() => parseEpsilon(bad)).toThrow(/Epsilon/);
  });

  it('bounds e^epsilon from below, closely', () => {
    for (const text of ['0.01', '0.5', '1', '2', '3', '6', '12.25']) {
      const { numerator, denominator } = expLowerBound(parseEpsilon(text));
      expect(Number(numerator) / Number(denominator) / Math.exp(Number(text))).toBeCloseTo(1, 13);
    }
    // First 30 decimals of e.
    const e = 2718281828459045235360287471352n;
    const { numerator, denominator } = expLowerBound({ numerator: 1n, denominator: 1n });
    expect((numerator * 10n ** 30n) / denominator).toBeLessThanOrEqual(e);
    expect(e - (numerator * 10n ** 30n) / denominator).toBeLessThan(10n);
  });

  it('finds the largest fraction below a bound, against exhaustive search', () => {
    fc.assert(
      fc.property(
        fc.bigInt(1n, 100000n),
        fc.bigInt(1n, 100000n),
        fc.bigInt(1n, 60n),
        (extra, denominator, largest) => {
          const bound = { numerator: denominator + extra, denominator };
          let best = { numerator: 0n, denominator: 1n };
          for (let b = 1n; b <= largest; b++) {
            const candidate = { numerator: (bound.numerator * b) / bound.denominator, denominator: b };
            if (compareRatios(candidate, best) > 0) best = candidate;
          }
          const found = largestFractionBelow(bound, largest);
          expect(found.denominator).toBeLessThanOrEqual(largest);
          expect(compareRatios(found, best)).toBe(0);
        },
      ),
      { numRuns: 400 },
    );
  });

  it('rounds logarithms up', () => {
    expect(logUpperBound({ numerator: 5n, denominator: 5n })).toBe(0);
    for (const [a, b] of [
      [2n, 1n],
      [1001n, 1000n],
      [10n ** 60n, 3n],
    ] as const) {
      const value = logUpperBound({ numerator: a, denominator: b });
      const plain = Math.log(Number(a) / Number(b));
      expect(value).toBeGreaterThanOrEqual(plain);
      expect(value - plain).toBeLessThan(1e-12);
    }
  });
});
