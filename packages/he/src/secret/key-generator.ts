import { randomBytes, SottoError } from '@sotto/base';
import type { Basis, Ptr } from '../ring/index.js';
import {
  denseToSparsePlan,
  type EvaluationKeyId,
  type KeySwitchPlan,
  keySwitchPlan,
  type RingContext,
  SEED_BYTES,
  type SeededEvaluationKey,
  sparseToDensePlan,
} from '../rlwe/index.js';
import { RandomSource } from './random-source.js';
import { GaussianSampler } from './samplers.js';
import { checkParameters, liftSecret, type SecretKey } from './secret-key.js';

export interface KeyOptions {
  /** Number of gadget digits; the plan chooses when absent. */
  digits?: number;
}

/**
 * Makes evaluation keys in the form in which they travel. One key at a time is in memory, so a client can make and upload any
 * number of them as a stream.
 */
export class KeyGenerator {
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

  /** Key of s^2 for ciphertext products at levels up to maxLevel. */
  relinearisation(maxLevel: number, options: KeyOptions = {}): SeededEvaluationKey {
    return this.make({ kind: 'relin' }, maxLevel, options);
  }

  /** Key of the rotation by k slots. */
  rotation(k: number, maxLevel: number, options: KeyOptions = {}): SeededEvaluationKey {
    return this.make({ kind: 'galois', galois: this.context.galoisOfRotation(k) }, maxLevel, options);
  }

  /** Key of the complex conjugation. */
  conjugation(maxLevel: number, options: KeyOptions = {}): SeededEvaluationKey {
    return this.make({ kind: 'galois', galois: this.context.galoisOfConjugation }, maxLevel, options);
  }

  /**
   * Any key by its name; `maxLevel` and `digits` do not apply to the encapsulation kinds, whose plans are fixed.
   * @throws `HE_KEY_PLAN`, `HE_NO_BOOTSTRAP`, `HE_KEY_GALOIS`
   */
  make(id: EvaluationKeyId, maxLevel: number, options: KeyOptions = {}): SeededEvaluationKey {
    const { params } = this.context;
    switch (id.kind) {
      case 'relin':
        return this.#relinearisation(keySwitchPlan(params, maxLevel, options));
      case 'galois':
        return this.#galois(id.galois, keySwitchPlan(params, maxLevel, options));
      case 'denseToSparse':
        return this.#denseToSparse();
      case 'sparseToDense':
        return this.#sparseToDense();
    }
  }

  #relinearisation(plan: KeySwitchPlan): SeededEvaluationKey {
    const { context } = this;
    const rows = context.basis(plan.rows);
    using input = context.scratch(rows.size);
    using output = context.scratch(rows.size);
    context.ring.select(output.at, rows, this.#secret.table(context), context.all);
    context.ring.mul(input.at, output.at, output.at, rows);
    return this.#switchKey({ kind: 'relin' }, plan, input.at, output.at, rows);
  }

  #galois(galois: number, plan: KeySwitchPlan): SeededEvaluationKey {
    const { context } = this;
    const order = 2 * context.n;
    if (!Number.isInteger(galois) || galois < 1 || galois >= order || galois % 2 === 0) {
      throw new SottoError('A Galois element is odd and below 2N.', {
        code: 'HE_KEY_GALOIS',
        facts: { galois, twoN: order },
      });
    }
    // The automorphism acts after the inner product, so the key leads to the secret that it will carry back to s.
    const rows = context.basis(plan.rows);
    using input = context.scratch(rows.size);
    using output = context.scratch(rows.size);
    context.ring.select(input.at, rows, this.#secret.table(context), context.all);
    context.ring.permute(output.at, input.at, inverseModPowerOfTwo(galois, order), rows);
    return this.#switchKey({ kind: 'galois', galois }, plan, input.at, output.at, rows);
  }

  #denseToSparse(): SeededEvaluationKey {
    return this.#fromCoefficients(
      { kind: 'denseToSparse' },
      denseToSparsePlan(this.context.params),
      this.#secret.main,
      this.#ephemeral(),
    );
  }

  #sparseToDense(): SeededEvaluationKey {
    return this.#fromCoefficients(
      { kind: 'sparseToDense' },
      sparseToDensePlan(this.context.params),
      this.#ephemeral(),
      this.#secret.main,
    );
  }

  /** The ephemeral secret after the checks that its security rests on: its weight, and the degree of the ring. */
  #ephemeral(): Int8Array {
    const { params } = this.context;
    const ephemeral = this.#secret.ephemeral;
    if (params.bootstrap === null || ephemeral === null) {
      throw new SottoError('These parameters have no bootstrapping, hence no ephemeral secret.', {
        code: 'HE_NO_BOOTSTRAP',
        facts: { parameters: params.name },
        fix: 'Use parameters with bootstrapping.',
      });
    }
    const weight = ephemeral.reduce((sum, c) => sum + Math.abs(c), 0);
    const insecure = params.name.includes('insecure');
    if (weight !== params.bootstrap.ephemeralWeight || (!insecure && (weight < 32 || params.logN < 15))) {
      throw new SottoError('The ephemeral secret does not have the weight that its security rests on.', {
        code: 'HE_EPHEMERAL_WEIGHT',
        facts: { expected: params.bootstrap.ephemeralWeight, logN: params.logN },
        fix: 'Make a new secret key.',
      });
    }
    return ephemeral;
  }

  #fromCoefficients(
    id: EvaluationKeyId,
    plan: KeySwitchPlan,
    from: Int8Array,
    to: Int8Array,
  ): SeededEvaluationKey {
    const { context } = this;
    const rows = context.basis(plan.rows);
    using input = context.scratch(rows.size);
    using output = context.scratch(rows.size);
    liftSecret(context, input.at, from, rows);
    liftSecret(context, output.at, to, rows);
    for (const at of [input.at, output.at]) context.ring.toMontgomery(at, at, rows);
    return this.#switchKey(id, plan, input.at, output.at, rows);
  }

  /** b_d = -a_d s_out + e_d + P g_d s_in, both secrets in Montgomery form. They are overwritten before they are freed. */
  #switchKey(
    id: EvaluationKeyId,
    plan: KeySwitchPlan,
    input: Ptr,
    output: Ptr,
    rows: Basis,
  ): SeededEvaluationKey {
    const { context } = this;
    const { ring } = context;
    const seed = randomBytes(SEED_BYTES);
    const pResidues = context.fromMontgomery(context.productResidues(plan.special, rows), rows);
    using work = context.scratch(2 * rows.size);
    const b = work.at;
    const a = context.row(work.at, rows.size);
    const digits = plan.digits.map((digit, d) => {
      ring.uniform(a, seed, d, rows);
      ring.mul(a, a, output, rows);
      this.#error(b, rows);
      ring.sub(b, b, a, rows);
      const gadget = plan.raised ? plan.basis : digit;
      ring.mulConstAdd(
        b,
        input,
        pResidues.map((p, row) => (gadget.includes(rows.indices[row]) ? p : 0)),
        rows,
      );
      return ring.read(b, rows.size * context.n);
    });
    for (const at of [input, output, a]) ring.zero(at, rows);
    return {
      id,
      plan,
      setId: this.#secret.setId,
      parameters: context.params,
      seed,
      b: digits,
    };
  }

  #error(out: Ptr, rows: Basis): void {
    const error = this.#gaussian.sample(this.#random, this.context.n);
    this.context.ring.liftDoubles(out, error, rows);
    error.fill(0);
    this.context.ring.ntt(out, rows);
  }
}

function inverseModPowerOfTwo(odd: number, modulus: number): number {
  let inverse = odd;
  for (let i = 0; i < 5; i++) inverse = Math.imul(inverse, 2 - Math.imul(odd, inverse));
  return (inverse >>> 0) % modulus;
}
