import type { RowShift } from './row-ranges.js';

/** Rows of one layer with what the shift has to follow. */
export interface ShiftSamples {
  /** The normalised row, then 1, then ln(position + 1). */
  readonly rows: readonly Float32Array[];
  /** For each head, ln of the sum of e^(score/2) of every row. */
  readonly targets: readonly (readonly number[])[];
}

/** A row as the fit sees it. */
export function shiftFeatures(normalised: Float64Array, position: number): Float32Array {
  const row = new Float32Array(normalised.length + 2);
  row.set(normalised);
  row[normalised.length] = 1;
  row[normalised.length + 1] = Math.log(position + 1);
  return row;
}

/** Adds weight * row row^T to the lower triangle of `gram`. */
function addSquare(gram: Float64Array, row: Float32Array, weight: number): void {
  const n = row.length;
  for (let i = 0; i < n; i++) {
    const scaled = weight * row[i]!;
    const at = i * n;
    for (let j = 0; j <= i; j++) gram[at + j]! += scaled * row[j]!;
  }
}

/** Solves (gram + ridge * mean diagonal) x = right by Cholesky factorisation; the constant feature (second last) has no ridge. */
function solve(gram: Float64Array, right: Float64Array, ridge: number): Float64Array {
  const n = right.length;
  const factor = Float64Array.from(gram);
  const x = Float64Array.from(right);
  let trace = 0;
  for (let i = 0; i < n; i++) trace += factor[i * n + i]!;
  for (let i = 0; i < n; i++) {
    factor[i * n + i]! += ((i === n - 2 ? Math.min(ridge, 1e-6) : ridge) * trace) / n;
    for (let j = 0; j <= i; j++) {
      let sum = factor[i * n + j]!;
      for (let k = 0; k < j; k++) sum -= factor[i * n + k]! * factor[j * n + k]!;
      factor[i * n + j] = i === j ? Math.sqrt(sum) : sum / factor[j * n + j]!;
    }
  }
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) x[i]! -= factor[i * n + k]! * x[k]!;
    x[i]! /= factor[i * n + i]!;
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) x[i]! -= factor[k * n + i]! * x[k]!;
    x[i]! /= factor[i * n + i]!;
  }
  return x;
}

/** Rows whose weight is this far below the largest one change nothing. */
const LEAST_WEIGHT = 1e-7;

/** Normal equations with a weight for every row. */
function normalEquations(
  rows: readonly Float32Array[],
  target: readonly number[],
  weights: Float64Array | null,
): { gram: Float64Array; right: Float64Array } {
  const n = rows[0]!.length;
  const gram = new Float64Array(n * n);
  const right = new Float64Array(n);
  const least = LEAST_WEIGHT * (weights?.reduce((a, b) => Math.max(a, b)) ?? 0);
  rows.forEach((row, r) => {
    const weight = weights?.[r] ?? 1;
    if (weight < least) return;
    addSquare(gram, row, weight);
    for (let i = 0; i < n; i++) right[i]! += weight * row[i]! * target[r]!;
  });
  return { gram, right };
}

function residualsOf(
  rows: readonly Float32Array[],
  target: readonly number[],
  x: Float64Array,
): Float64Array {
  return Float64Array.from(rows, (row, r) => {
    let sum = target[r]!;
    for (let i = 0; i < row.length; i++) sum -= row[i]! * x[i]!;
    return sum;
  });
}

/** How much less a residual below the fit counts than one above. */
const LOW_SIDE = 0.6;

interface Spread {
  readonly low: number;
  readonly high: number;
  /** What the degree of the inverse grows with. */
  readonly width: number;
}

function spreadOf(...groups: readonly Float64Array[]): Spread {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const group of groups) {
    for (const value of group) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  return { low, high, width: high - LOW_SIDE * low };
}

const P_NORM = 8;
const P_NORM_ROUNDS = 12;
/** Strengths of the ridge, relative to the mean square of a feature. */
const ridges = [1e-6, 1e-3, 1e-2, 0.1, 1, 3];
/** Multiplications that refining one layer may take; larger fits stay at least squares. */
const REFINE_BUDGET = 4e9;

/**
 * The coefficients whose largest residual is small. Least squares with the ridge that suits the held rows best; then, where that is
 * affordable and helps rows that were not fitted, the 8-norm by iteratively reweighted least squares with damping, high side first:
 * it is the range of the residuals, not their variance, that sets the degree of the inverse. The constant term then puts the largest
 * residual at zero, so that the heads of a layer share the high end of one window.
 *
 * @param fitted rows for the fit.
 * @param held rows that only judge it; other texts.
 */
export function fitRowShift(fitted: ShiftSamples, held: ShiftSamples): RowShift {
  const n = fitted.rows[0]!.length;
  const shared = normalEquations(fitted.rows, fitted.targets[0]!, null);

  const heads = fitted.targets.length;
  const rounds = Math.min(
    P_NORM_ROUNDS,
    Math.floor(REFINE_BUDGET / ((fitted.rows.length * n * n * heads) / 2)),
  );
  const solved = fitted.targets.map((target, head) => {
    const heldTarget = held.targets[head]!;
    const right = new Float64Array(n);
    fitted.rows.forEach((row, r) => {
      for (let i = 0; i < n; i++) right[i]! += row[i]! * target[r]!;
    });
    const judged = (x: Float64Array, ridge: number) => {
      const spread = spreadOf(residualsOf(fitted.rows, target, x), residualsOf(held.rows, heldTarget, x));
      return { x: Float64Array.from(x), ridge, ...spread };
    };
    const choices = ridges.map((ridge) => judged(solve(shared.gram, right, ridge), ridge));
    let best = choices.reduce((a, b) => (b.width < a.width ? b : a));
    const { ridge } = best;
    const weights = new Float64Array(fitted.rows.length).fill(1);
    let x: Float64Array = best.x;
    let width = Number.POSITIVE_INFINITY;
    for (let round = 0; round < rounds; round++) {
      const residuals = residualsOf(fitted.rows, target, x);
      const { low, high, width: own } = spreadOf(residuals);
      width = Math.min(width, own);
      const middle = (high + LOW_SIDE * low) / 2;
      residuals.forEach((residual, r) => {
        const side = residual > middle ? residual - middle : LOW_SIDE * (middle - residual);
        const size = Math.max((2 * side) / width, 0.02);
        weights[r] = Math.sqrt(weights[r]! * size ** (P_NORM - 2));
      });
      const { gram, right } = normalEquations(fitted.rows, target, weights);
      x = solve(gram, right, ridge);
      const choice = judged(x, ridge);
      if (choice.width < best.width) best = choice;
    }
    best.x[n - 2]! += best.high;
    return best.x;
  });
  return {
    shift: solved.map((x) => Array.from(x.subarray(0, n - 2))),
    offset: solved.map((x) => x[n - 2]!),
    slope: solved.map((x) => x[n - 1]!),
  };
}
