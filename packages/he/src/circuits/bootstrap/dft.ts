import type { DiagonalMatrix, SlotVector } from '../../scheme/evaluator.js';
import { composeMatrices, scaleMatrix } from '../linear/index.js';

/**
 * The map between slots and coefficients as a product of sparse matrices.
 *
 * Let zeta be a root of unity of order 4n and w_k, k < n, complex numbers. The polynomial with coefficients Re w_k at Y^k and
 * Im w_k at Y^(k+n) has the slot values u_j = sum_k w_k zeta^(k 5^j). With z_k = w_(bit reversal of k), u = S z where S is a product
 * of log2(n) butterflies on blocks of 2, 4, .. n slots; the diagonals of a butterfly repeat with its block.
 * Cheon, Han, Kim, Kim, Song, Bootstrapping for approximate homomorphic encryption (EUROCRYPT 2018); factored as in Chen, Chillotti,
 * Song, Improved bootstrapping (EUROCRYPT 2019), section 4.
 */

/** Powers 5^j modulo `modulus`, j < count. */
function powersOfFive(count: number, modulus: number): number[] {
  const powers = [1];
  for (let j = 1; j < count; j++) powers.push((5 * powers[j - 1]) % modulus);
  return powers;
}

function accumulate(diagonals: Map<number, SlotVector>, k: number, v: SlotVector): void {
  const known = diagonals.get(k);
  if (known === undefined) diagonals.set(k, v);
  else {
    diagonals.set(k, {
      re: known.re.map((x, i) => x + v.re[i]),
      im: known.im!.map((x, i) => x + v.im![i]),
    });
  }
}

/**
 * One butterfly on blocks of `block` slots: (a, b) -> (a + w b, a - w b) with entries of modulus 1; inverse up to the factor 2:
 * (a, b) -> (a + b, (a - b) / w).
 */
function butterfly(n: number, block: number, inverse: boolean): DiagonalMatrix {
  const half = block / 2;
  const powers = powersOfFive(half, 4 * block);
  const make = (
    upper: (j: number) => [number, number],
    lower: (j: number) => [number, number],
  ): SlotVector => {
    const re = new Float64Array(block);
    const im = new Float64Array(block);
    for (let j = 0; j < block; j++) [re[j], im[j]] = j < half ? upper(j) : lower(j - half);
    return { re, im };
  };
  const sign = inverse ? -1 : 1;
  const twiddle = (j: number): [number, number] => {
    const angle = (2 * Math.PI * powers[j]) / (4 * block);
    return [Math.cos(angle), sign * Math.sin(angle)];
  };
  const minus = ([re, im]: [number, number]): [number, number] => [-re, -im];
  const diagonals = new Map<number, SlotVector>();
  accumulate(
    diagonals,
    0,
    make(
      () => [1, 0],
      (j) => minus(twiddle(j)),
    ),
  );
  accumulate(
    diagonals,
    half,
    make(
      (j) => (inverse ? [1, 0] : twiddle(j)),
      () => [0, 0],
    ),
  );
  accumulate(
    diagonals,
    n - half,
    make(
      () => [0, 0],
      (j) => (inverse ? twiddle(j) : [1, 0]),
    ),
  );
  return { diagonals };
}

function factors(n: number, radices: readonly number[], inverse: boolean): DiagonalMatrix[] {
  const stages = Math.log2(n);
  const blocks = Array.from({ length: stages }, (_, i) => 2 ** (inverse ? stages - i : i + 1));
  let at = 0;
  return radices.map((radix) => {
    const product = blocks
      .slice(at, at + radix)
      .map((block) => butterfly(n, block, inverse))
      .reduce((inner, outer) => composeMatrices(outer, inner, n));
    at += radix;
    return product;
  });
}

/**
 * Factors of S, first applied first: slots z to the slots of the polynomial that has z as (bit-reversed) coefficients. Entries
 * have modulus 1.
 * @param n complex slots, a power of two. @param radices butterflies merged in each factor; their sum is log2(n).
 */
export function decodingFactors(n: number, radices: readonly number[]): DiagonalMatrix[] {
  return factors(n, radices, false);
}

/** Factors of n S^-1, first applied first, each times `constant`. */
export function encodingFactors(n: number, radices: readonly number[], constant: number): DiagonalMatrix[] {
  return factors(n, radices, true).map((factor) => scaleMatrix(factor, constant));
}

/**
 * Splits log2(n) butterflies over `count` factors. The factor with the largest blocks wraps around and has half as many diagonals,
 * so it gets the first extra butterfly: it is the first of the encoding and the last of the decoding.
 */
export function splitRadices(logSlots: number, count: number, direction: 'encoding' | 'decoding'): number[] {
  const radices = new Array<number>(count).fill(Math.floor(logSlots / count));
  const extra = logSlots % count;
  // The wrapping factor first, then the factors that run on the fewest limbs.
  for (let i = 0; i < extra; i++) radices[i === 0 ? 0 : count - i]++;
  return direction === 'encoding' ? radices : radices.reverse();
}

/** Bit reversal of k in `bits` bits. */
export function bitReverse(k: number, bits: number): number {
  let out = 0;
  for (let i = 0; i < bits; i++) out |= ((k >> i) & 1) << (bits - 1 - i);
  return out;
}
