import type { Evaluator, LinearTransform } from '../../scheme/evaluator.js';
import {
  type CompiledEvalModMask,
  compileEvalModMask,
  evalModMaskedNew,
  evalModNew,
  type Relabel,
  releaseEvalModMask,
} from './eval-mod.js';
import type { BootstrapFactor, BootstrapPlan } from './plan.js';

/** The two steps that are no circuit: on ciphertexts {@link ciphertextSteps}, in cleartext {@link simulatedSteps}. */
export interface BootstrapSteps<C> {
  /** Level 0 to the highest level: q0 times an integer polynomial is added to the phase. */
  readonly raise: (low: C) => C;
  readonly relabel: Relabel<C>;
}

/** A plan with its matrices and masks encoded for one evaluator. */
export interface CompiledBootstrap {
  readonly plan: BootstrapPlan;
  readonly slotsToCoeffs: readonly LinearTransform[];
  readonly coeffsToSlots: readonly LinearTransform[];
  readonly mask: CompiledEvalModMask | null;
}

/** Encodes the matrices of a plan, once for any number of bootstrappings. */
export function compileBootstrap<C extends object>(ev: Evaluator<C>, plan: BootstrapPlan): CompiledBootstrap {
  const compile = ({ matrix, level, babySteps }: BootstrapFactor): LinearTransform =>
    ev.compileTransform(matrix, { level, babySteps });
  const { slots } = plan;
  const angles = Float64Array.from({ length: 2 * slots }, (_, i) => (i < slots ? 0 : Math.PI / 2));
  return {
    plan,
    slotsToCoeffs: plan.slotsToCoeffs.map(compile),
    coeffsToSlots: plan.coeffsToSlots.map(compile),
    mask: plan.packed ? compileEvalModMask(ev, plan.evalMod, angles) : null,
  };
}

/** Frees what {@link compileBootstrap} encoded. */
export function releaseBootstrap<C extends object>(ev: Evaluator<C>, compiled: CompiledBootstrap): void {
  for (const transform of [...compiled.slotsToCoeffs, ...compiled.coeffsToSlots])
    ev.releaseTransform(transform);
  if (compiled.mask !== null) releaseEvalModMask(ev, compiled.mask);
}

/**
 * Slots z to coefficients: the result's polynomial has Re z and Im z (bit-reversed) as coefficients, at level 0, whose scale is
 * q0 / ratio. From any level down to the bottom level.
 */
export function slotsToCoeffsNew<C extends object>(ev: Evaluator<C>, z: C, compiled: CompiledBootstrap): C {
  return ev.scope(() =>
    compiled.slotsToCoeffs.reduce(
      (x, transform) => ev.transformNew(x, transform),
      ev.toLevel(z, compiled.plan.levels.bottomLevel),
    ),
  );
}

/**
 * Coefficients x = I + z/ratio of the raised polynomial to slots, as t = x/range: two ciphertexts with the real and the imaginary
 * parts, one with [Re | Im] side by side when the plan is packed, or the real parts alone. From the highest level to EvalMod's.
 */
export function coeffsToSlotsNew<C extends object>(
  ev: Evaluator<C>,
  raised: C,
  compiled: CompiledBootstrap,
): C[] {
  const { plan } = compiled;
  return ev.scope(() => {
    let u = raised;
    compiled.coeffsToSlots.forEach((transform, i) => {
      u = ev.transformNew(u, transform);
      if (i === 0) for (const k of plan.trace) u = ev.addNew(u, ev.rotateNew(u, k));
    });
    const conjugate = ev.conjugateNew(u);
    const re = ev.addNew(u, conjugate);
    if (plan.packed || plan.realOnly) return [re];
    return [re, ev.mulINew(ev.subNew(conjugate, u))];
  });
}

/** EvalMod on every part. */
export function evalModPartsNew<C extends object>(
  ev: Evaluator<C>,
  parts: readonly C[],
  compiled: CompiledBootstrap,
  relabel: Relabel<C>,
): C[] {
  const { plan, mask } = compiled;
  return parts.map((t) =>
    mask === null
      ? evalModNew(ev, t, plan.evalMod, relabel)
      : evalModMaskedNew(ev, t, plan.evalMod, mask, relabel),
  );
}

/** Parts back to complex slots, 0 levels. */
export function recombineNew<C extends object>(
  ev: Evaluator<C>,
  parts: readonly C[],
  compiled: CompiledBootstrap,
): C {
  const { plan } = compiled;
  return ev.scope(() => {
    if (plan.realOnly) return ev.copyNew(parts[0]);
    if (plan.packed) return ev.addNew(parts[0], ev.rotateNew(parts[0], plan.slots));
    return ev.addNew(parts[0], ev.mulINew(parts[1]));
  });
}

/** The whole bootstrapping. */
export function bootstrapNew<C extends object>(
  ev: Evaluator<C>,
  z: C,
  compiled: CompiledBootstrap,
  steps: BootstrapSteps<C>,
): C {
  return ev.scope(() => {
    const low = slotsToCoeffsNew(ev, z, compiled);
    const parts = coeffsToSlotsNew(ev, steps.raise(low), compiled);
    return recombineNew(ev, evalModPartsNew(ev, parts, compiled, steps.relabel), compiled);
  });
}
