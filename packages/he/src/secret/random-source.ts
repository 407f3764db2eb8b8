import { randomBytes } from '@sotto/base';
import { ChaCha20 } from '../ring/chacha20.js';

/** A stream of uniform 32-bit words for sampling: ChaCha20 under a fresh key from the platform's generator. */
export class RandomSource {
  readonly #stream: ChaCha20;

  /** @param seed 32 bytes; only tests give one. */
  constructor(seed: Uint8Array = randomBytes(32)) {
    this.#stream = new ChaCha20(seed, [0x534f5454, 0, 0]);
  }

  /** The next uniform word. */
  word(): number {
    return this.#stream.next();
  }

  words(count: number): Uint32Array {
    return this.#stream.fill(new Uint32Array(count));
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
