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
