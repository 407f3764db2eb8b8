export { balancedGroups } from './build/cluster.js';
export { buildStaircase, type Coordinate, type StaircaseOptions } from './build/staircase.js';
export { type WordVectors, wordVectors } from './build/vectors.js';
export { winkVectors } from './build/wink.js';
export {
  compareRatios,
  expLowerBound,
  largestFractionBelow,
  logUpperBound,
  parseEpsilon,
  type Ratio,
} from './exact/ratio.js';
export { Hmac, PrfSource, type RandomSource, SystemSource, uniformBelow } from './random/source.js';
export { type Certificate, certify, type WorstPair } from './table/certificate.js';
export { decodeTable, encodeTable, tableDigest } from './table/format.js';
export { drawWeighted, TableSampler } from './table/sampler.js';
export {
  type Block,
  type BlockStage,
  type BlockWeights,
  expandBlock,
  type Notion,
  placeWords,
  type SanitizerTable,
  type WordPlaces,
} from './table/table.js';
