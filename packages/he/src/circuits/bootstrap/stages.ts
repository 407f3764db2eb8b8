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

/** What a circuit alone cannot do, or not well: on ciphertexts {@link ciphertextSteps}, in cleartext {@link simulatedSteps}. */
export interface BootstrapSteps<C> {
  /** Level 0 to the highest level: q0 times an integer polynomial is added to the phase. */
  readonly raise: (low: C) => C;
  readonly relabel: Relabel<C>;
  /** Encodes one factor. */
  readonly compile: (factor: BootstrapFactor) => LinearTransform;
  /** Applies it. 1 level. */
  readonly transform: (x: C, factor: LinearTransform) => C;
  readonly release: (factor: LinearTransform) => void;
  /** x plus the sum of its rotations, list after list. 0 levels. */
  readonly trace: (x: C, sums: readonly (readonly number[])[]) => C;
}

/** A plan with its matrices and masks encoded for one evaluator. */
export interface CompiledBootstrap<C> {
  readonly plan: BootstrapPlan;
  readonly steps: BootstrapSteps<C>;
  readonly slotsToCoeffs: readonly LinearTransform[];
  readonly coeffsToSlots: readonly LinearTransform[];
  readonly mask: CompiledEvalModMask | null;
}

/** Encodes the matrices of a plan, once for any number of bootstrappings. */
export function compileBootstrap<C extends object>(
  ev: Evaluator<C>,
  plan: BootstrapPlan,
  steps: BootstrapSteps<C>,
): CompiledBootstrap<C> {
  return {
    plan,
    steps,
    slotsToCoeffs: plan.slotsToCoeffs.map(steps.compile),
    coeffsToSlots: plan.coeffsToSlots.map(steps.compile),
    mask: plan.maskAngles === null ? null : compileEvalModMask(ev, plan.evalMod, plan.maskAngles),
  };
}

/** Frees what {@link compileBootstrap} encoded. */
export function releaseBootstrap<C extends object>(ev: Evaluator<C>, compiled: CompiledBootstrap<C>): void {
  for (const transform of [...compiled.slotsToCoeffs, ...compiled.coeffsToSlots]) {
    compiled.steps.release(transform);
  }
  if (compiled.mask !== null) releaseEvalModMask(ev, compiled.mask);
}

/**
 * Slots z to coefficients: the result's polynomial has Re z and Im z (z rotated by the plan's innerRotation, bit-reversed) as
 * coefficients, at level 0, whose scale is q0 / ratio. From any level down to the bottom level.
 */
export function slotsToCoeffsNew<C extends object>(
  ev: Evaluator<C>,
  z: C,
  compiled: CompiledBootstrap<C>,
): C {
  const { plan, steps } = compiled;
  return ev.scope(() => {
    const low = ev.toLevel(z, plan.slotsToCoeffs[0].level);
    const turned = plan.preRotation === 0 ? low : ev.rotateNew(low, plan.preRotation);
    return compiled.slotsToCoeffs.reduce((x, factor) => steps.transform(x, factor), turned);
  });
}

/**
 * Coefficients x = I + z/ratio of the raised polynomial to slots, as t = x/range: two ciphertexts with the real and the imaginary
 * parts, one with [Re | Im] side by side when the plan is packed, or the real parts alone. From the highest level to EvalMod's.
 * @param realOnly the imaginary parts are not wanted; a packed plan has them anyway.
 */
export function coeffsToSlotsNew<C extends object>(
  ev: Evaluator<C>,
  raised: C,
  compiled: CompiledBootstrap<C>,
  realOnly = compiled.plan.realOnly,
): C[] {
  const { plan } = compiled;
  return ev.scope(() => {
    const start = plan.coeffsToSlots[0].level;
    const high = ev.levelOf(raised) === start ? raised : ev.toLevel(raised, start);
    let u = plan.packed ? compiled.steps.trace(high, [[plan.slots]]) : high;
    compiled.coeffsToSlots.forEach((factor, i) => {
      u = compiled.steps.transform(u, factor);
      if (i === 0 && plan.trace.length > 0) u = compiled.steps.trace(u, plan.trace);
    });
    const conjugate = ev.conjugateNew(u);
    const re = ev.addNew(u, conjugate);
    if (plan.packed || realOnly) return [re];
    return [re, ev.mulINew(ev.subNew(conjugate, u))];
  });
}

/** EvalMod on every part. */
export function evalModPartsNew<C extends object>(
  ev: Evaluator<C>,
  parts: readonly C[],
  compiled: CompiledBootstrap<C>,
): C[] {
  const { plan, mask } = compiled;
  const { relabel } = compiled.steps;
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
  compiled: CompiledBootstrap<C>,
): C {
  const { plan } = compiled;
  return ev.scope(() => {
    if (plan.packed) return ev.addNew(parts[0], ev.rotateNew(parts[0], plan.slots));
    if (parts.length === 1) return ev.copyNew(parts[0]);
    return ev.addNew(parts[0], ev.mulINew(parts[1]));
  });
}

/** The whole bootstrapping. @param realOnly as in {@link coeffsToSlotsNew}. */
export function bootstrapNew<C extends object>(
  ev: Evaluator<C>,
  z: C,
  compiled: CompiledBootstrap<C>,
  realOnly = compiled.plan.realOnly,
): C {
  return ev.scope(() => {
    const low = slotsToCoeffsNew(ev, z, compiled);
    const parts = coeffsToSlotsNew(ev, compiled.steps.raise(low), compiled, realOnly);
    return recombineNew(ev, evalModPartsNew(ev, parts, compiled), compiled);
  });
}
