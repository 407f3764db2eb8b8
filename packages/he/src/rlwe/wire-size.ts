import { bitLength } from '../ring/index.js';
import {
  denseToSparsePlan,
  type EvaluationKeyId,
  type KeySwitchPlan,
  keySwitchPlan,
  sparseToDensePlan,
} from './key-plan.js';
import { SEED_BYTES } from './keys.js';
import { packedLength } from './packing.js';
import type { Parameters } from './parameters.js';

/** Magic, version, type, length of the digest, body length, checksum: all of an envelope but the digest and the body. */
const ENVELOPE_BYTES = 4 + 2 + 2 + 2 + 8 + 8;
/** Kind, Galois element, level, digits, key-set id, seed. */
const KEY_HEADER_BYTES = 1 + 4 + 2 + 1 + 16 + SEED_BYTES;

/** Moduli of the key that a key generator makes for these arguments. */
export function evaluationKeyPlan(params: Parameters, id: EvaluationKeyId, maxLevel: number): KeySwitchPlan {
  if (id.kind === 'denseToSparse') return denseToSparsePlan(params);
  if (id.kind === 'sparseToDense') return sparseToDensePlan(params);
  return keySwitchPlan(params, maxLevel);
}

/** Exact size of a serialised evaluation key. */
export function evaluationKeyWireBytes(params: Parameters, plan: KeySwitchPlan): number {
  const rowWords = (index: number) => packedLength(params.n, bitLength(params.primes[index]));
  const words = plan.digits.length * plan.rows.reduce((sum, index) => sum + rowWords(index), 0);
  return ENVELOPE_BYTES + params.digest.length + KEY_HEADER_BYTES + 4 * words;
}
