export {
  compareRatios,
  expLowerBound,
  largestFractionBelow,
  logUpperBound,
  parseEpsilon,
  type Ratio,
} from './exact/ratio.js';
