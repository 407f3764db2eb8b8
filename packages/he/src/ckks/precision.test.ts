import { expect, it } from 'vitest';
import { measurePrecision } from './precision.js';

it('states the bits of the worst, the best and the average slot', () => {
  const got = { re: Float64Array.of(1 + 2 ** -10, 2 - 2 ** -12, 3, 4 + 2 ** -14), im: null };
  const { re, im, all } = measurePrecision(got, { re: Float64Array.of(1, 2, 3, 4), im: null });
  expect(re.minBits).toBe(10);
  expect(re.maxBits).toBe(1074);
  expect(re.worstError).toBe(2 ** -10);
  expect(re.rmsError).toBeCloseTo(Math.sqrt((4 ** -10 + 4 ** -12 + 4 ** -14) / 4), 12);
  expect(im.worstError).toBe(0);
  expect(all.rmsBits).toBeCloseTo(re.rmsBits + 0.5, 10);
});

it('repeats a shorter expectation and does not hide a NaN', () => {
  const { re } = measurePrecision(
    { re: Float64Array.of(1, 2, 1, 2.5), im: null },
    { re: Float64Array.of(1, 2), im: null },
  );
  expect(re.worstError).toBe(0.5);
  const broken = measurePrecision(
    { re: Float64Array.of(Number.NaN, 0), im: null },
    { re: Float64Array.of(0), im: null },
  );
  expect(broken.re.rmsError).toBeNaN();
  expect(broken.re.worstError).toBeNaN();
});
