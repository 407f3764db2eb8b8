import { randomBytes, Sha256 } from '@sotto/base';

/** A stream of uniform 32-bit integers. */
export interface RandomSource {
  u32(): number;
}

const POOL_BYTES = 4096;

/** The operating system's generator, read in pools; used-up values are wiped. */
export class SystemSource implements RandomSource {
  #pool: Uint32Array = new Uint32Array(0);
  #at = 0;

  u32(): number {
    if (this.#at === this.#pool.length) {
      this.#pool = new Uint32Array(randomBytes(POOL_BYTES).buffer);
      this.#at = 0;
    }
    const value = this.#pool[this.#at]!;
    this.#pool[this.#at++] = 0;
    return value;
  }
}

const BLOCK_BYTES = 64;

/** HMAC-SHA-256 (RFC 2104). */
export class Hmac {
  readonly #inner: Uint8Array;
  readonly #outer: Uint8Array;

  constructor(key: Uint8Array) {
    const padded = new Uint8Array(BLOCK_BYTES);
    padded.set(key.length > BLOCK_BYTES ? new Sha256().update(key).digest() : key);
    this.#inner = padded.map((byte) => byte ^ 0x36);
    this.#outer = padded.map((byte) => byte ^ 0x5c);
  }

  digest(message: Uint8Array): Uint8Array {
    const inner = new Sha256().update(this.#inner).update(message).digest();
    return new Sha256().update(this.#outer).update(inner).digest();
  }
}

const quarters = Uint8Array.of(
  ...[0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15],
  ...[0, 5, 10, 15, 1, 6, 11, 12, 2, 7, 8, 13, 3, 4, 9, 14],
);

/** One block of the ChaCha20 function (RFC 8439, 2.3): 16 words from a key of 8, a counter and a nonce of 3. */
export function chachaBlock(
  key: Uint32Array,
  counter: number,
  nonce: readonly [number, number, number],
): Uint32Array {
  const start = new Uint32Array(16);
  start[0] = 0x61707865;
  start[1] = 0x3320646e;
  start[2] = 0x79622d32;
  start[3] = 0x6b206574;
  start.set(key, 4);
  start[12] = counter;
  start.set(nonce, 13);
  const x = start.slice();
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 32; i += 4) {
      const a = quarters[i]!;
      const b = quarters[i + 1]!;
      const c = quarters[i + 2]!;
      const d = quarters[i + 3]!;
      x[a]! += x[b]!;
      let t = x[d]! ^ x[a]!;
      x[d] = (t << 16) | (t >>> 16);
      x[c]! += x[d]!;
      t = x[b]! ^ x[c]!;
      x[b] = (t << 12) | (t >>> 20);
      x[a]! += x[b]!;
      t = x[d]! ^ x[a]!;
      x[d] = (t << 8) | (t >>> 24);
      x[c]! += x[d]!;
      t = x[b]! ^ x[c]!;
      x[b] = (t << 7) | (t >>> 25);
    }
  }
  for (let i = 0; i < 16; i++) x[i]! += start[i]!;
  return x;
}

/** The ChaCha20 key stream of a key and a nonce: the same every time. */
export class PrfSource implements RandomSource {
  readonly #key: Uint32Array;
  readonly #nonce: readonly [number, number, number];
  #block: Uint32Array = new Uint32Array(0);
  #at = 0;
  #counter = 0;

  constructor(key: Uint32Array, nonce: readonly [number, number, number]) {
    this.#key = key;
    this.#nonce = nonce;
  }

  u32(): number {
    if (this.#at === this.#block.length) {
      this.#block = chachaBlock(this.#key, this.#counter++, this.#nonce);
      this.#at = 0;
    }
    return this.#block[this.#at++]!;
  }
}

/**
 * Uniform integer in [0, bound) by rejection: the number of attempts depends on the bound and on chance, not on any input.
 * @param bound 1 .. 2^31
 */
export function uniformBelow(source: RandomSource, bound: number): number {
  const shift = Math.clz32(bound - 1);
  if (shift === 32) return 0;
  for (;;) {
    const value = source.u32() >>> shift;
    if (value < bound) return value;
  }
}
