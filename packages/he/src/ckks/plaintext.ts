import type { Basis, Ptr } from '../ring/index.js';
import type { RingContext } from '../rlwe/index.js';
import { useAfterRelease } from '../scheme/errors.js';
import type { Plain, SlotVector } from '../scheme/evaluator.js';
import type { Encoder } from './encoder.js';

/** An encoded polynomial in NTT form; for products also in Montgomery form. Owns its memory. */
export class Plaintext implements Plain {
  readonly level: number;
  readonly scale: number;
  readonly basis: Basis;
  readonly purpose: 'product' | 'addition';
  readonly #context: RingContext;
  #at: Ptr | null;

  /** @throws as {@link Encoder.embed}, and `HE_ENCODE_RANGE` when the level's modulus is too small for the values. */
  constructor(
    context: RingContext,
    encoder: Encoder,
    values: SlotVector,
    target: { level: number; scale: number; purpose: 'product' | 'addition'; basis?: Basis },
  ) {
    const { ring } = context;
    const coefficients = encoder.embed(values, target.scale);
    this.#context = context;
    this.level = target.level;
    this.scale = target.scale;
    this.purpose = target.purpose;
    this.basis = target.basis ?? context.levelBasis(target.level);
    context.checkCoefficients(coefficients, this.basis);
    const at = ring.alloc(this.basis.size);
    ring.liftDoubles(at, coefficients, this.basis);
    ring.ntt(at, this.basis);
    if (target.purpose === 'product') ring.toMontgomery(at, at, this.basis);
    this.#at = at;
  }

  /** @throws `HE_USE_AFTER_RELEASE` */
  get at(): Ptr {
    if (this.#at === null) throw useAfterRelease('plaintext');
    return this.#at;
  }

  get sizeBytes(): number {
    return this.basis.size * this.#context.rowBytes;
  }

  release(): void {
    if (this.#at === null) return;
    this.#context.ring.free(this.#at);
    this.#at = null;
  }
}
