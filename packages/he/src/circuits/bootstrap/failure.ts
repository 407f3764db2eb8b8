/**
 * How often a bootstrapping fails. After raising, a coefficient is m + q0*I with I the nearest integer of a sum of h + 1
 * independent uniform numbers on [-1/2, 1/2] (c0 and the h coefficients of c1 that meet a non-zero of the ephemeral secret).
 * EvalMod is fitted for |I| <= K; beyond that the slot is lost.
 * Bossuat, Troncoso-Pastoriza, Hubaux, Bootstrapping for approximate homomorphic encryption with negligible failure probability
 * (ACNS 2022), section 3.
 */

function binomial(n: bigint, k: bigint): bigint {
  let value = 1n;
  for (let i = 0n; i < k; i++) value = (value * (n - i)) / (i + 1n);
  return value;
}

/**
 * P(sum of `terms` uniforms on [-1/2, 1/2] > threshold), exact: the Irwin-Hall distribution.
 * @param twiceThreshold 2 * threshold, an integer.
 */
export function uniformSumTail(
  terms: number,
  twiceThreshold: number,
): { numerator: bigint; denominator: bigint } {
  // P(S > t) = P(T < terms/2 - t) for T a sum on [0, 1]; y = (terms - 2t) / 2.
  const twiceY = BigInt(terms - twiceThreshold);
  const n = BigInt(terms);
  let numerator = 0n;
  for (let k = 0n; 2n * k <= twiceY; k++) {
    const term = binomial(n, k) * (twiceY - 2n * k) ** n;
    numerator += k % 2n === 0n ? term : -term;
  }
  let denominator = 2n ** n;
  for (let k = 2n; k <= n; k++) denominator *= k;
  return { numerator, denominator };
}

/** log2 of a positive ratio of big integers; -Infinity for zero. */
function log2Ratio(numerator: bigint, denominator: bigint): number {
  if (numerator <= 0n) return Number.NEGATIVE_INFINITY;
  const log2 = (value: bigint): number => {
    const shift = Math.max(0, value.toString(2).length - 53);
    return Math.log2(Number(value >> BigInt(shift))) + shift;
  };
  return log2(numerator) - log2(denominator);
}

/** log2 P(|I| > bound) for one coefficient and an ephemeral secret of this weight. */
export function logOverflowProbability(weight: number, bound: number): number {
  const { numerator, denominator } = uniformSumTail(weight + 1, 2 * bound + 1);
  return log2Ratio(2n * numerator, denominator);
}

/** log2 P(|I| = k) for one coefficient. */
export function logIntegerProbability(weight: number, k: number): number {
  const above = uniformSumTail(weight + 1, 2 * k + 1);
  const from = uniformSumTail(weight + 1, 2 * k - 1);
  if (k === 0) return log2Ratio(above.denominator - 2n * above.numerator, above.denominator);
  return log2Ratio(2n * (from.numerator - above.numerator), above.denominator);
}

/**
 * log2 of the probability that one bootstrapping loses a slot (union bound over its 2*slots real numbers).
 * @param slots complex slots that are refreshed. @param bound largest |I| that EvalMod handles.
 */
export function logFailureProbability(weight: number, slots: number, bound: number): number {
  return logOverflowProbability(weight, bound) + Math.log2(2 * slots);
}
