export { BootstrapRefresher } from './bootstrap-refresher.js';
export { Bootstrapper } from './bootstrapper.js';
export { EVAL_MOD_LEVELS, type EvalModSpec, evalModNew, type Relabel } from './eval-mod.js';
export { logFailureProbability, logOverflowProbability } from './failure.js';
export { type BootstrapKey, bootstrapKeyList, bootstrapKeys } from './key-list.js';
export {
  type BootstrapFactor,
  type BootstrapOptions,
  type BootstrapPlan,
  planBootstrap,
} from './plan.js';
export { ciphertextSteps, raiseModulusNew } from './raise.js';
export { simulatedSteps } from './simulate.js';
export {
  type BootstrapSteps,
  bootstrapNew,
  type CompiledBootstrap,
  coeffsToSlotsNew,
  compileBootstrap,
  evalModPartsNew,
  recombineNew,
  releaseBootstrap,
  slotsToCoeffsNew,
} from './stages.js';
