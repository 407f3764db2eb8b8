export { Encoder } from './encoder.js';
export { CkksEvaluator, type CkksEvaluatorOptions } from './evaluator.js';
export { commonPlan, keyOfPlan } from './key-choice.js';
export { NoiseForecast, type PlainProductInput } from './noise.js';
export { Plaintext, type PlaintextForm } from './plaintext.js';
export { type ComponentPrecision, measurePrecision, type Precision } from './precision.js';
export { Tensor } from './product.js';
export { CompiledTransform, rotated } from './transform.js';
