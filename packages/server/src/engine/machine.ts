import { EncryptedTransformer, type SessionSetup } from '@sotto/engine';

import { BootstrapRefresher } from '@sotto/he/bootstrap';
import { CkksEvaluator, type PlaintextForm } from '@sotto/he/ckks';

import type { Ciphertext, EvaluationKeySet, RingContext } from '@sotto/he/rlwe';
import type { Refresher } from '@sotto/he/scheme';
import type { LlamaModel } from '@sotto/model';
import { COEFFICIENT_CACHE_BYTES, coefficientBytes, plainBytes } from './forecast.js';

/** Rows of the weights that a plan counts on fit in less. */
const ROW_CACHE_BYTES = 6 * 2 ** 30;

/** What computes in a session, once every key is there. */
export interface Machine {
  readonly evaluator: CkksEvaluator;
  readonly transformer: EncryptedTransformer<Ciphertext>;
  readonly bootstrapper: BootstrapRefresher | null;
}

export interface MachineOptions {
  readonly model: LlamaModel;
  readonly setup: SessionSetup;
  readonly context: RingContext;
  readonly keys: EvaluationKeySet;
  /** How encoded weights wait: see {@link engineMemory}. */
  readonly plaintexts: PlaintextForm;
  /** Refreshes without bootstrapping. */
  readonly clientRefresher: (evaluator: CkksEvaluator) => Refresher<Ciphertext>;
}

/** Encodes the matrices of bootstrapping, if there is one; weights are encoded when they are first used. */
export function makeMachine(options: MachineOptions): Machine {
  const { model, setup, context, keys, plaintexts, clientRefresher } = options;
  const { parameters, plan, calibration, bootstraps } = setup;
  const evaluator = new CkksEvaluator(context, keys, { plaintexts });
  const bootstrapper = bootstraps.length > 0 ? new BootstrapRefresher(evaluator, bootstraps) : null;
  const transformer = new EncryptedTransformer({
    model,
    calibration,
    plan,
    evaluator,
    refresher: bootstrapper ?? clientRefresher(evaluator),
    weightCacheBytes: plaintexts === 'rows' ? ROW_CACHE_BYTES : COEFFICIENT_CACHE_BYTES,
    plainBytes: (level) =>
      plaintexts === 'rows' ? plainBytes(parameters, level) : coefficientBytes(parameters),
  });
  return { evaluator, transformer, bootstrapper };
}
