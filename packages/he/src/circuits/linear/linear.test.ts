import { describe, expect, it } from 'vitest';
import { createCleartextEvaluator } from '../../cleartext/index.js';
import {
  addMatrices,
  applyMatrix,
  composeMatrices,
  matrixFromEntries,
  matrixFromRows,
  scaleMatrix,
  smallestPeriod,
  sumRotations,
  sumSlots,
  transformRotations,
} from './index.js';

const slots = 16;
const x = {
  re: Float64Array.from({ length: slots }, (_, i) => Math.sin(i + 1)),
  im: Float64Array.from({ length: slots }, (_, i) => Math.cos(2 * i)),
};
const rows = Array.from({ length: slots }, (_, i) =>
  Array.from({ length: slots }, (_, j) => ((i * 7 + j * 3) % 5 === 0 ? Math.cos(i - 2 * j) : 0)),
);

describe('matrices by diagonals', () => {
  it('act as the dense matrix, directly and as a transform', () => {
    const matrix = matrixFromRows(slots, rows);
    const ev = createCleartextEvaluator({ slots, levels: 1, logScale: 40 });
    const transform = ev.compileTransform(matrix, { level: 1, babySteps: 4 });
    const direct = applyMatrix(matrix, x, slots);
    const got = ev.toSlots(ev.transformNew(ev.fromSlots(x), transform));
    for (let i = 0; i < slots; i++) {
      const want = rows[i].reduce((s, v, j) => s + v * x.re[j], 0);
      expect(direct.re[i]).toBeCloseTo(want, 12);
      expect(got.re[i]).toBeCloseTo(want, 12);
      expect(got.im[i]).toBeCloseTo(direct.im[i], 12);
    }
    expect(transform.rotations).toEqual(transformRotations(matrix, slots, 4));
  });

  it('compose, add and scale', () => {
    const a = matrixFromRows(slots, rows);
    const b = matrixFromEntries(slots, [
      [0, 3, 1, 2],
      [5, 5, -1],
      [15, 0, 0.5, -0.5],
      [7, 2, 1],
      [7, 2, 1],
    ]);
    const inner = applyMatrix(b, x, slots);
    const composed = applyMatrix(composeMatrices(a, b, slots), x, slots);
    const oneByOne = applyMatrix(a, inner, slots);
    const sum = applyMatrix(addMatrices(slots, a, scaleMatrix(b, 0, 2)), x, slots);
    const first = applyMatrix(a, x, slots);
    for (let i = 0; i < slots; i++) {
      expect(composed.re[i]).toBeCloseTo(oneByOne.re[i], 12);
      expect(composed.im[i]).toBeCloseTo(oneByOne.im[i], 12);
      expect(sum.re[i]).toBeCloseTo(first.re[i] - 2 * inner.im[i], 12);
      expect(sum.im[i]).toBeCloseTo(first.im[i] + 2 * inner.re[i], 12);
    }
    expect(() => matrixFromEntries(slots, [[16, 0, 1]])).toThrow(/HE_MATRIX_SHAPE/);
  });

  it('find the smallest period', () => {
    const short = smallestPeriod({ re: Float64Array.of(1, 2, 1, 2), im: Float64Array.of(0, 0, 0, 0) });
    expect([...short.re]).toEqual([1, 2]);
    expect(short.im).toBeNull();
    expect(smallestPeriod({ re: Float64Array.of(1, 2, 1, 3), im: null }).re.length).toBe(4);
  });
});

describe('sumSlots', () => {
  it('sums an axis and broadcasts the result over it', () => {
    const ev = createCleartextEvaluator({ slots, levels: 1, logScale: 40 });
    const got = ev.toSlots(sumSlots(ev, ev.fromSlots(x), 8, 2));
    for (let i = 0; i < slots; i++) {
      let want = 0;
      for (let j = i % 2; j < slots; j += 2) want += x.re[j];
      expect(got.re[i]).toBeCloseTo(want, 12);
    }
    expect(sumRotations(8, 2)).toEqual([2, 4, 8]);
    expect(() => sumRotations(6, 1)).toThrow(/HE_SUM_SHAPE/);
  });
});
