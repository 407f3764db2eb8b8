import { randomBytes } from '@sotto/base';
import { ChaCha20 } from '../ring/chacha20.js';

/**
 * A stream of uniform 32-bit words for sampling: single words from ChaCha20 under a fresh key from the platform's generator, many at
 * once from that generator itself, which is several times faster.
 */
export class RandomSource {
  readonly #stream: ChaCha20;
  readonly #seeded: boolean;

  /** @param seed 32 bytes, from which every word then comes; only tests give one. */
  constructor(seed?: Uint8Array) {
    this.#seeded = seed !== undefined;
    this.#stream = new ChaCha20(seed ?? randomBytes(32), [0x534f5454, 0, 0]);
  }

  /** The next uniform word. */
  word(): number {
    return this.#stream.next();
  }

  words(count: number): Uint32Array {
    if (this.#seeded) return this.#stream.fill(new Uint32Array(count));
    return new Uint32Array(randomBytes(4 * count).buffer);
  }

  /** Uniform integer in [0, bound), bound at most 2^31, by rejection. */
  below(bound: number): number {
    const mask = 2 ** (32 - Math.clz32(bound - 1)) - 1;
    for (;;) {
      const value = (this.word() & mask) >>> 0;
      if (value < bound) return value;
    }
  }
}
