import { SottoError } from '@sotto/base';
import type { Basis } from '../ring/index.js';
import { type Ciphertext, centredDoubles, centredIntegers, type RingContext } from '../rlwe/index.js';
import { checkParameters, type SecretKey } from './secret-key.js';

/** Reads ciphertexts. The phase m + noise comes out as centred coefficients; a scheme's decoder makes values of them. */
export class Decryptor {
  readonly context: RingContext;
  readonly #secret: SecretKey;

  /** @throws `HE_PARAMETERS_MISMATCH` */
  constructor(context: RingContext, secret: SecretKey) {
    checkParameters(secret, context);
    this.context = context;
    this.#secret = secret;
  }

  /**
   * The N coefficients of the phase, scale included, exact up to the rounding to doubles. Usually three primes hold the phase;
   * a fourth one tells when they do not, and then all are used.
   */
  decrypt(a: Ciphertext): Float64Array {
    const { basis } = this.#checked(a);
    if (basis.size > 4) {
      const { primes } = this.context.params;
      const largest = [...basis.indices].sort((i, j) => primes[j] - primes[i]).slice(0, 4);
      const quick = centredDoubles(
        this.#phase(a, this.context.basis(largest)),
        primesOf(this.context, largest),
        3,
      );
      if (quick !== null) return quick;
    }
    return centredDoubles(this.#phase(a, basis), primesOf(this.context, basis.indices))!;
  }

  /** The coefficients of the phase, exactly. For tests: slow. */
  decryptCoefficients(a: Ciphertext): bigint[] {
    const { basis } = this.#checked(a);
    return centredIntegers(this.#phase(a, basis), primesOf(this.context, basis.indices));
  }

  #checked(a: Ciphertext): Ciphertext {
    if (a.context.params.digest !== this.context.params.digest || a.context.ring !== this.context.ring) {
      throw new SottoError('This ciphertext lives in another ring.', {
        code: 'HE_CONTEXT_MISMATCH',
        facts: { parameters: this.context.params.name },
      });
    }
    return a;
  }

  #phase(a: Ciphertext, basis: Basis): Uint32Array[] {
    const { context } = this;
    const { ring } = context;
    using work = context.scratch(2 * basis.size);
    const c1 = context.row(work.at, basis.size);
    ring.select(work.at, basis, a.c0, a.basis);
    ring.select(c1, basis, a.c1, a.basis);
    context.mulTable(c1, c1, this.#secret.table(context), basis);
    ring.add(work.at, work.at, c1, basis);
    ring.intt(work.at, basis);
    const words = ring.read(work.at, basis.size * context.n);
    ring.zero(work.at, basis);
    ring.zero(c1, basis);
    return basis.indices.map((_, row) => words.subarray(row * context.n, (row + 1) * context.n));
  }
}

const primesOf = (context: RingContext, indices: readonly number[]) =>
  indices.map((i) => context.params.primes[i]);
