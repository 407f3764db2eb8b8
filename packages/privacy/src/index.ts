// What also runs in a page, and what needs files, audits tables or makes them.
export { type AttackText, sanitizeForAttack, wordIds } from './attacks/attack-texts.js';
export { type Audit, audit } from './attacks/audit.js';
export { type Behind, type Channel, mechanismChannel, tableChannel } from './attacks/channel.js';
export {
  type AttackModel,
  auditContext,
  type ContextAudit,
  type ContextOptions,
} from './attacks/context.js';
export { BigramModel, type HmmGuess, hmmDecode, hmmGuess } from './attacks/hmm.js';
export {
  type AttributeLeak,
  attributeLeak,
  bayesSuccess,
  blockInversionSuccess,
  inversionSuccess,
  keepRate,
  replaySuccess,
  tableAttributeLeak,
  tableBayesSuccess,
  wireSuccess,
} from './attacks/inference.js';
export {
  auditRivals,
  blocksWithVectors,
  type RivalAudit,
  worstBlockOfNoisyMax,
} from './attacks/rivals-audit.js';
export { clopperPearson, type Rate, wordPrior } from './attacks/statistics.js';
export { auditTable, type TableAudit, type TableAuditOptions } from './attacks/table-audit.js';
export { attributeLabels, type WordAttribute, wordAttributes } from './attacks/word-attributes.js';
export { readBlockVectors } from './build/block-vectors.js';
export { balancedGroups } from './build/cluster.js';
export { type LabelledText, lexiconValues, taskValues } from './build/coordinates.js';
export { type Shape, searchShapes } from './build/search.js';
export {
  buildStaircase,
  type Coordinate,
  groupWords,
  type StaircaseOptions,
  type WordGroups,
} from './build/staircase.js';
export { readTextVectors } from './build/text-vectors.js';
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
export * from './index.browser.js';
export { addExpense, type Expense, epsilonAt, nothing, type Total } from './ledger/composition.js';
export { FileStorage } from './ledger/file.js';
export {
  type CandidateList,
  custext,
  greedyBlocks,
  type NoiseScale,
  noisyMax,
  plainBlocks,
  randomisedResponse,
  santext,
} from './mechanisms/baselines.js';
export { ExactNoisyMax } from './mechanisms/exact-rnm.js';
export {
  drawFromRow,
  judge,
  keepCeiling,
  type Mechanism,
  mechanismOf,
  type Row,
  tableMechanism,
  type Verdict,
} from './mechanisms/mechanism.js';
export { type Noise, noisyMaxProbabilities } from './mechanisms/noisy-max.js';
export { Hmac, type RandomSource, SystemSource, uniformBelow } from './random/source.js';
export { readShippedTable, type ShippedTable, shippedTables } from './shipped.js';
export { type Certificate, certify, type WorstPair } from './table/certificate.js';
export { decodeTable, encodeTable } from './table/format.js';
export { drawWeighted, TableSampler } from './table/sampler.js';
export {
  type Block,
  type BlockStage,
  type BlockWeights,
  expandBlock,
  type Notion,
  placeWords,
  rowSum,
  type SanitizerTable,
  type WordPlaces,
} from './table/table.js';
export { classBits, classOf, drawFromClass, type FormatClass } from './text/classes.js';
export { type Piece, type PieceKind, pieces } from './text/segment.js';
export {
  findSensitive,
  type SensitiveDetector,
  type SensitiveKind,
  type SensitiveSpan,
} from './text/sensitive.js';
