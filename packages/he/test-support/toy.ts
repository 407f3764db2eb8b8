import { CkksEvaluator, type PlaintextForm } from '../src/ckks/index.js';
import { type Backend, createReferenceBackend } from '../src/ring/index.js';
import {
  type Ciphertext,
  EvaluationKey,
  EvaluationKeySet,
  type Parameters,
  RingContext,
} from '../src/rlwe/index.js';
import type { SlotVector } from '../src/scheme/index.js';
import { Decryptor, Encryptor, KeyGenerator, SecretKey } from '../src/secret/index.js';

export interface ToyOptions {
  backend?: Backend;
  rotations?: readonly number[];
  /** Highest level of the keys; the fresh level by default. */
  keyLevel?: number;
  plaintexts?: PlaintextForm;
}

/** Client and server in one object, for tests only: it holds the secret next to the evaluator. */
export interface Toy {
  readonly context: RingContext;
  readonly secret: SecretKey;
  readonly generator: KeyGenerator;
  readonly encryptor: Encryptor;
  readonly decryptor: Decryptor;
  readonly keys: EvaluationKeySet;
  readonly evaluator: CkksEvaluator;
  encrypt(values: SlotVector, level?: number): Ciphertext;
  decrypt(a: Ciphertext, slots?: number): { re: Float64Array; im: Float64Array };
}

export function createToy(params: Parameters, options: ToyOptions = {}): Toy {
  const backend = options.backend ?? createReferenceBackend();
  const context = new RingContext(params, backend.createRing({ logN: params.logN, primes: params.primes }));
  const secret = SecretKey.generate(params);
  const generator = new KeyGenerator(context, secret);
  const encryptor = new Encryptor(context, secret);
  const decryptor = new Decryptor(context, secret);
  const level = options.keyLevel ?? params.freshLevel;
  const seeded = [
    generator.relinearisation(level),
    generator.conjugation(level),
    ...(options.rotations ?? []).map((k) => generator.rotation(k, level)),
  ];
  const keys = new EvaluationKeySet(
    context,
    seeded.map((key) => EvaluationKey.expand(context, key)),
  );
  const evaluator = new CkksEvaluator(context, keys, { plaintexts: options.plaintexts ?? 'rows' });
  return {
    context,
    secret,
    generator,
    encryptor,
    decryptor,
    keys,
    evaluator,
    encrypt: (values, at = params.freshLevel) =>
      encryptor.encryptNew(evaluator.encoder.embed(values, params.levels[at].scale), at),
    decrypt: (a, slots) => evaluator.encoder.project(decryptor.decrypt(a), a.scale, slots),
  };
}
