export { Encoder } from './encoder.js';
export { CkksEvaluator } from './evaluator.js';
export { NoiseForecast, type PlainProductInput } from './noise.js';
export { Plaintext } from './plaintext.js';
export { type ComponentPrecision, measurePrecision, type Precision } from './precision.js';
export { Tensor } from './product.js';
export { CompiledTransform, rotated } from './transform.js';
