import { EncryptedTransformer, type SessionSetup } from '@sotto/engine';

import { BootstrapRefresher } from '@sotto/he/bootstrap';
import { CkksEvaluator, type PlaintextForm } from '@sotto/he/ckks';

import type { Ciphertext, EvaluationKeySet, RingContext } from '@sotto/he/rlwe';
import type { Refresher } from '@sotto/he/scheme';
import type { LlamaModel } from '@sotto/model';
import { coefficientBytes, plainBytes, serverMemoryForecast } from './forecast.js';

/** Coefficients of every weight of a plan fit easily; rows are kept while they take no more than this. */
const MOST_ROW_BYTES = 3 * 2 ** 30;
const COEFFICIENT_CACHE_BYTES = 2 * 2 ** 30;

/** What computes in a session, once every key is there. */
export interface Machine {
  readonly evaluator: CkksEvaluator;
  readonly transformer: EncryptedTransformer<Ciphertext>;
  readonly bootstrapper: BootstrapRefresher | null;
  /** How encoded weights wait. */
  readonly plaintexts: PlaintextForm;
}

export interface MachineOptions {
  readonly model: LlamaModel;
  readonly setup: SessionSetup;
  readonly context: RingContext;
  readonly keys: EvaluationKeySet;
  /** Memory that encoded weights may count on, among other things. */
  readonly availableBytes: number;
  /** Refreshes without bootstrapping. */
  readonly clientRefresher: (evaluator: CkksEvaluator) => Refresher<Ciphertext>;
}

/** Encodes the matrices of bootstrapping, if there is one; weights are encoded when they are first used. */
export function makeMachine(options: MachineOptions): Machine {
  const { model, setup, context, keys, availableBytes, clientRefresher } = options;
  const { parameters, plan, calibration, bootstraps } = setup;
  // Rows are faster; coefficients take a fifteenth of the memory.
  const { weightMemory } = serverMemoryForecast(setup);
  const roomy = weightMemory < Math.min(MOST_ROW_BYTES, availableBytes / 2);
  const plaintexts = roomy ? 'rows' : 'coefficients';
  const evaluator = new CkksEvaluator(context, keys, { plaintexts });
  const bootstrapper = bootstraps.length > 0 ? new BootstrapRefresher(evaluator, bootstraps) : null;
  const transformer = new EncryptedTransformer({
    model,
    calibration,
    plan,
    evaluator,
    refresher: bootstrapper ?? clientRefresher(evaluator),
    weightCacheBytes: plaintexts === 'rows' ? 2 * MOST_ROW_BYTES : COEFFICIENT_CACHE_BYTES,
    plainBytes: (level) =>
      plaintexts === 'rows' ? plainBytes(parameters, level) : coefficientBytes(parameters),
  });
  return { evaluator, transformer, bootstrapper, plaintexts };
}
