import { ENVELOPE_BYTES } from './envelope.js';
import {
  denseToSparsePlan,
  type EvaluationKeyId,
  type KeySwitchPlan,
  keySwitchPlan,
  sparseToDensePlan,
} from './key-plan.js';
import { SEED_BYTES } from './keys.js';
import { packedBytes } from './packing.js';
import type { Parameters } from './parameters.js';

/** Kind, Galois element, level, digits, key-set id, seed. */
const KEY_HEADER_BYTES = 1 + 4 + 2 + 1 + 16 + SEED_BYTES;

/** Moduli of the key that a key generator makes for these arguments. */
export function evaluationKeyPlan(params: Parameters, id: EvaluationKeyId, maxLevel: number): KeySwitchPlan {
  if (id.kind === 'denseToSparse') return denseToSparsePlan(params);
  if (id.kind === 'sparseToDense') return sparseToDensePlan(params);
  return keySwitchPlan(params, maxLevel);
}

/** Of an evaluation key without its envelope. */
export const keyBodyBytes = (params: Parameters, plan: KeySwitchPlan): number =>
  KEY_HEADER_BYTES + plan.digits.length * packedBytes(params, plan.rows);

/** Exact size of a serialised evaluation key. */
export function evaluationKeyWireBytes(params: Parameters, plan: KeySwitchPlan): number {
  return ENVELOPE_BYTES + params.digest.length + keyBodyBytes(params, plan);
}
