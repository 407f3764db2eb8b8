export { findCalibration, keepCalibration } from '#engine/files';
export { type Agreement, type CleartextBench, logitsOf, measureAgreement } from './agreement.js';
export {
  type CalibrateOptions,
  type CalibrationStep,
  calibrate,
  calibrateInSteps,
  calibrationSteps,
  defaultCalibrateOptions,
} from './calibrate.js';
export {
  type AnyLayerCalibration,
  CALIBRATION_VERSION,
  type Calibration,
  type CalibrationRecord,
  type Interval,
  type KernelLayerCalibration,
  type LayerCalibration,
  readCalibration,
  type ScanResult,
  writeCalibration,
} from './calibration.js';
export { type CalibrationCorpus, sampleTexts } from './calibration-texts.js';
export {
  embedRows,
  rareTokens,
  readHidden,
  requireCalibrated,
  requirePublicPrefix,
  withPublicPrefix,
} from './client-side.js';
export type { WorkCounts } from './dry-run.js';
export { defaultCalibration, embeddedCalibration, embeddedCalibrations } from './embedded.js';
export {
  type Conversation,
  EncryptedTransformer,
  type ForwardOptions,
  type LayerState,
  type TransformerOptions,
} from './execute.js';
export {
  type CachedLayer,
  type CacheLayer,
  type CachePlace,
  EncryptedKvCache,
  layerParts,
  partsOf,
} from './kv-cache.js';
export { type Layout, type LayoutOptions, makeLayout } from './layout.js';
export type { LinearMap } from './linear-map.js';
export {
  type ClientPlan,
  type EvaluationKeyNeeds,
  makePlan,
  type Plan,
  type PlanOptions,
  workOfBlock,
} from './plan.js';
export { PLANTED_TOKEN, type PlantedSink, plantedModel } from './planted-model.js';
export { type Degrees, defaultDegrees, type LayerPolynomials } from './polynomials.js';
export {
  type PublicContext,
  prefillPublic,
  publicId,
  readPublic,
  writePublic,
} from './public-context.js';
export { type CutName, chooseCuts, cutNames, layerDepths } from './schedule.js';
export {
  type CalibrationOptions,
  calibrationOf,
  makeSetup,
  parametersFor,
  readCalibrationFile,
  type SessionSetup,
  type SetupKey,
  type SetupRequest,
} from './setup.js';
export { findPublicPrefix, type PrefixMeasure } from './sinks.js';
export { tinyTestModel } from './tiny-model.js';
export { bitsOf, PrecisionTrace, type TracedStep, type TraceLine } from './trace.js';
export {
  cleartextTraceScheme,
  type TracedPass,
  type TracedScheme,
  type TraceReport,
  type TraceTask,
  tracePass,
  traceReport,
} from './trace-run.js';
