/**
 * The ChaCha20 block function (RFC 8439, section 2.3) as a stream of 32-bit words.
 * State: 4 constants, 8 key words, 1 counter word, 3 nonce words.
 */
export class ChaCha20 {
  readonly #state = new Uint32Array(16);
  readonly #block = new Uint32Array(16);
  #used = 16;

  /**
   * @param seed 32 bytes.
   * @param nonce three 32-bit words.
   */
  constructor(seed: Uint8Array, nonce: readonly [number, number, number]) {
    const view = new DataView(seed.buffer, seed.byteOffset, 32);
    this.#state.set([0x61707865, 0x3320646e, 0x79622d32, 0x6b206574]);
    for (let i = 0; i < 8; i++) this.#state[4 + i] = view.getUint32(4 * i, true);
    this.#state.set(nonce, 13);
  }

  /** The next word of the key stream. */
  next(): number {
    if (this.#used === 16) {
      chacha20Block(this.#block, this.#state);
      this.#state[12]!++;
      this.#used = 0;
    }
    return this.#block[this.#used++]!;
  }

  /** Fills `out` with the next words of the key stream. */
  fill(out: Uint32Array): Uint32Array {
    for (let i = 0; i < out.length; i++) out[i] = this.next();
    return out;
  }
}

/** One block of 16 words from a state of 16 words. */
export function chacha20Block(out: Uint32Array, state: Uint32Array): void {
  out.set(state);
  for (let round = 0; round < 10; round++) {
    quarter(out, 0, 4, 8, 12);
    quarter(out, 1, 5, 9, 13);
    quarter(out, 2, 6, 10, 14);
    quarter(out, 3, 7, 11, 15);
    quarter(out, 0, 5, 10, 15);
    quarter(out, 1, 6, 11, 12);
    quarter(out, 2, 7, 8, 13);
    quarter(out, 3, 4, 9, 14);
  }
  for (let i = 0; i < 16; i++) out[i] = out[i]! + state[i]!;
}

function quarter(s: Uint32Array, a: number, b: number, c: number, d: number): void {
  let x = s[a]! | 0;
  let y = s[b]! | 0;
  let z = s[c]! | 0;
  let w = s[d]! | 0;
  x = (x + y) | 0;
  w ^= x;
  w = (w << 16) | (w >>> 16);
  z = (z + w) | 0;
  y ^= z;
  y = (y << 12) | (y >>> 20);
  x = (x + y) | 0;
  w ^= x;
  w = (w << 8) | (w >>> 24);
  z = (z + w) | 0;
  y ^= z;
  y = (y << 7) | (y >>> 25);
  s[a] = x;
  s[b] = y;
  s[c] = z;
  s[d] = w;
}
