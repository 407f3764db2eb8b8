import type { RandomSource } from './random-source.js';

/** n coefficients, each -1, 0 or 1 with probability 1/3: two bits a try, the fourth value is rejected. */
export function sampleTernary(random: RandomSource, n: number): Int8Array {
  const out = new Int8Array(n);
  for (let i = 0, bits = 0, left = 0; i < n; ) {
    if (left === 0) {
      bits = random.word();
      left = 16;
    }
    const value = bits & 3;
    bits >>>= 2;
    left--;
    if (value !== 3) out[i++] = value - 1;
  }
  return out;
}

/** n coefficients of which exactly `weight` are -1 or 1, uniform over all such vectors: a partial Fisher-Yates shuffle. */
export function sampleFixedWeight(random: RandomSource, n: number, weight: number): Int8Array {
  const positions = Uint32Array.from({ length: n }, (_, i) => i);
  const out = new Int8Array(n);
  for (let i = 0; i < weight; i++) {
    const j = i + random.below(n - i);
    const position = positions[j];
    positions[j] = positions[i];
    out[position] = (random.word() & 1) * 2 - 1;
  }
  positions.fill(0);
  return out;
}

/**
 * Discrete Gaussian over the integers, exactly: P(x) proportional to exp(-x^2 / (2 std^2)), up to the statistical distance
 * 2^-62 of the table. The magnitude is the number of thresholds that a 64-bit uniform value reaches; every threshold is compared
 * for every sample without branches, so neither time nor memory accesses depend on the value. Magnitudes beyond the last
 * threshold (about 9 std) have probability below 2^-64 and do not occur.
 */
export class GaussianSampler {
  readonly #high: Int32Array;
  readonly #low: Int32Array;

  constructor(std: number) {
    const thresholds = cumulative(std);
    // Signed words with the top bit flipped compare like unsigned ones.
    this.#high = Int32Array.from(thresholds, (t) => Number(BigInt.asIntN(32, (t >> 32n) ^ 0x80000000n)));
    this.#low = Int32Array.from(thresholds, (t) => Number(BigInt.asIntN(32, t ^ 0x80000000n)));
  }

  /** Largest magnitude that can occur. */
  get tail(): number {
    return this.#high.length;
  }

  sample(random: RandomSource, n: number): Float64Array {
    const out = new Float64Array(n);
    const high = this.#high;
    const low = this.#low;
    const size = high.length;
    const words = random.words(2 * n + ((n + 31) >>> 5));
    for (let i = 0; i < n; i++) {
      const h = words[2 * i] ^ 0x80000000;
      const l = words[2 * i + 1] ^ 0x80000000;
      let magnitude = 0;
      for (let k = 0; k < size; k++) {
        magnitude += Number(h > high[k]) | (Number(h === high[k]) & Number(l >= low[k]));
      }
      const sign = (words[2 * n + (i >>> 5)] >>> (i & 31)) & 1;
      out[i] = (magnitude ^ -sign) + sign;
    }
    words.fill(0);
    return out;
  }
}

/** floor(2^64 P(|x| <= k)) for k = 0, 1, ... while it is below 2^64; exponentials in 160-bit fixed point. */
function cumulative(std: number): bigint[] {
  const one = 1n << 160n;
  const micro = BigInt(Math.round(std * 1e6));
  // exp(-1/(2 std^2)) by its Taylor series.
  const exponent = (one * 10n ** 12n) / (2n * micro * micro);
  let base = 0n;
  for (let k = 0n, term = one; term !== 0n; k++, term = -(term * exponent) / (one * k)) base += term;
  const weights = [one];
  // exp(-k^2 x) from exp(-(k-1)^2 x) and exp(-(2k-1) x).
  let odd = base;
  const square = (base * base) / one;
  for (let k = 1; weights[k - 1] !== 0n && k < 40 * std + 2; k++) {
    weights.push((weights[k - 1] * odd) / one);
    odd = (odd * square) / one;
  }
  const total = weights.reduce((sum, weight, k) => sum + (k === 0 ? weight : 2n * weight), 0n);
  const thresholds: bigint[] = [];
  let sum = 0n;
  for (let k = 0; k < weights.length; k++) {
    sum += k === 0 ? weights[k] : 2n * weights[k];
    const threshold = (sum << 64n) / total;
    if (threshold >= 1n << 64n) break;
    if (thresholds.at(-1) === threshold) break;
    thresholds.push(threshold);
  }
  return thresholds;
}
