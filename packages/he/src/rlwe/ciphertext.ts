import { SottoError } from '@sotto/base';
import type { Basis, Ptr } from '../ring/index.js';
import type { RingContext } from './context.js';

/**
 * An RLWE ciphertext: phase = c0 + c1*s = scale * message + noise, rows in NTT form over `basis`, c1 right behind c0.
 * The object owns its memory; {@link release} or the scope it was made in frees it.
 */
export class Ciphertext {
  readonly context: RingContext;
  readonly level: number;
  readonly scale: number;
  readonly basis: Basis;
  #at: Ptr | null;

  /** Memory is not cleared. @param basis defaults to the basis of the level. */
  constructor(context: RingContext, level: number, scale: number, basis: Basis = context.levelBasis(level)) {
    this.context = context;
    this.level = level;
    this.scale = scale;
    this.basis = basis;
    this.#at = context.ring.alloc(2 * basis.size);
    context.arena.adopt(this);
  }

  /** @throws `HE_USE_AFTER_RELEASE` after {@link release}. */
  get c0(): Ptr {
    if (this.#at === null) {
      throw new SottoError('This ciphertext was released.', {
        code: 'HE_USE_AFTER_RELEASE',
        facts: { level: this.level },
        fix: 'Return it from its scope, or keep it, if it is needed later.',
      });
    }
    return this.#at;
  }

  get c1(): Ptr {
    return this.context.row(this.c0, this.basis.size);
  }

  get released(): boolean {
    return this.#at === null;
  }

  /** Bytes of ring memory. */
  get sizeBytes(): number {
    return 2 * this.basis.size * this.context.rowBytes;
  }

  /** Frees the memory; again is harmless. */
  release(): void {
    if (this.#at === null) return;
    this.context.ring.free(this.#at);
    this.#at = null;
    this.context.arena.forget(this);
  }

  [Symbol.dispose](): void {
    this.release();
  }
}
