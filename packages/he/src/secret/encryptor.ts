import { randomBytes, SottoError } from '@sotto/base';
import {
  CIPHERTEXT_DOMAIN,
  Ciphertext,
  type RingContext,
  SEED_BYTES,
  type SeededCiphertext,
} from '../rlwe/index.js';
import { RandomSource } from './random-source.js';
import { GaussianSampler } from './samplers.js';
import { checkParameters, type SecretKey } from './secret-key.js';

/** Symmetric encryption of scaled coefficients: (c0, c1) = (m + e - a s, a), a from a fresh seed. */
export class Encryptor {
  readonly context: RingContext;
  readonly #secret: SecretKey;
  readonly #random: RandomSource;
  readonly #gaussian: GaussianSampler;

  /** @throws `HE_PARAMETERS_MISMATCH` */
  constructor(context: RingContext, secret: SecretKey, random: RandomSource = new RandomSource()) {
    checkParameters(secret, context);
    this.context = context;
    this.#secret = secret;
    this.#random = random;
    this.#gaussian = new GaussianSampler(context.params.errorStd);
  }

  /**
   * @param coefficients N coefficients, already multiplied by `scale`, magnitude below 2^62.
   * @param level any level; circuits start at params.freshLevel.
   * @param scale defaults to the canonical scale of the level.
   * @throws `HE_SHAPE`, `HE_ENCODE_RANGE`, `HE_LEVEL_RANGE`
   */
  encryptNew(
    coefficients: Float64Array,
    level: number,
    scale: number = this.context.level(level).scale,
  ): Ciphertext {
    this.#check(coefficients, level);
    const out = new Ciphertext(this.context, level, scale);
    this.#encrypt(out, coefficients, randomBytes(SEED_BYTES));
    return out;
  }

  /** As {@link encryptNew}, in the form in which it travels: half the bytes. */
  encryptSeeded(
    coefficients: Float64Array,
    level: number,
    scale: number = this.context.level(level).scale,
  ): SeededCiphertext {
    this.#check(coefficients, level);
    const seed = randomBytes(SEED_BYTES);
    using full = new Ciphertext(this.context, level, scale);
    this.#encrypt(full, coefficients, seed);
    const c0 = this.context.ring.read(full.c0, full.basis.size * this.context.n);
    return { parameters: this.context.params, level, scale, seed, c0 };
  }

  #check(coefficients: Float64Array, level: number): void {
    if (coefficients.length !== this.context.n) {
      throw new SottoError('The number of coefficients is not the ring degree.', {
        code: 'HE_SHAPE',
        facts: { got: coefficients.length, expected: this.context.n },
      });
    }
    this.context.checkCoefficients(coefficients, this.context.levelBasis(level));
  }

  #encrypt(out: Ciphertext, coefficients: Float64Array, seed: Uint8Array): void {
    const { context } = this;
    const { ring } = context;
    const { basis, c0, c1 } = out;
    using work = context.scratch(basis.size);
    // Lifted apart from the message: beyond 2^53 a double sum would round the error away.
    const error = this.#gaussian.sample(this.#random, context.n);
    ring.liftDoubles(c0, coefficients, basis);
    ring.liftDoubles(work.at, error, basis);
    error.fill(0);
    ring.add(c0, c0, work.at, basis);
    ring.ntt(c0, basis);
    ring.uniform(c1, seed, CIPHERTEXT_DOMAIN, basis);
    context.mulTable(work.at, c1, this.#secret.table(context), basis);
    ring.sub(c0, c0, work.at, basis);
    ring.zero(work.at, basis);
  }
}
