import type { Basis, Ptr } from '../ring/index.js';
import type { RingContext, Scratch } from '../rlwe/index.js';
import { useAfterRelease } from '../scheme/errors.js';
import type { Plain, SlotVector } from '../scheme/evaluator.js';
import type { Encoder } from './encoder.js';

/**
 * How a plaintext waits for its uses. `rows`: as a polynomial in ring memory, ready. `coefficients`: as one double a coefficient
 * outside the ring, reduced and transformed again at every use; at N = 2^16 over 18 rows that is 0.5 MB instead of 4.7 MB for
 * about 2 ms a use.
 */
export type PlaintextForm = 'rows' | 'coefficients';

/** Rows of a plaintext while they are needed: `using rows = plain.load()`. */
export interface LoadedPlaintext {
  readonly at: Ptr;
  [Symbol.dispose](): void;
}

interface Target {
  level: number;
  scale: number;
  purpose: 'product' | 'addition';
  basis?: Basis;
  form?: PlaintextForm;
  /** Slots by which the values are rotated first: v[(i + turn) mod length]. */
  turn?: number;
}

/** An encoded polynomial; for products its rows are in Montgomery form and in cold memory. Owns its memory. */
export class Plaintext implements Plain {
  readonly level: number;
  readonly scale: number;
  readonly basis: Basis;
  readonly purpose: 'product' | 'addition';
  readonly #context: RingContext;
  /** Every `stride`-th coefficient; the others are zero. Null in the form of rows. */
  #coefficients: Float64Array | null = null;
  #rows: Ptr | null = null;

  /** @throws as {@link Encoder.embed}, and `HE_ENCODE_RANGE` when the level's modulus is too small for the values. */
  constructor(context: RingContext, encoder: Encoder, values: SlotVector, target: Target) {
    const coefficients = encoder.embed(values, target.scale, target.turn);
    this.#context = context;
    this.level = target.level;
    this.scale = target.scale;
    this.purpose = target.purpose;
    this.basis = target.basis ?? context.levelBasis(target.level);
    context.checkCoefficients(coefficients, this.basis);
    if (target.form === 'coefficients') {
      const stride = context.n / Math.min(context.n, 2 * values.re.length);
      this.#coefficients =
        stride === 1
          ? coefficients
          : Float64Array.from({ length: context.n / stride }, (_, i) => coefficients[i * stride]);
    } else if (this.purpose === 'addition') {
      this.#rows = context.ring.alloc(this.basis.size);
      this.#write(this.#rows, coefficients);
    } else {
      using scratch = context.scratch(this.basis.size);
      this.#write(scratch.at, coefficients);
      this.#rows = context.ring.allocCold(this.basis.size);
      context.ring.copy(this.#rows, scratch.at, this.basis);
    }
  }

  #write(at: Ptr, coefficients: Float64Array): void {
    const { ring } = this.#context;
    ring.liftDoubles(at, coefficients, this.basis);
    ring.ntt(at, this.basis);
    if (this.purpose === 'product') ring.toMontgomery(at, at, this.basis);
  }

  /** @throws `HE_USE_AFTER_RELEASE` */
  load(): LoadedPlaintext {
    if (this.#rows !== null) return { at: this.#rows, [Symbol.dispose]() {} };
    if (this.#coefficients === null) throw useAfterRelease('plaintext');
    const context = this.#context;
    const scratch: Scratch = context.scratch(this.basis.size);
    const stride = context.n / this.#coefficients.length;
    let all = this.#coefficients;
    if (stride > 1) {
      all = new Float64Array(context.n);
      for (let i = 0; i < this.#coefficients.length; i++) all[i * stride] = this.#coefficients[i];
    }
    this.#write(scratch.at, all);
    return scratch;
  }

  /** Memory in the ring. */
  get sizeBytes(): number {
    return this.#rows === null ? 0 : this.basis.size * this.#context.rowBytes;
  }

  release(): void {
    this.#coefficients = null;
    if (this.#rows === null) return;
    this.#context.ring.free(this.#rows);
    this.#rows = null;
  }
}

/** The rows of several plaintexts at once: `using rows = loadAll(plains)`. */
export function loadAll(plains: readonly Plaintext[]): { at: Ptr[]; [Symbol.dispose](): void } {
  const loaded = plains.map((plain) => plain.load());
  return {
    at: loaded.map(({ at }) => at),
    [Symbol.dispose]() {
      for (const one of loaded) one[Symbol.dispose]();
    },
  };
}
