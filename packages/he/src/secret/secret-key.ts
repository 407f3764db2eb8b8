import { randomBytes, SottoError, toHex } from '@sotto/base';
import type { Basis, Ptr } from '../ring/index.js';
import type { Parameters, RingContext } from '../rlwe/index.js';
import { RandomSource } from './random-source.js';
import { sampleFixedWeight, sampleTernary } from './samplers.js';

/**
 * The secret of a client: the main secret and, for bootstrapping parameters, the sparse ephemeral secret that only the
 * encapsulation keys see. {@link dispose} overwrites it.
 */
export class SecretKey {
  readonly parametersDigest: string;
  /** Names everything made with this secret; random, tells nothing about it. 32 hex digits. */
  readonly setId: string;
  readonly #main: Int8Array;
  readonly #ephemeral: Int8Array | null;
  readonly #tables = new Map<RingContext, Ptr>();
  #disposed = false;

  /** Takes over the arrays of coefficients in -1..1. */
  constructor(parametersDigest: string, setId: string, main: Int8Array, ephemeral: Int8Array | null) {
    this.parametersDigest = parametersDigest;
    this.setId = setId;
    this.#main = main;
    this.#ephemeral = ephemeral;
  }

  /** A fresh secret with the distributions of the parameters. */
  static generate(params: Parameters, random: RandomSource = new RandomSource()): SecretKey {
    const main =
      params.secret.kind === 'uniformTernary'
        ? sampleTernary(random, params.n)
        : sampleFixedWeight(random, params.n, params.secret.weight);
    const ephemeral = params.bootstrap
      ? sampleFixedWeight(random, params.n, params.bootstrap.ephemeralWeight)
      : null;
    return new SecretKey(params.digest, toHex(randomBytes(16)), main, ephemeral);
  }

  /** @throws `HE_SECRET_DISPOSED` after {@link dispose}. */
  get main(): Int8Array {
    this.#check();
    return this.#main;
  }

  /** Null for parameters without bootstrapping. */
  get ephemeral(): Int8Array | null {
    this.#check();
    return this.#ephemeral;
  }

  /** The main secret in NTT and Montgomery form, a row for every prime; belongs to this key. */
  table(context: RingContext): Ptr {
    this.#check();
    checkParameters(this, context);
    let table = this.#tables.get(context);
    if (table === undefined) {
      table = context.ring.alloc(context.all.size);
      liftSecret(context, table, this.#main, context.all);
      context.ring.toMontgomery(table, table, context.all);
      this.#tables.set(context, table);
    }
    return table;
  }

  /** Overwrites and frees every copy of the secret. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#main.fill(0);
    this.#ephemeral?.fill(0);
    for (const [context, table] of this.#tables) {
      context.ring.zero(table, context.all);
      context.ring.free(table);
    }
    this.#tables.clear();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #check(): void {
    if (this.#disposed) {
      throw new SottoError('This secret key was disposed of.', {
        code: 'HE_SECRET_DISPOSED',
        fix: 'Load the key again.',
      });
    }
  }
}

/** @throws `HE_PARAMETERS_MISMATCH` */
export function checkParameters(key: SecretKey, context: RingContext): void {
  if (key.parametersDigest === context.params.digest) return;
  throw new SottoError('This secret key belongs to other parameters.', {
    code: 'HE_PARAMETERS_MISMATCH',
    facts: { parameters: context.params.name },
    fix: 'Use the key file made for these parameters.',
  });
}

/** Small coefficients to NTT form, plain. */
export function liftSecret(context: RingContext, out: Ptr, coefficients: Int8Array, basis: Basis): void {
  const doubles = Float64Array.from(coefficients);
  context.ring.liftDoubles(out, doubles, basis);
  doubles.fill(0);
  context.ring.ntt(out, basis);
}
