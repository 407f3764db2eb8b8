import { fitChebyshev, maxError } from '@sotto/he/circuits';
import type { LlamaConfig } from '@sotto/model';
import { silu } from '@sotto/model';
import type { Calibration, Interval, LayerCalibration } from './calibration.js';

/** Degrees of the approximations; each costs ceil(log2(degree + 1)) levels. */
export interface Degrees {
  readonly norm: number;
  readonly exp: number;
  /** exp is the polynomial of z / 2^squarings, squared that many times. */
  readonly squarings: number;
  /** Rough inverse of the sum: its error cancels in the last division. */
  readonly inverse: number;
  /** Inverse of the sum of squares, before one Newton step. */
  readonly lastInverse: number;
  readonly silu: number;
}

export const defaultDegrees: Degrees = {
  norm: 15,
  exp: 7,
  squarings: 3,
  inverse: 63,
  lastInverse: 31,
  silu: 15,
};

/**
 * 1/sqrt(mean square) as a polynomial. The stream is kept times `streamScale`, so that the sum of its squares needs only `offset`
 * to lie in [-1, 1]; the polynomial gives `rowScale` / sqrt(mean square + eps), which is at most 1.
 */
export interface NormPolynomial {
  readonly streamScale: number;
  readonly offset: number;
  readonly rowScale: number;
  readonly coefficients: readonly number[];
}

/** All constants of one layer. The names of the softmax parts follow the normalise-and-square step of Cho et al. (CCS 2024). */
export interface LayerPolynomials {
  readonly attentionNorm: NormPolynomial;
  readonly feedForwardNorm: NormPolynomial;
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
  /** SiLU inputs are divided by this, its output too. */
  readonly gateScale: number;
  readonly upScale: number;
  readonly silu: readonly number[];
  /** Worst errors in the windows, relative; of SiLU absolute and in the inner half of its window. */
  readonly errors: Readonly<Record<'norm' | 'exp' | 'inverse' | 'lastInverse' | 'silu', number>>;
}

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
  const chebyshev = (u: number): number =>
    Math.abs(u) <= 1
      ? Math.cos(n * Math.acos(u))
      : Math.sign(u) ** n * Math.cosh(n * Math.acosh(Math.abs(u)));
  const atZero = chebyshev(-(a + b) / (b - a));
  const f = (x: number): number => (1 - chebyshev((2 * x - a - b) / (b - a)) / atZero) / x;
  const series = fitChebyshev(f, [a, b], degree, { method: 'interpolate' });
  return { coefficients: coefficientsOf(series), error: 1 / Math.abs(atZero) };
}

function normPolynomial(
  window: Interval,
  config: LlamaConfig,
  degree: number,
): NormPolynomial & { error: number } {
  const [low, high] = window;
  const width = high - low;
  const rowScale = Math.sqrt(low + config.normEps);
  const f = (x: number): number => rowScale / Math.sqrt(x + config.normEps);
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

/** Gates crowd around zero: there the approximation of SiLU is several times better than at the ends of its window. */
const SILU_CENTRE = 0.1;

/** Scores below the window's top by more than this carry no weight that matters. */
const VISIBLE_NATS = 14;

function layerPolynomials(c: LayerCalibration, config: LlamaConfig, degrees: Degrees): LayerPolynomials {
  const attentionNorm = normPolynomial(c.attentionMeanSquare, config, degrees.norm);
  const feedForwardNorm = normPolynomial(c.feedForwardMeanSquare, config, degrees.norm);
  const scoreMiddle = (c.score[0] + c.score[1]) / 2;
  const scoreHalf = (c.score[1] - c.score[0]) / 2;
  const root = 2 ** degrees.squarings;

  const sumLow = Math.exp(c.logSum[0]);
  const sumHigh = Math.exp(c.logSum[1]);
  const sumScale = 2 / (sumHigh - sumLow);
  const exp = (v: number): number => Math.exp((scoreMiddle + scoreHalf * v + Math.log(sumScale)) / root);
  const knee = exp(1 - VISIBLE_NATS / scoreHalf);
  const expWeight = (v: number): number => 1 / Math.max(exp(v), knee);
  const expSeries = fitChebyshev(exp, [-1, 1], degrees.exp, { weight: expWeight });

  const inverse = inversePolynomial([sumLow, sumHigh], degrees.inverse);
  const squareLow = Math.exp(c.logSquareSum[0]) * (1 - inverse.error) ** 2;
  const squareHigh = (1 + inverse.error) ** 2;
  const squareScale = 2 / (squareHigh - squareLow);
  // w = factor * u / sum with u already times sumScale, and factor^2 = squareScale / 2.
  const factor = Math.sqrt(squareScale / 2) / sumScale;
  const lastInverse = inversePolynomial([squareLow, squareHigh], degrees.lastInverse);

  // SiLU is x/2 plus an even function: half of the terms vanish.
  const scaledSilu = (v: number): number => silu(v * c.gate) / c.gate;
  const evenDegree = degrees.silu - (degrees.silu % 2);
  const weight = (v: number): number => 1 / (SILU_CENTRE + v * v);
  const even = fitChebyshev((v) => scaledSilu(v) - v / 2, [-1, 1], evenDegree, { parity: 'even', weight });
  const siluSeries = { ...even, coefficients: even.coefficients.map((x, n) => (n === 1 ? 0.5 : x)) };
  return {
    attentionNorm,
    feedForwardNorm,
    scoreMiddle,
    scoreHalf,
    exp: coefficientsOf(expSeries),
    sumOffset: (-(sumHigh + sumLow) * sumScale) / 2,
    inverse: inverse.coefficients.map((x) => x * factor),
    squareSumOffset: (-(squareHigh + squareLow) * squareScale) / 2,
    lastInverse: lastInverse.coefficients.map((x) => x / squareScale),
    gateScale: c.gate,
    upScale: c.up,
    silu: coefficientsOf(siluSeries),
    errors: {
      norm: Math.max(attentionNorm.error, feedForwardNorm.error),
      exp: root * maxError(expSeries, exp, expWeight),
      inverse: inverse.error,
      lastInverse: lastInverse.error ** 2,
      silu: maxError(siluSeries, scaledSilu, (v) => (Math.abs(v) <= 0.5 ? 1 : 0)) * c.gate,
    },
  };
}

/** A last inverse as exact as this needs no higher degrees. */
const EXACT_ENOUGH = 1e-3;

/**
 * The polynomials of every layer. `degrees` are upper bounds for the two inverses: a layer whose windows are narrow gets smaller
 * ones.
 */
export function makePolynomials(
  calibration: Calibration,
  config: LlamaConfig,
  degrees: Degrees,
): LayerPolynomials[] {
  const half = (degree: number): number => (degree - 1) / 2;
  const smaller: Degrees[] = [
    { ...degrees, inverse: half(degrees.inverse), lastInverse: half(degrees.lastInverse) },
    { ...degrees, lastInverse: half(degrees.lastInverse) },
    { ...degrees, inverse: half(degrees.inverse) },
  ].filter(({ inverse, lastInverse }) => inverse >= 31 && lastInverse >= 15);
  return calibration.layers.map((layer) => {
    for (const choice of smaller) {
      const polynomials = layerPolynomials(layer, config, choice);
      if (polynomials.errors.lastInverse < EXACT_ENOUGH) return polynomials;
    }
    return layerPolynomials(layer, config, degrees);
  });
}
