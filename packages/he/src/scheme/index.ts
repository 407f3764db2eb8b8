export { type BabyGiantSplit, splitBabyGiant } from './baby-giant.js';
export {
  type ConformanceCase,
  type ConformanceHarness,
  conformanceCases,
  conformanceRotations,
} from './conformance.js';
export type {
  DiagonalMatrix,
  Evaluator,
  LinearTransform,
  Plain,
  Refresher,
  SlotVector,
  TransformOptions,
} from './evaluator.js';
export { type ExactShape, exactShape, type RefreshShape, servesShape } from './refresh-shape.js';
