import type { RandomSource } from './random-source.js';

/** Largest `logBound`: a sample is one word. */
const LARGEST_LOG_BOUND = 31;

/**
 * The bound of the flooding that leaves slots `bits` bits: uniform coefficients below 2^b in magnitude have variance 4^b / 3, and the
 * embedding makes of it a slot error of sqrt(N) times that deviation, divided by the scale.
 *
 * @returns the largest whole b with sqrt(N / 3) 2^b / scale <= 2^-bits; at least 0, at most 31.
 */
export function floodingLogBound(bits: number, scale: number, n: number): number {
  const exact = Math.log2(scale) - bits - Math.log2(n / 3) / 2;
  return Math.max(0, Math.min(LARGEST_LOG_BOUND, Math.floor(exact)));
}

/**
 * Adds a fresh uniform integer of [-2^logBound, 2^logBound) to every coefficient. Decryption noise e depends on the secret key; the sum
 * with noise of bound B is within statistical distance |e| / (2B) a coefficient of one that does not (the smudging lemma: Asharov,
 * Jain, Lopez-Alt, Tromer, Vaikuntanathan, Wichs, "Multiparty computation with low communication, computation and interaction via
 * threshold FHE", Eurocrypt 2012, Lemma 1). One word a coefficient, without branches.
 *
 * @param coefficients scaled, changed in place.
 * @param logBound 0..31.
 */
export function flood(coefficients: Float64Array, logBound: number, random: RandomSource): void {
  const words = random.words(coefficients.length);
  const shift = LARGEST_LOG_BOUND - logBound;
  const bound = 2 ** logBound;
  for (let i = 0; i < coefficients.length; i++) coefficients[i]! += (words[i]! >>> shift) - bound;
  words.fill(0);
}
