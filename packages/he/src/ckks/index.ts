export { Encoder } from './encoder.js';
export { CkksEvaluator } from './evaluator.js';
export { Plaintext } from './plaintext.js';
export { Tensor } from './product.js';
export { CompiledTransform, rotated } from './transform.js';
