export { type BabyGiantSplit, splitBabyGiant } from './baby-giant.js';
export type {
  DiagonalMatrix,
  Evaluator,
  LinearTransform,
  Plain,
  Refresher,
  SlotVector,
  TransformOptions,
} from './evaluator.js';
