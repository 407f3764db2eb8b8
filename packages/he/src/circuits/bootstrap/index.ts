export { Bootstrapper } from './bootstrapper.js';
export { EVAL_MOD_LEVELS, type EvalModSpec, evalModNew, type Relabel } from './eval-mod.js';
export { logFailureProbability, logOverflowProbability } from './failure.js';
export {
  type BootstrapFactor,
  type BootstrapKey,
  type BootstrapOptions,
  type BootstrapPlan,
  bootstrapKeyList,
  bootstrapKeys,
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
