import { clenshaw, fitChebyshev, maxError } from '@sotto/he/circuits';
import { silu } from '@sotto/model';
import { expect, test } from 'vitest';
import { inversePolynomial } from './polynomials.js';

// Worst relative errors of minimax polynomials by ratio of the interval's ends.
test.each([
  [4, 7, 3e-4],
  [16, 15, 6e-4],
  [64, 31, 6e-4],
  [128, 31, 7e-3],
  [256, 63, 7e-4],
  [1024, 63, 4e-2],
])('1/x on a ratio of %d by degree %d', (ratio, degree, table) => {
  const { coefficients, error } = inversePolynomial([1, ratio], degree);
  expect(coefficients.length).toBe(degree + 1);
  let worst = 0;
  for (let i = 0; i <= 4000; i++) {
    const u = Math.cos((Math.PI * i) / 4000);
    const x = (1 + ratio) / 2 + (u * (ratio - 1)) / 2;
    worst = Math.max(worst, Math.abs(x * clenshaw(coefficients, u) - 1));
  }
  expect(worst).toBeLessThan(1.2 * table);
  expect(worst / error).toBeCloseTo(1, 2);
});

test('below its window the inverse stays finite, above it explodes', () => {
  const { coefficients } = inversePolynomial([1, 256], 63);
  const at = (x: number): number => clenshaw(coefficients, (2 * x - 257) / 255);
  expect(Math.abs(at(0))).toBeLessThan(20);
  expect(Math.abs(at(1.2 * 256))).toBeGreaterThan(1e6);
});

test.each([
  [4, 15, 7e-9],
  [8, 7, 1.2e-3],
  [16, 15, 1e-4],
  [32, 15, 1.2e-3],
  [64, 31, 1e-4],
])('1/sqrt on a ratio of %d by degree %d', (ratio, degree, table) => {
  const f = (x: number): number => 1 / Math.sqrt(x);
  const series = fitChebyshev(f, [1, ratio], degree, { weight: (x) => Math.sqrt(x) });
  expect(maxError(series, f, (x) => Math.sqrt(x))).toBeLessThan(1.2 * table);
});

test.each([
  [6, 15, 7e-4],
  [8, 15, 4e-3],
  [10, 31, 8.5e-5],
])('SiLU within %d by degree %d', (radius, degree, table) => {
  const series = fitChebyshev(silu, [-radius, radius], degree);
  expect(maxError(series, silu)).toBeLessThan(1.2 * table);
});
