import { SottoError } from '@sotto/base';
import { Encoder } from '@sotto/he/ckks';
import type { Backend } from '@sotto/he/ring';
import {
  deserializeCiphertext,
  type EvaluationKeyId,
  type Parameters,
  RingContext,
  serializeEvaluationKey,
  serializeSeededCiphertext,
} from '@sotto/he/rlwe';
import type { SlotVector } from '@sotto/he/scheme';
import {
  Decryptor,
  deserializeSecretKey,
  Encryptor,
  flood,
  floodingLogBound,
  KeyGenerator,
  RandomSource,
  SecretKey,
  serializeSecretKey,
} from '@sotto/he/secret';

/** Canonical scales of one level agree to this. */
const SCALE_TOLERANCE = 2 ** -40;

/** Slots of an honest computation stay below this, and no coefficient exceeds the largest slot. */
const LARGEST_REFRESHED = 8;

/** What refreshed slots keep (rms): as much as after a bootstrapping, which every plan allows for. */
export const FLOODED_BITS = 22;

/**
 * The secret key with everything that uses it. Only bytes that are safe to send come out, besides decrypted slots and what
 * {@link Vault.exportSecret} gives to a key file.
 */
export class Vault {
  readonly params: Parameters;
  readonly #context: RingContext;
  readonly #secret: SecretKey;
  readonly #generator: KeyGenerator;
  readonly #encryptor: Encryptor;
  readonly #decryptor: Decryptor;
  readonly #encoder: Encoder;
  readonly #random = new RandomSource();

  /**
   * @param secret of an earlier {@link exportSecret}; a fresh one is made without it.
   * @throws `HE_PARAMETERS_MISMATCH` for a secret of other parameters, and `DATA_VALUE`.
   */
  constructor(params: Parameters, backend: Backend, secret?: Uint8Array) {
    this.params = params;
    this.#secret = secret === undefined ? SecretKey.generate(params) : deserializeSecretKey(params, secret);
    this.#context = new RingContext(params, backend.createRing({ logN: params.logN, primes: params.primes }));
    this.#generator = new KeyGenerator(this.#context, this.#secret);
    this.#encryptor = new Encryptor(this.#context, this.#secret);
    this.#decryptor = new Decryptor(this.#context, this.#secret);
    this.#encoder = new Encoder(this.#context.ring);
  }

  /** Names the secret without telling anything about it. */
  get secretId(): string {
    return this.#secret.setId;
  }

  /** The secret itself, serialised: for the user's own key file and nothing else. */
  exportSecret(): Uint8Array {
    return serializeSecretKey(this.#secret);
  }

  /** One evaluation key, serialised. */
  makeKey(id: EvaluationKeyId, maxLevel: number): Uint8Array {
    return serializeEvaluationKey(this.#generator.make(id, maxLevel));
  }

  /** A fresh ciphertext, serialised. */
  encrypt(values: SlotVector, level = this.params.freshLevel): Uint8Array {
    const { scale } = this.#context.level(level);
    return this.#seal(this.#encoder.embed(values, scale), level);
  }

  /** @param slots period of the values. */
  decrypt(bytes: Uint8Array, slots?: number): { re: Float64Array; im: Float64Array } {
    using ciphertext = deserializeCiphertext(this.#context, bytes);
    return this.#encoder.project(this.#decryptor.decrypt(ciphertext), ciphertext.scale, slots);
  }

  /**
   * Decrypts, floods and encrypts anew at `level`. What goes back is a fresh encryption, so the server sees no decrypted value; the
   * flooding ({@link FLOODED_BITS}) keeps the key-dependent noise of what the server sent out of the values that it goes on with, and
   * so out of everything that is decrypted later. Only what an honest server sends is accepted: the lowest level at its own scale,
   * and values of honest size.
   *
   * @throws SottoError `REFRESH_LEVEL`, `REFRESH_ESCAPED`, and the errors of `deserializeCiphertext`.
   */
  refresh(bytes: Uint8Array, level = this.params.freshLevel): Uint8Array {
    const { bottomLevel } = this.params;
    using ciphertext = deserializeCiphertext(this.#context, bytes);
    const { scale } = this.#context.level(bottomLevel);
    if (ciphertext.level !== bottomLevel || Math.abs(ciphertext.scale / scale - 1) > SCALE_TOLERANCE) {
      throw new SottoError('The ciphertext to refresh is not at the lowest level.', {
        code: 'REFRESH_LEVEL',
        facts: { level: ciphertext.level, expected: bottomLevel },
        fix: 'Use the same Sotto version at client and server.',
      });
    }
    const factor = this.#context.level(level).scale / ciphertext.scale;
    const coefficients = this.#decryptor.decrypt(ciphertext);
    flood(coefficients, floodingLogBound(FLOODED_BITS, ciphertext.scale, this.params.n), this.#random);
    let largest = 0;
    for (let i = 0; i < coefficients.length; i++) {
      largest = Math.max(largest, Math.abs(coefficients[i]!));
      coefficients[i]! *= factor;
    }
    if (!(largest < LARGEST_REFRESHED * ciphertext.scale)) {
      throw new SottoError('The encrypted computation left its calibrated range; its result is void.', {
        code: 'REFRESH_ESCAPED',
        fix: 'Avoid rare characters in the private part. If it happens with plain text, do not trust this server.',
      });
    }
    return this.#seal(coefficients, level);
  }

  /** Overwrites the secret and frees the ring. */
  dispose(): void {
    this.#secret.dispose();
    this.#context.ring.dispose();
  }

  #seal(coefficients: Float64Array, level: number): Uint8Array {
    return serializeSeededCiphertext(this.#encryptor.encryptSeeded(coefficients, level));
  }
}
