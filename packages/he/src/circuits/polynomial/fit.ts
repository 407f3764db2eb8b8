import { SottoError } from '@sotto/base';
import type { ChebyshevSeries } from './series.js';
import { clenshaw } from './series.js';
import { solveDense } from './solve.js';

export interface FitOptions {
  /**
   * `minimax` (default) makes the largest weighted error as small as possible by Remez exchange; `interpolate` passes through
   * the Chebyshev points (within a small factor of minimax, exact for polynomials); `leastSquares` weighs errors by density.
   */
  readonly method?: 'minimax' | 'interpolate' | 'leastSquares';
  /** Positive weight of the error at x, e.g. x => 1/|f(x)| for a relative error. */
  readonly weight?: (x: number) => number;
  /** Only even or only odd terms; needs an interval symmetric about 0 (in u). */
  readonly parity?: 'even' | 'odd';
}

function terms(degree: number, parity: FitOptions['parity']): number[] {
  const all = Array.from({ length: degree + 1 }, (_, i) => i);
  if (parity === undefined) return all;
  return all.filter((i) => i % 2 === (parity === 'even' ? 0 : 1));
}

function chebyshevRow(u: number, indices: readonly number[]): number[] {
  const angle = Math.acos(Math.max(-1, Math.min(1, u)));
  return indices.map((i) => Math.cos(i * angle));
}

interface Sample {
  u: number;
  value: number;
  weight: number;
}

/**
 * A polynomial that approximates f on [a, b].
 * @param degree 1..127.
 * @throws SottoError `HE_FIT_INVALID` when f is not finite on the interval or the arguments make no sense.
 */
export function fitChebyshev(
  f: (x: number) => number,
  interval: readonly [number, number],
  degree: number,
  options: FitOptions = {},
): ChebyshevSeries {
  const [a, b] = interval;
  const { method = 'minimax', parity, weight = () => 1 } = options;
  const at = (cosine: number): Sample => {
    // The middle of the interval is met exactly, so a pole there is seen.
    const u = Math.abs(cosine) < 1e-15 ? 0 : cosine;
    const x = (a + b) / 2 + (u * (b - a)) / 2;
    return { u, value: f(x), weight: weight(x) };
  };
  if (!(a < b) || !Number.isInteger(degree) || degree < 1 || degree > 127) {
    throw invalid('A fit needs an interval with a < b and a degree from 1 to 127.', degree);
  }
  const indices = terms(degree, parity);
  const points = 32 * (degree + 1);
  const from = parity === undefined ? points : Math.floor(points / 2);
  // With a parity one half of the interval says everything.
  const grid = Array.from({ length: from + 1 }, (_, i) => at(Math.cos((Math.PI * i) / points)));
  if (grid.some((s) => !Number.isFinite(s.value) || !(s.weight > 0))) {
    throw invalid('The function or its weight is not finite on the interval.', degree);
  }
  let solution: Float64Array;
  if (method === 'minimax') solution = remez(grid, at, indices, parity);
  else if (method === 'interpolate') solution = interpolate(at, degree, indices);
  else solution = leastSquares(grid, indices);
  const coefficients = new Float64Array(indices[indices.length - 1] + 1);
  indices.forEach((index, k) => {
    coefficients[index] = solution[k];
  });
  return { a, b, coefficients };
}

function invalid(message: string, degree: number): SottoError {
  return new SottoError(message, {
    code: 'HE_FIT_INVALID',
    facts: { degree },
    fix: 'Keep poles outside the interval, and lower the degree if needed.',
  });
}

/** Discrete Chebyshev transform; terms outside the parity vanish up to rounding and are left out. */
function interpolate(at: (u: number) => Sample, degree: number, indices: readonly number[]): Float64Array {
  const n = degree + 1;
  const values = Array.from({ length: n }, (_, k) => at(Math.cos((Math.PI * (k + 0.5)) / n)).value);
  return Float64Array.from(indices, (i) => {
    let sum = 0;
    for (let k = 0; k < n; k++) sum += values[k] * Math.cos((Math.PI * i * (k + 0.5)) / n);
    return ((i === 0 ? 1 : 2) / n) * sum;
  });
}

function leastSquares(grid: readonly Sample[], indices: readonly number[]): Float64Array {
  const n = indices.length;
  const normal = Array.from({ length: n }, () => new Float64Array(n));
  const rhs = new Float64Array(n);
  for (const { u, value, weight } of grid) {
    const row = chebyshevRow(u, indices);
    const w = weight * weight;
    for (let i = 0; i < n; i++) {
      rhs[i] += w * row[i] * value;
      for (let j = 0; j < n; j++) normal[i][j] += w * row[i] * row[j];
    }
  }
  return solveDense(normal, rhs);
}

/** Remez exchange on a grid: E. Ya. Remez 1934; Powell, Approximation Theory and Methods (1981), chapter 8. */
function remez(
  grid: readonly Sample[],
  at: (u: number) => Sample,
  indices: readonly number[],
  parity: FitOptions['parity'],
): Float64Array {
  const n = indices.length;
  const degree = indices[n - 1];
  let reference = Array.from({ length: n + 1 }, (_, k) => {
    // Extrema of a Chebyshev polynomial of n alternations, on half the interval when a parity halves it.
    const angle =
      parity === undefined ? (Math.PI * k) / n : (Math.PI * k) / (2 * n + (parity === 'odd' ? 1 : 0));
    return at(Math.cos(angle));
  });
  let best = new Float64Array(n);
  let bestError = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 40; round++) {
    const matrix = reference.map(({ u, weight }, k) =>
      Float64Array.from([...chebyshevRow(u, indices), (k % 2 === 0 ? 1 : -1) / weight]),
    );
    const solved = solveDense(
      matrix,
      Float64Array.from(reference, (s) => s.value),
    );
    const candidate = solved.slice(0, n);
    const full = new Float64Array(degree + 1);
    indices.forEach((index, k) => {
      full[index] = candidate[k];
    });
    const errors = grid.map((s) => (clenshaw(full, s.u) - s.value) * s.weight);
    const worst = errors.reduce((m, e) => Math.max(m, Math.abs(e)), 0);
    if (worst < bestError) {
      bestError = worst;
      best = candidate;
    }
    const levelled = Math.abs(solved[n]);
    // Below this the error is the rounding of the arithmetic itself.
    const floor = 64 * Number.EPSILON * grid.reduce((m, s) => Math.max(m, Math.abs(s.value) * s.weight), 0);
    if (worst <= levelled * 1.001 || worst < floor) break;
    const next = extrema(grid, errors, n + 1);
    if (next === null) break;
    reference = next;
  }
  return best;
}

/** The largest alternating extrema of the error, `count` of them, or null when there are fewer. */
function extrema(grid: readonly Sample[], errors: readonly number[], count: number): Sample[] | null {
  const peaks: { index: number; error: number }[] = [];
  errors.forEach((error, index) => {
    const last = peaks.at(-1);
    if (last === undefined || Math.sign(last.error) !== Math.sign(error)) peaks.push({ index, error });
    else if (Math.abs(error) > Math.abs(last.error)) peaks[peaks.length - 1] = { index, error };
  });
  while (peaks.length > count) {
    if (peaks.length === count + 1) {
      if (Math.abs(peaks[0].error) < Math.abs(peaks[count].error)) peaks.shift();
      else peaks.pop();
      continue;
    }
    // Dropping a neighbouring pair keeps the signs alternating.
    let weakest = 0;
    for (let i = 1; i + 1 < peaks.length; i++) {
      const size = (k: number) => Math.max(Math.abs(peaks[k].error), Math.abs(peaks[k + 1].error));
      if (size(i) < size(weakest)) weakest = i;
    }
    peaks.splice(weakest, 2);
  }
  return peaks.length < count ? null : peaks.map((p) => grid[p.index]);
}
