/** 32-bit words that `count` residues of `bits` bits fill. */
export function packedLength(count: number, bits: number): number {
  return Math.ceil((count * bits) / 32);
}

/**
 * Residues as a stream of `bits` bits each, least significant first: 30-bit primes leave two bits of a word unused.
 * @param bits 1 to 32; every word is below 2^bits.
 */
export function packBits(words: Uint32Array, bits: number): Uint32Array {
  const out = new Uint32Array(packedLength(words.length, bits));
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
  return out;
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
