import { bitLength } from '../ring/index.js';
import type { Parameters } from './parameters.js';

/** 32-bit words that `count` residues of `bits` bits fill. */
export function packedLength(count: number, bits: number): number {
  return Math.ceil((count * bits) / 32);
}

/** Bytes that rows of N residues modulo these primes fill. */
export function packedBytes({ n, primes }: Parameters, rows: readonly number[]): number {
  return 4 * rows.reduce((sum, index) => sum + packedLength(n, bitLength(primes[index])), 0);
}

/**
 * Residues as a stream of `bits` bits each, least significant first: 30-bit primes leave two bits of a word unused.
 * @param bits 1 to 32; every word is below 2^bits.
 * @param out has {@link packedLength} words, or more; what is returned is a part of it.
 */
export function packBits(
  words: Uint32Array,
  bits: number,
  out = new Uint32Array(packedLength(words.length, bits)),
): Uint32Array {
  let at = 0;
  let held = 0;
  let fill = 0;
  for (let i = 0; i < words.length; i++) {
    const word = words[i];
    held |= word << fill;
    if (fill + bits < 32) fill += bits;
    else {
      out[at++] = held;
      // A shift by 32 is a shift by 0 in JavaScript.
      held = fill === 0 ? 0 : word >>> (32 - fill);
      fill += bits - 32;
    }
  }
  if (fill > 0) out[at] = held;
  return out.subarray(0, packedLength(words.length, bits));
}

/** The inverse of {@link packBits}; `packed` has {@link packedLength} words. */
export function unpackBits(packed: Uint32Array, bits: number, out: Uint32Array): void {
  const mask = bits === 32 ? -1 : (1 << bits) - 1;
  let at = 0;
  let fill = 0;
  for (let i = 0; i < out.length; i++) {
    let word = packed[at] >>> fill;
    if (fill + bits > 32) word |= packed[at + 1] << (32 - fill);
    out[i] = word & mask;
    fill += bits;
    if (fill >= 32) {
      fill -= 32;
      at++;
    }
  }
}
