export { EVAL_MOD_LEVELS, type EvalModSpec, evalModNew } from './eval-mod.js';
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
export { simulateRaise } from './simulate.js';
export {
  bootstrapNew,
  type CompiledBootstrap,
  coeffsToSlotsNew,
  compileBootstrap,
  evalModPartsNew,
  recombineNew,
  releaseBootstrap,
  slotsToCoeffsNew,
} from './stages.js';
