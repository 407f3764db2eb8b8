import { expect, it } from 'vitest';
import { createCleartextEvaluator } from '../../cleartext/index.js';
import { clenshaw, evaluateChebyshevProductGuarded } from './index.js';

const slots = 512;
const grid = Float64Array.from({ length: slots }, (_, i) => -1 + (2 * i) / (slots - 1));
const factors = Float64Array.from({ length: slots }, (_, i) => Math.cos(5 * i));

/** Even coefficients with a linear term. */
const series = (degree: number): number[] =>
  Array.from({ length: degree + 1 }, (_, i) =>
    i === 1 ? 0.5 : i % 2 === 0 ? Math.cos(3 * i + 1) / (1 + i) : 0,
  );

function run(coefficients: readonly number[], levels: number) {
  const ev = createCleartextEvaluator({ slots, levels, logScale: 40 });
  const x = ev.fromSlots({ re: grid, im: null });
  const y = ev.fromSlots({ re: factors, im: null });
  const { value, guard } = evaluateChebyshevProductGuarded(ev, x, y, coefficients);
  return {
    value: ev.toSlots(value).re,
    guard: ev.toSlots(guard).re,
    levels: ev.levelOf(value),
    ev,
    guarded: guard,
  };
}

it('is the factor times the series, in as many levels as the series alone', () => {
  for (let degree = 2; degree <= 126; degree += 2) {
    const c = series(degree);
    const depth = Math.ceil(Math.log2(degree + 2));
    const { value, guard, levels, ev, guarded } = run(c, depth);
    expect(levels, `degree ${degree}`).toBe(0);
    expect(ev.levelOf(guarded)).toBe(1);
    for (let i = 0; i < slots; i++) {
      expect(Math.abs(value[i]! - factors[i]! * clenshaw(c, grid[i]!))).toBeLessThan(2 ** -34);
      expect(Math.abs(guard[i]! - Math.cos(2 ** (depth - 1) * Math.acos(grid[i]!)))).toBeLessThan(2 ** -30);
    }
  }
});

it('costs a few products more than the series and a product after it', () => {
  const products = (degree: number): number => run(series(degree), 7).ev.counts.relinearisations;
  expect(products(14)).toBeLessThanOrEqual(7);
  expect(products(22)).toBeLessThanOrEqual(9);
  expect(products(30)).toBeLessThanOrEqual(11);
});

it('refuses odd terms, constants and too few levels', () => {
  expect(() => run([0, 1, 0, 0.5], 5)).toThrow(/HE_DEGREE/);
  expect(() => run([1], 5)).toThrow(/HE_DEGREE/);
  expect(() => run([1, 0.5], 5)).toThrow(/HE_DEGREE/);
  expect(() => run(series(30), 4)).toThrow(/HE_LEVEL_EXHAUSTED/);
  const ev = createCleartextEvaluator({ slots, levels: 6, logScale: 40 });
  const [x, y] = [6, 5].map((level) => ev.fromSlots({ re: grid, im: null }, level));
  expect(() => evaluateChebyshevProductGuarded(ev, x!, y!, series(6))).toThrow(/HE_LEVEL_MISMATCH/);
});
