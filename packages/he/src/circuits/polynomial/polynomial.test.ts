import { describe, expect, it } from 'vitest';
import { createCleartextEvaluator } from '../../cleartext/index.js';
import {
  clenshaw,
  evaluateChebyshev,
  fitChebyshev,
  maxError,
  planChebyshev,
  polynomialDepth,
} from './index.js';

const slots = 1024;
const grid = Float64Array.from({ length: slots }, (_, i) => -1 + (2 * i) / (slots - 1));

function worstAgainstClenshaw(coefficients: number[] | Float64Array, levels = 8) {
  const ev = createCleartextEvaluator({ slots, levels, logScale: 40 });
  const x = ev.fromSlots({ re: grid, im: null });
  const y = evaluateChebyshev(ev, x, coefficients);
  const got = ev.toSlots(y).re;
  let worst = 0;
  for (let i = 0; i < slots; i++) worst = Math.max(worst, Math.abs(got[i] - clenshaw(coefficients, grid[i])));
  return { worst, level: y.level, counts: ev.counts };
}

describe('evaluateChebyshev', () => {
  it('agrees with the direct sum at every degree and uses the smallest depth', () => {
    for (let degree = 1; degree <= 127; degree++) {
      const c = Array.from({ length: degree + 1 }, (_, i) => Math.cos(3 * i * i + 1) / (1 + i / 8));
      const { worst, level } = worstAgainstClenshaw(c);
      expect(worst, `degree ${degree}`).toBeLessThan(2 ** -36);
      expect(8 - level).toBe(Math.ceil(Math.log2(degree + 1)));
      expect(polynomialDepth(degree)).toBe(8 - level);
    }
  });

  it('exploits parity: fewer products than the full series', () => {
    for (const degree of [7, 15, 30, 31, 62, 63, 127]) {
      for (const parity of [0, 1]) {
        const top = degree % 2 === parity ? degree : degree - 1;
        const c = Array.from({ length: top + 1 }, (_, i) => (i % 2 === parity ? Math.sin(i + 1) : 0));
        const full = c.map((v, i) => (v === 0 ? Math.cos(i) + 0.1 : v));
        const { worst, counts } = worstAgainstClenshaw(c);
        expect(worst).toBeLessThan(2 ** -36);
        const plan = planChebyshev(c);
        expect(counts.products).toBe(plan.products);
        expect(counts.relinearisations).toBe(plan.relinearisations);
        expect(plan.products).toBeLessThanOrEqual(planChebyshev(full).products);
      }
    }
  });

  it('keeps the products near the square-root bound', () => {
    const products = (degree: number) => planChebyshev(Array.from({ length: degree + 1 }, () => 1)).products;
    expect(products(3)).toBeLessThanOrEqual(2);
    expect(products(7)).toBeLessThanOrEqual(5);
    expect(products(15)).toBeLessThanOrEqual(8);
    expect(products(31)).toBeLessThanOrEqual(13);
    expect(products(63)).toBeLessThanOrEqual(20);
    expect(products(127)).toBeLessThanOrEqual(33);
  });

  it('refuses a ciphertext that is too low', () => {
    const ev = createCleartextEvaluator({ slots, levels: 3, logScale: 40 });
    const x = ev.fromSlots({ re: grid, im: null });
    expect(() => evaluateChebyshev(ev, x, new Array(16).fill(1))).toThrow(/HE_LEVEL_EXHAUSTED/);
  });
});

describe('fitChebyshev', () => {
  it('minimax is never worse than interpolation and levels the error', () => {
    for (const [f, interval] of [
      [(x: number) => 1 / Math.sqrt(x), [0.25, 4]],
      [(x: number) => 1 / x, [1, 32]],
      [(x: number) => x / (1 + Math.exp(-x)), [-8, 8]],
      [(x: number) => Math.exp(x), [-10, 1]],
    ] as const) {
      for (const degree of [7, 15, 31]) {
        const minimax = maxError(fitChebyshev(f, interval, degree), f);
        const plain = maxError(fitChebyshev(f, interval, degree, { method: 'interpolate' }), f);
        expect(minimax).toBeLessThanOrEqual(plain * 1.0001 + 1e-13);
      }
    }
  });

  it('matches the known minimax errors of 1/sqrt and 1/x', () => {
    const rsqrt = (x: number) => 1 / Math.sqrt(x);
    const relative = maxError(fitChebyshev(rsqrt, [1, 16], 15, { weight: Math.sqrt }), rsqrt, Math.sqrt);
    expect(relative).toBeGreaterThan(0.8e-4);
    expect(relative).toBeLessThan(1.3e-4);
    // Chebyshev: the minimax relative error of 1/x on [1, k] at degree d is 1/T_(d+1)((k+1)/(k-1)).
    const inverse = (x: number) => 1 / x;
    const exact = 1 / Math.cosh(16 * Math.acosh(33 / 31));
    const got = maxError(fitChebyshev(inverse, [1, 32], 15, { weight: (x) => x }), inverse, (x) => x);
    expect(got / exact).toBeGreaterThan(0.999);
    expect(got / exact).toBeLessThan(1.01);
  });

  it('keeps a parity exactly', () => {
    const series = fitChebyshev(Math.sin, [-3, 3], 15, { parity: 'odd' });
    expect([...series.coefficients].filter((c, i) => i % 2 === 0 && c !== 0)).toEqual([]);
    expect(maxError(series, Math.sin)).toBeLessThan(1e-10);
    const even = fitChebyshev(Math.cos, [-3, 3], 14, { parity: 'even' });
    expect(maxError(even, Math.cos)).toBeLessThan(1e-9);
  });

  it('refuses a pole', () => {
    expect(() => fitChebyshev((x) => 1 / x, [-1, 1], 7)).toThrow(/HE_FIT_INVALID/);
  });
});
