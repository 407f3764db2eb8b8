import { SottoError } from '@sotto/base';
import type { Basis, Ptr } from '../ring/index.js';
import type { RingContext } from './context.js';
import type { EvaluationKeyId, KeySwitchPlan } from './key-plan.js';
import type { Parameters } from './parameters.js';

/** Bytes of a XOF seed. */
export const SEED_BYTES = 32;

/**
 * A switching key as it travels: for every digit the b polynomial, plain residues in NTT form over `plan.rows`; the uniform
 * a polynomials are the expansion of `seed` with domain = digit number.
 */
export interface SeededEvaluationKey {
  readonly id: EvaluationKeyId;
  readonly plan: KeySwitchPlan;
  /** Names the secret: keys of different sets never mix. 32 hex digits. */
  readonly setId: string;
  readonly parameters: Parameters;
  readonly seed: Uint8Array;
  /** plan.digits.length arrays of plan.rows.length * N words. */
  readonly b: readonly Uint32Array[];
}

/**
 * A switching key in cold ring memory, in the layout of {@link Ring.innerProduct}: b_d + a_d s' = P g_d s + e_d for digit d, with g_d = 1
 * on the primes of the digit and 0 on the others. A Galois key for g has input secret s and output secret s(X^(1/g)): the
 * automorphism is applied to the result of the inner product.
 */
export class EvaluationKey {
  readonly context: RingContext;
  readonly id: EvaluationKeyId;
  readonly plan: KeySwitchPlan;
  readonly setId: string;
  readonly basis: Basis;
  #at: Ptr | null;

  private constructor(context: RingContext, key: SeededEvaluationKey, at: Ptr) {
    this.context = context;
    this.id = key.id;
    this.plan = key.plan;
    this.setId = key.setId;
    this.basis = context.basis(key.plan.rows);
    this.#at = at;
  }

  /**
   * Expands the seed and brings the key into the layout and form of the kernels.
   * @throws `HE_PARAMETERS_MISMATCH` when the key was made for other parameters.
   */
  static expand(context: RingContext, key: SeededEvaluationKey): EvaluationKey {
    if (key.parameters.digest !== context.params.digest) {
      throw new SottoError('This evaluation key belongs to other parameters.', {
        code: 'HE_PARAMETERS_MISMATCH',
        facts: { parameters: context.params.name },
        fix: 'Make keys for the parameters the server uses.',
      });
    }
    const { ring } = context;
    const basis = context.basis(key.plan.rows);
    const digits = key.plan.digits.length;
    const singles = basis.indices.map((i) => ring.basis([i]));
    const at = ring.allocCold(2 * digits * basis.size);
    using temporary = context.scratch(basis.size);
    for (let d = 0; d < digits; d++) {
      for (const half of [0, 1]) {
        if (half === 0) ring.write(temporary.at, key.b[d]);
        else ring.uniform(temporary.at, key.seed, d, basis);
        ring.toMontgomery(temporary.at, temporary.at, basis);
        for (let row = 0; row < basis.size; row++) {
          ring.copy(
            context.row(at, (row * digits + d) * 2 + half),
            context.row(temporary.at, row),
            singles[row],
          );
        }
      }
    }
    return new EvaluationKey(context, key, at);
  }

  /** @throws `HE_USE_AFTER_RELEASE` after {@link release}. */
  get at(): Ptr {
    if (this.#at === null) {
      throw new SottoError('This evaluation key was released.', {
        code: 'HE_USE_AFTER_RELEASE',
        facts: { key: describeKey(this.context, this.id) },
      });
    }
    return this.#at;
  }

  get maxLevel(): number {
    return this.plan.maxLevel;
  }

  get sizeBytes(): number {
    return 2 * this.plan.digits.length * this.basis.size * this.context.rowBytes;
  }

  release(): void {
    if (this.#at === null) return;
    this.context.ring.free(this.#at);
    this.#at = null;
  }
}

/** A short name of a key for people: `relinearisation`, `rotation 3 (galois 125)`. */
export function describeKey(context: RingContext, id: EvaluationKeyId): string {
  if (id.kind === 'relin') return 'relinearisation';
  if (id.kind !== 'galois') return id.kind;
  if (id.galois === context.galoisOfConjugation) return `conjugation (galois ${id.galois})`;
  return `rotation ${context.rotationOfGalois(id.galois) ?? 'with conjugation'} (galois ${id.galois})`;
}

const nameOf = (id: EvaluationKeyId) => (id.kind === 'galois' ? `galois/${id.galois}` : id.kind);

/** The keys an evaluator may use. Several keys of one kind may serve different levels. */
export class EvaluationKeySet {
  readonly context: RingContext;
  readonly #keys = new Map<string, EvaluationKey[]>();
  #setId: string | null = null;

  constructor(context: RingContext, keys: Iterable<EvaluationKey> = []) {
    this.context = context;
    for (const key of keys) this.add(key);
  }

  /** Name of the set, or null while it is empty. */
  get setId(): string | null {
    return this.#setId;
  }

  get size(): number {
    return [...this].length;
  }

  get sizeBytes(): number {
    let bytes = 0;
    for (const key of this) bytes += key.sizeBytes;
    return bytes;
  }

  /** @throws `HE_KEY_SET_MIXED` when the key belongs to another secret, `HE_CONTEXT_MISMATCH` to another context. */
  add(key: EvaluationKey): void {
    if (key.context !== this.context) {
      throw new SottoError('This key lives in another ring.', {
        code: 'HE_CONTEXT_MISMATCH',
        facts: { key: nameOf(key.id) },
      });
    }
    if (this.#setId !== null && this.#setId !== key.setId) {
      throw new SottoError('Evaluation keys of two secrets cannot be mixed.', {
        code: 'HE_KEY_SET_MIXED',
        facts: { setId: this.#setId, otherSetId: key.setId },
        fix: 'Load the keys of one key set only.',
      });
    }
    this.#setId = key.setId;
    const name = nameOf(key.id);
    const same = (this.#keys.get(name) ?? []).filter((other) => {
      if (other.maxLevel === key.maxLevel && other !== key) other.release();
      return other.maxLevel !== key.maxLevel;
    });
    this.#keys.set(
      name,
      [...same, key].sort((a, b) => a.maxLevel - b.maxLevel),
    );
  }

  /** The key with the smallest sufficient maxLevel, or null; with a plan only a key of that plan. */
  find(id: EvaluationKeyId, level: number, plan?: KeySwitchPlan): EvaluationKey | null {
    const keys = this.#keys.get(nameOf(id));
    return keys?.find((key) => key.maxLevel >= level && (plan === undefined || key.plan === plan)) ?? null;
  }

  /** @throws `HE_KEY_MISSING` with the Galois element, the rotation and the level. */
  get(id: EvaluationKeyId, level: number): EvaluationKey {
    const key = this.find(id, level);
    if (key !== null) return key;
    const galois = id.kind === 'galois' ? id.galois : null;
    const highest = this.#keys.get(nameOf(id))?.at(-1)?.maxLevel;
    throw new SottoError(
      `The evaluation key for ${describeKey(this.context, id)} at level ${level} is missing.`,
      {
        code: 'HE_KEY_MISSING',
        facts: {
          kind: id.kind,
          level,
          ...(galois === null ? {} : { galois, rotation: this.context.rotationOfGalois(galois) }),
          ...(highest === undefined ? {} : { highestLevelPresent: highest }),
        },
        fix: 'Add this key to the list of keys that the client makes.',
      },
    );
  }

  [Symbol.iterator](): IterableIterator<EvaluationKey> {
    return [...this.#keys.values()].flat()[Symbol.iterator]();
  }

  /** Frees every key. */
  release(): void {
    for (const key of this) key.release();
    this.#keys.clear();
    this.#setId = null;
  }
}
