export { CleartextCiphertext } from './ciphertext.js';
export type { OperationCounts } from './counts.js';
export type { CleartextDescription, CleartextNoise } from './description.js';
export {
  CleartextEvaluator,
  type CleartextOptions,
  createCleartextEvaluator,
  type TraceEvent,
  type ValueMap,
} from './evaluator.js';
export { CleartextRefresher, type CleartextRefresherOptions } from './refresher.js';
