import type { SessionSetup, TracedScheme } from '@sotto/engine';
import { BootstrapRefresher } from '@sotto/he/bootstrap';
import { CkksEvaluator, type PlaintextForm } from '@sotto/he/ckks';
import type { Backend } from '@sotto/he/ring';
import {
  type Ciphertext,
  EvaluationKey,
  EvaluationKeySet,
  expandCiphertext,
  RingContext,
} from '@sotto/he/rlwe';
import type { Refresher, SlotVector } from '@sotto/he/scheme';
import { Decryptor, Encryptor, KeyGenerator, SecretKey } from '@sotto/he/secret';

/** The encrypted scheme with its secret in the same process: for measuring, never for anyone's data. */
export interface LocalScheme extends TracedScheme<Ciphertext> {
  readonly evaluator: CkksEvaluator;
  dispose(): void;
}

/**
 * Makes fresh keys for a setup and everything that computes with them. A client's refresh is done here: decrypted and encrypted.
 *
 * @param onKey called after each key: how many are made, of how many.
 */
export function makeLocalScheme(
  { parameters, keys, bootstraps, plan }: SessionSetup,
  backend: Backend,
  onKey: (made: number, total: number) => void = () => {},
  plaintexts: PlaintextForm = 'coefficients',
): LocalScheme {
  const ring = backend.createRing({ logN: parameters.logN, primes: parameters.primes });
  const context = new RingContext(parameters, ring);
  const secret = SecretKey.generate(parameters);
  const generator = new KeyGenerator(context, secret);
  const encryptor = new Encryptor(context, secret);
  const decryptor = new Decryptor(context, secret);
  const set = new EvaluationKeySet(context);
  keys.forEach(({ id, maxLevel }, made) => {
    set.add(EvaluationKey.expand(context, generator.make(id, maxLevel)));
    onKey(made + 1, keys.length);
  });
  const evaluator = new CkksEvaluator(context, set, { plaintexts });
  const { encoder } = evaluator;
  const write = (values: SlotVector, level: number): Ciphertext =>
    expandCiphertext(
      context,
      encryptor.encryptSeeded(encoder.embed(values, evaluator.scaleAt(level)), level),
    );
  const read = (value: Ciphertext) => encoder.project(decryptor.decrypt(value), value.scale);
  const here: Refresher<Ciphertext> = {
    outputLevel: plan.topLevel,
    inputLevel: parameters.bottomLevel,
    range: 1,
    count: 0,
    refresh: async (a) => write(read(a), plan.topLevel),
  };
  const refresher = bootstraps.length === 0 ? here : new BootstrapRefresher(evaluator, bootstraps);
  return { evaluator, refresher, write, read, dispose: () => ring.dispose() };
}
