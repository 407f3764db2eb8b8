/** A proportion with its interval. */
export interface Rate {
  readonly rate: number;
  readonly low: number;
  readonly high: number;
  readonly trials: number;
}

/** ln Gamma, by Stirling's series after shifting the argument up. */
function logGamma(x: number): number {
  let shift = 0;
  let at = x;
  while (at < 12) shift -= Math.log(at++);
  const inverse = 1 / at;
  const square = inverse * inverse;
  const series = inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)));
  return shift + (at - 0.5) * Math.log(at) - at + 0.5 * Math.log(2 * Math.PI) + series;
}

/** Regularised incomplete beta function by its continued fraction (modified Lentz). */
export function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const tiny = 1e-300;
  let c = 1;
  let d = 1 - ((a + b) * x) / (a + 1);
  d = 1 / (Math.abs(d) < tiny ? tiny : d);
  let fraction = d;
  for (let m = 1; m < 10_000; m++) {
    let term = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    for (let half = 0; half < 2; half++) {
      d = 1 + term * d;
      d = 1 / (Math.abs(d) < tiny ? tiny : d);
      c = 1 + term / c;
      if (Math.abs(c) < tiny) c = tiny;
      fraction *= c * d;
      if (half === 0) term = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    }
    if (Math.abs(c * d - 1) < 1e-14) break;
  }
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x));
  return (front * fraction) / a;
}

function betaQuantile(p: number, a: number, b: number): number {
  let [low, high] = [0, 1];
  for (let i = 0; i < 100; i++) {
    const middle = (low + high) / 2;
    if (incompleteBeta(middle, a, b) < p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** Exact interval of a proportion (Clopper and Pearson 1934); alpha is the total error, default 5 %. */
export function clopperPearson(successes: number, trials: number, alpha = 0.05): Rate {
  return {
    rate: trials === 0 ? 0 : successes / trials,
    low: successes === 0 ? 0 : betaQuantile(alpha / 2, successes, trials - successes + 1),
    high: successes === trials ? 1 : betaQuantile(1 - alpha / 2, successes + 1, trials - successes),
    trials,
  };
}

/** How likely words are, most frequent first: 1 / (rank + 10), the first rank being 1; or all the same. */
export function wordPrior(count: number, kind: 'zipf' | 'uniform'): Float64Array {
  const weights = Float64Array.from({ length: count }, (_, i) => (kind === 'zipf' ? 1 / (i + 11) : 1));
  const total = weights.reduce((sum, value) => sum + value, 0);
  return weights.map((weight) => weight / total);
}
