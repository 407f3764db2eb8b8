import { fitChebyshev, maxError } from '@sotto/he/circuits';
import type { LlamaConfig } from '@sotto/model';
import { gateKindOf, silu } from '@sotto/model';
import {
  type AnyLayerCalibration,
  type Interval,
  isKernelLayer,
  type LayerCalibration,
} from './calibration.js';
import { type KernelPolynomials, kernelPolynomials } from './kernel-polynomials.js';

/** Degrees of the approximations; each costs ceil(log2(degree + 1)) levels. */
export interface Degrees {
  readonly norm: number;
  /** Of the norm before SiLU. */
  readonly feedForwardNorm: number;
  readonly exp: number;
  /** exp is the polynomial of z / 2^squarings, squared that many times. */
  readonly squarings: number;
  /** Rough inverse of the sum: its error cancels in the last division. Even, so that it has no root above its window. */
  readonly inverse: number;
  /** Inverse of the sum of squares, before one Newton step. */
  readonly lastInverse: number;
  readonly silu: number;
  /** 1/sqrt of the mean square of a head's kernel sums. */
  readonly head: number;
  /** 1/(mean square) of a row before a bilinear gate. */
  readonly rowInverse: number;
}

export const defaultDegrees: Degrees = {
  norm: 15,
  feedForwardNorm: 15,
  exp: 7,
  squarings: 3,
  inverse: 62,
  lastInverse: 31,
  silu: 15,
  head: 15,
  rowInverse: 7,
};

/**
 * A power of the mean square as a polynomial: -1/2, or -1 where a product of two normalised rows follows. The stream is kept times
 * `streamScale`, so that the sum of its squares needs only `offset` to lie in [-1, 1]; the polynomial gives `rowScale` times the
 * power of (mean square + eps), which is at most 1.
 */
export interface NormPolynomial {
  readonly streamScale: number;
  readonly offset: number;
  readonly rowScale: number;
  readonly coefficients: readonly number[];
}

/** Softmax by the normalise-and-square step of Cho et al. (CCS 2024). */
export interface SoftmaxPolynomials {
  /** z = scoreMiddle + scoreHalf * v with v in [-1, 1]. */
  readonly scoreMiddle: number;
  readonly scoreHalf: number;
  /** Of v: a constant times e^(z / 2^squarings), at most about 1. */
  readonly exp: readonly number[];
  /** The sum of u plus this lies in [-1, 1]. */
  readonly sumOffset: number;
  /** Of sum + sumOffset: a constant over the sum. */
  readonly inverse: readonly number[];
  /** Twice the sum of squares plus this lies in [-1, 1]. */
  readonly squareSumOffset: number;
  /** Approximates 1 / (twice the sum of squares). */
  readonly lastInverse: readonly number[];
}

/** All constants of one layer; those of one attention kind and of one gate kind. */
export interface LayerPolynomials {
  readonly attentionNorm: NormPolynomial;
  readonly feedForwardNorm: NormPolynomial;
  readonly softmax: SoftmaxPolynomials | null;
  readonly kernel: KernelPolynomials | null;
  /** Gates are divided by this: inputs and outputs of SiLU, or the gate of a row that is not normalised yet. */
  readonly gateScale: number;
  readonly upScale: number;
  /** Null for a bilinear gate. */
  readonly silu: readonly number[] | null;
  readonly errors: PolynomialErrors;
}

/** The constants of a layer that has softmax attention. */
export function softmaxOf(p: LayerPolynomials): SoftmaxPolynomials {
  if (p.softmax === null) throw new TypeError('The layer has kernel attention.');
  return p.softmax;
}

/** The constants of a layer that has kernel attention. */
export function kernelOf(p: LayerPolynomials): KernelPolynomials {
  if (p.kernel === null) throw new TypeError('The layer has softmax attention.');
  return p.kernel;
}

/** Worst errors in the windows, relative; of SiLU absolute, a sixteenth of it for gates beyond 2.5. */
export type PolynomialErrors = Readonly<
  Partial<Record<'norm' | 'exp' | 'inverse' | 'lastInverse' | 'silu' | 'head' | 'rowInverse', number>>
>;

const coefficientsOf = (series: { coefficients: Float64Array }): number[] => Array.from(series.coefficients);

/**
 * Best polynomial of degree d for 1/x on [a, b] in relative error, in closed form: 1 - x p(x) is the Chebyshev polynomial of
 * degree d + 1 of the interval, scaled to 1 at x = 0.
 *
 * @returns coefficients in the Chebyshev basis of [a, b], and the worst relative error.
 */
export function inversePolynomial(
  [a, b]: Interval,
  degree: number,
): { coefficients: number[]; error: number } {
  const n = degree + 1;
  const atZero = chebyshev(n, -(a + b) / (b - a));
  // The values at the roots of T_n determine a polynomial of degree n - 1.
  const angles = Array.from({ length: n }, (_, j) => (Math.PI * (j + 0.5)) / n);
  const values = angles.map((angle) => {
    const u = Math.cos(angle);
    return (1 - chebyshev(n, u) / atZero) / ((a + b) / 2 + (u * (b - a)) / 2);
  });
  const coefficients = Array.from({ length: n }, (_, k) => {
    const sum = values.reduce((total, value, j) => total + value * Math.cos(k * angles[j]!), 0);
    return ((k === 0 ? 1 : 2) * sum) / n;
  });
  return { coefficients, error: inverseError([a, b], degree) };
}

/** T_n(u), also outside of [-1, 1]. */
const chebyshev = (n: number, u: number): number =>
  Math.abs(u) <= 1 ? Math.cos(n * Math.acos(u)) : Math.sign(u) ** n * Math.cosh(n * Math.acosh(Math.abs(u)));

/** Worst relative error of {@link inversePolynomial}. */
export const inverseError = ([a, b]: Interval, degree: number): number =>
  1 / Math.abs(chebyshev(degree + 1, -(a + b) / (b - a)));

export function normPolynomial(
  window: Interval,
  config: LlamaConfig,
  degree: number,
  power: -0.5 | -1,
): NormPolynomial & { error: number } {
  const [low, high] = window;
  const width = high - low;
  const rowScale = (low + config.normEps) ** -power;
  const f = (x: number): number => rowScale * (x + config.normEps) ** power;
  const weight = (x: number): number => 1 / f(x);
  const series = fitChebyshev(f, window, degree, { weight });
  return {
    streamScale: Math.sqrt(2 / (width * config.dim)),
    offset: -(high + low) / width,
    rowScale,
    coefficients: coefficientsOf(series),
    error: maxError(series, f, weight),
  };
}

/** A norm as exact as this needs no higher degree. */
const EXACT_NORM = 1e-5;

/** The norm of half the degree where that is exact enough, else of the whole. */
function leanNorm(window: Interval, config: LlamaConfig, degree: number, power: -0.5 | -1) {
  const lean = normPolynomial(window, config, (degree - 1) / 2, power);
  return lean.error < EXACT_NORM ? lean : normPolynomial(window, config, degree, power);
}

/** Gates are of the order of one, whatever the largest is: there the approximation is much better than at the ends of its window. */
const TYPICAL_GATE = 1;
/** Nearly all gates lie below this. */
const LARGE_GATE = 2.5;
/** An error of larger ones may be so many times larger: few channels have it. */
const FEW_GATES = 16;

/** Scores below the window's top by more than this carry no weight that matters. */
const VISIBLE_NATS = 14;

/** The sums of exponentials that the rough inverse is for. */
export const sumWindow = (c: LayerCalibration): Interval => [Math.exp(c.logSum[0]), Math.exp(c.logSum[1])];

/** The sums of squares that the last inverse is for, behind a rough inverse with this error. */
export const squareWindow = (c: LayerCalibration, roughError: number): Interval => [
  Math.exp(c.logSquareSum[0]) * (1 - roughError) ** 2,
  (1 + roughError) ** 2,
];

/** Of v in [-1, 1]: the root of e^z times the scale that brings sums into [0, 2]; its error is that of the exponential. */
export function expPolynomial(
  c: LayerCalibration,
  degree: number,
  squarings: number,
): { coefficients: number[]; error: number } {
  const middle = (c.score[0] + c.score[1]) / 2;
  const half = (c.score[1] - c.score[0]) / 2;
  const root = 2 ** squarings;
  const [low, high] = sumWindow(c);
  const sumScale = 2 / (high - low);
  const exp = (v: number): number => Math.exp((middle + half * v + Math.log(sumScale)) / root);
  const knee = exp(1 - VISIBLE_NATS / half);
  const weight = (v: number): number => 1 / Math.max(exp(v), knee);
  const series = fitChebyshev(exp, [-1, 1], degree, { weight });
  return { coefficients: coefficientsOf(series), error: root * maxError(series, exp, weight) };
}

function softmaxPolynomials(
  c: LayerCalibration,
  degrees: Degrees,
): { softmax: SoftmaxPolynomials; errors: PolynomialErrors } {
  const [sumLow, sumHigh] = sumWindow(c);
  const sumScale = 2 / (sumHigh - sumLow);
  const exp = expPolynomial(c, degrees.exp, degrees.squarings);
  const inverse = inversePolynomial([sumLow, sumHigh], degrees.inverse);
  const [squareLow, squareHigh] = squareWindow(c, inverse.error);
  const squareScale = 2 / (squareHigh - squareLow);
  // w = factor * u / sum with u already times sumScale, and factor^2 = squareScale / 2.
  const factor = Math.sqrt(squareScale / 2) / sumScale;
  const lastInverse = inversePolynomial([squareLow, squareHigh], degrees.lastInverse);
  return {
    softmax: {
      scoreMiddle: (c.score[0] + c.score[1]) / 2,
      scoreHalf: (c.score[1] - c.score[0]) / 2,
      exp: exp.coefficients,
      sumOffset: (-(sumHigh + sumLow) * sumScale) / 2,
      inverse: inverse.coefficients.map((x) => x * factor),
      squareSumOffset: (-(squareHigh + squareLow) * squareScale) / 2,
      lastInverse: lastInverse.coefficients.map((x) => x / squareScale),
    },
    errors: {
      exp: exp.error,
      inverse: inverse.error,
      lastInverse: lastInverse.error ** 2,
    },
  };
}

export function siluPolynomial(radius: number, degree: number): { silu: number[]; error: number } {
  // SiLU is x/2 plus an even function: half of the terms vanish.
  const scaledSilu = (v: number): number => silu(v * radius) / radius;
  const evenDegree = degree - (degree % 2);
  const weight = (v: number): number => 1 / ((TYPICAL_GATE / radius) ** 2 + v * v);
  const even = fitChebyshev((v) => scaledSilu(v) - v / 2, [-1, 1], evenDegree, { parity: 'even', weight });
  const series = { ...even, coefficients: even.coefficients.map((x, n) => (n === 1 ? 0.5 : x)) };
  const inner = (v: number): number => (Math.abs(v) * radius <= LARGE_GATE ? 1 : 1 / FEW_GATES);
  return { silu: coefficientsOf(series), error: maxError(series, scaledSilu, inner) * radius };
}

/** All constants of a layer. */
export function layerPolynomials(
  c: AnyLayerCalibration,
  config: LlamaConfig,
  degrees: Degrees,
): LayerPolynomials {
  const attentionNorm = leanNorm(c.attentionMeanSquare, config, degrees.norm, -0.5);
  const softmax = isKernelLayer(c) ? null : softmaxPolynomials(c, degrees);
  const kernel = isKernelLayer(c) ? kernelPolynomials(c, config, degrees.head) : null;
  const attention = {
    attentionNorm,
    softmax: softmax?.softmax ?? null,
    kernel: kernel?.kernel ?? null,
  };
  const errors = { ...softmax?.errors, ...(kernel === null ? {} : { head: kernel.error }) };
  if (gateKindOf(config) === 'bilinear') {
    const feedForwardNorm = leanNorm(c.feedForwardMeanSquare, config, degrees.rowInverse, -1);
    // The norm comes last: until then gate and up are longer by the root of the mean square.
    const longest = Math.sqrt(c.feedForwardMeanSquare[1] + config.normEps);
    return {
      ...attention,
      feedForwardNorm,
      gateScale: c.gate * longest,
      upScale: c.up * longest,
      silu: null,
      errors: { ...errors, norm: attentionNorm.error, rowInverse: feedForwardNorm.error },
    };
  }
  const feedForwardNorm = leanNorm(c.feedForwardMeanSquare, config, degrees.feedForwardNorm, -0.5);
  const fitted = siluPolynomial(c.gate, degrees.silu);
  return {
    ...attention,
    feedForwardNorm,
    gateScale: c.gate,
    upScale: c.up,
    silu: fitted.silu,
    errors: {
      ...errors,
      norm: Math.max(attentionNorm.error, feedForwardNorm.error),
      silu: fitted.error,
    },
  };
}
