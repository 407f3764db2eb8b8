import { SottoError } from '@sotto/base';
import { splitBabyGiant } from '../../scheme/baby-giant.js';
import type { DiagonalMatrix, SlotVector } from '../../scheme/evaluator.js';

/** Non-negative residue. */
function modulo(k: number, n: number): number {
  return ((k % n) + n) % n;
}

function part(v: Float64Array | null, i: number): number {
  return v === null ? 0 : v[i & (v.length - 1)];
}

/**
 * A linear map of `slots` slots from its non-zero entries.
 * @param entries (row, column, value) or (row, column, re, im); entries at one place add up.
 */
export function matrixFromEntries(
  slots: number,
  entries: Iterable<readonly [number, number, number, number?]>,
): DiagonalMatrix {
  const diagonals = new Map<number, { re: Float64Array; im: Float64Array | null }>();
  for (const [row, column, re, im = 0] of entries) {
    if (!(row >= 0 && row < slots && column >= 0 && column < slots)) {
      throw new SottoError('A matrix entry lies outside the slots.', {
        code: 'HE_MATRIX_SHAPE',
        facts: { row, column, slots },
        fix: 'Rows and columns run from 0 to slots - 1.',
      });
    }
    const k = modulo(column - row, slots);
    let diagonal = diagonals.get(k);
    if (diagonal === undefined) {
      diagonal = { re: new Float64Array(slots), im: null };
      diagonals.set(k, diagonal);
    }
    diagonal.re[row] += re;
    if (im !== 0) {
      diagonal.im ??= new Float64Array(slots);
      diagonal.im[row] += im;
    }
  }
  return { diagonals };
}

/** A linear map from a dense real matrix of rows; rows and columns beyond it are zero. */
export function matrixFromRows(slots: number, rows: readonly ArrayLike<number>[]): DiagonalMatrix {
  function* entries(): Iterable<readonly [number, number, number]> {
    for (let i = 0; i < rows.length; i++) {
      for (let j = 0; j < rows[i].length; j++) if (rows[i][j] !== 0) yield [i, j, rows[i][j]];
    }
  }
  return matrixFromEntries(slots, entries());
}

/** out[i] = sum_k diagonals[k][i] * x[i + k] on one period of `slots` slots: the reference for transforms. */
export function applyMatrix(
  matrix: DiagonalMatrix,
  x: SlotVector,
  slots: number,
): { re: Float64Array; im: Float64Array } {
  const re = new Float64Array(slots);
  const im = new Float64Array(slots);
  for (const [k, d] of matrix.diagonals) {
    for (let i = 0; i < slots; i++) {
      const j = modulo(i + k, slots);
      const dr = part(d.re, i);
      const di = part(d.im, i);
      const xr = part(x.re, j);
      const xi = part(x.im, j);
      re[i] += dr * xr - di * xi;
      im[i] += dr * xi + di * xr;
    }
  }
  return { re, im };
}

/** Sum of maps of the same slots. */
export function addMatrices(slots: number, ...matrices: readonly DiagonalMatrix[]): DiagonalMatrix {
  const diagonals = new Map<number, SlotVector>();
  for (const matrix of matrices) {
    for (const [index, d] of matrix.diagonals) {
      const k = modulo(index, slots);
      const known = diagonals.get(k);
      diagonals.set(k, known === undefined ? d : addVectors(known, d));
    }
  }
  return { diagonals };
}

function addVectors(a: SlotVector, b: SlotVector): SlotVector {
  const n = Math.max(a.re.length, b.re.length);
  const re = Float64Array.from({ length: n }, (_, i) => part(a.re, i) + part(b.re, i));
  if (a.im === null && b.im === null) return { re, im: null };
  return { re, im: Float64Array.from({ length: n }, (_, i) => part(a.im, i) + part(b.im, i)) };
}

/** The map times a complex number. */
export function scaleMatrix(matrix: DiagonalMatrix, re: number, im = 0): DiagonalMatrix {
  const diagonals = new Map<number, SlotVector>();
  for (const [k, d] of matrix.diagonals) {
    const real = d.re.map((v, i) => v * re - part(d.im, i) * im);
    const imaginary = d.im === null && im === 0 ? null : d.re.map((v, i) => v * im + part(d.im, i) * re);
    diagonals.set(k, { re: real, im: imaginary });
  }
  return { diagonals };
}

/** The map "first `inner`, then `outer`". Diagonals keep the smallest period; vanishing ones are dropped. */
export function composeMatrices(outer: DiagonalMatrix, inner: DiagonalMatrix, slots: number): DiagonalMatrix {
  const sums = new Map<number, { re: Float64Array; im: Float64Array }>();
  for (const [b, vb] of outer.diagonals) {
    for (const [a, va] of inner.diagonals) {
      const k = modulo(a + b, slots);
      const n = Math.max(vb.re.length, va.re.length, sums.get(k)?.re.length ?? 1);
      let sum = sums.get(k);
      if (sum === undefined || sum.re.length < n) {
        const old = sum;
        sum = {
          re: Float64Array.from({ length: n }, (_, i) => part(old?.re ?? null, i)),
          im: Float64Array.from({ length: n }, (_, i) => part(old?.im ?? null, i)),
        };
        sums.set(k, sum);
      }
      for (let i = 0; i < n; i++) {
        const br = part(vb.re, i);
        const bi = part(vb.im, i);
        const ar = part(va.re, modulo(i + b, slots));
        const ai = part(va.im, modulo(i + b, slots));
        sum.re[i] += br * ar - bi * ai;
        sum.im[i] += br * ai + bi * ar;
      }
    }
  }
  let largest = 0;
  for (const { re, im } of sums.values()) {
    for (let i = 0; i < re.length; i++) largest = Math.max(largest, Math.abs(re[i]), Math.abs(im[i]));
  }
  const negligible = largest * 2 ** -44;
  const diagonals = new Map<number, SlotVector>();
  for (const [k, { re, im }] of sums) {
    if (re.every((v) => Math.abs(v) <= negligible) && im.every((v) => Math.abs(v) <= negligible)) continue;
    diagonals.set(k, smallestPeriod({ re, im }, negligible));
  }
  return { diagonals };
}

/** The same vector written with its smallest power-of-two period; parts that vanish become null. */
export function smallestPeriod(v: SlotVector, tolerance = 0): SlotVector {
  let n = v.re.length;
  const repeats = (x: Float64Array | null, half: number): boolean => {
    if (x === null) return true;
    for (let i = 0; i < half; i++) if (Math.abs(x[i] - x[i + half]) > tolerance) return false;
    return true;
  };
  while (n > 1 && repeats(v.re, n / 2) && repeats(v.im, n / 2)) n /= 2;
  const im = v.im?.slice(0, n) ?? null;
  return { re: v.re.slice(0, n), im: im?.every((x) => x === 0) ? null : im };
}

/** Rotations whose keys a transform by this matrix needs. */
export function transformRotations(
  matrix: DiagonalMatrix,
  slots: number,
  babySteps?: number,
): readonly number[] {
  return splitBabyGiant([...matrix.diagonals.keys()], slots, babySteps).rotations;
}
