export type {
  DiagonalMatrix,
  Evaluator,
  LinearTransform,
  Plain,
  Refresher,
  SlotVector,
  TransformOptions,
} from './evaluator.js';
