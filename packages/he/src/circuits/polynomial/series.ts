/** A polynomial sum_i c_i T_i(u) with u = (2x - a - b)/(b - a) in [-1, 1] for x in [a, b]. */
export interface ChebyshevSeries {
  readonly a: number;
  readonly b: number;
  readonly coefficients: Float64Array;
}

/** Largest index with a non-zero coefficient; 0 for a constant. */
export function degreeOf(coefficients: ArrayLike<number>): number {
  for (let i = coefficients.length - 1; i > 0; i--) if (coefficients[i] !== 0) return i;
  return 0;
}

/** Levels that evaluating a polynomial of this degree consumes: ceil(log2(degree + 1)). */
export function polynomialDepth(degree: number): number {
  return Math.ceil(Math.log2(degree + 1));
}

/** sum_i c_i T_i(u) by Clenshaw's recurrence. */
export function clenshaw(coefficients: ArrayLike<number>, u: number): number {
  let b1 = 0;
  let b2 = 0;
  for (let i = coefficients.length - 1; i > 0; i--) {
    const b0 = 2 * u * b1 - b2 + coefficients[i];
    b2 = b1;
    b1 = b0;
  }
  return coefficients.length === 0 ? 0 : u * b1 - b2 + coefficients[0];
}

/** The series at x in [a, b]. */
export function evaluateSeries(series: ChebyshevSeries, x: number): number {
  return clenshaw(series.coefficients, (2 * x - series.a - series.b) / (series.b - series.a));
}

/** The affine map from [a, b] to [-1, 1]: u = factor*x + offset. Fold it into a product that the circuit has anyway. */
export function unitMap(interval: { readonly a: number; readonly b: number }): {
  factor: number;
  offset: number;
} {
  const width = interval.b - interval.a;
  return { factor: 2 / width, offset: -(interval.a + interval.b) / width };
}

/** Largest |series(x) - f(x)| * weight(x) on a grid of `points` Chebyshev-distributed points. */
export function maxError(
  series: ChebyshevSeries,
  f: (x: number) => number,
  weight: (x: number) => number = () => 1,
  points = 4096,
): number {
  let worst = 0;
  for (let i = 0; i <= points; i++) {
    const u = Math.cos((Math.PI * i) / points);
    const x = (series.a + series.b) / 2 + (u * (series.b - series.a)) / 2;
    worst = Math.max(worst, Math.abs(clenshaw(series.coefficients, u) - f(x)) * weight(x));
  }
  return worst;
}
