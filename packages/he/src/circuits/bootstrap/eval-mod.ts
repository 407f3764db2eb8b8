import type { Evaluator, Plain, SlotVector } from '../../scheme/evaluator.js';
import { evaluateChebyshev } from '../polynomial/index.js';
import { type CompiledMask, compileMask, evaluateMasked, releaseMask } from '../polynomial/masked.js';
import { type ChebyshevPlan, planChebyshev } from '../polynomial/plan.js';
import { EVAL_MOD_DOUBLE_ANGLES } from './eval-mod-table.js';

/** What EvalMod needs to know. */
export interface EvalModSpec {
  /** Chebyshev coefficients of the base polynomial in y. */
  readonly coefficients: Float64Array;
  /** y = t - 1/(4*range) for t = x/range. */
  readonly range: number;
  /**
   * Scale of the last product over the canonical scale of its level. Read at the canonical scale, sin(2 pi x) appears times this
   * number: ratio/(2 pi), which makes it z.
   */
  readonly outputFactor: number;
  /** Level of t. */
  readonly level: number;
}

/** Says that the last square, which comes out at its own scale, is at the canonical one (see {@link EvalModSpec.outputFactor}). */
export type Relabel<C> = (square: C) => C;

/** Levels of EvalMod: the polynomial of degree 30, then the double angles. */
export const EVAL_MOD_LEVELS = 5 + EVAL_MOD_DOUBLE_ANGLES;

/** A mask m folded into EvalMod: the result is m * z. Made once, used by every call. */
export interface CompiledEvalModMask {
  readonly polynomial: CompiledMask;
  /** What each double angle subtracts. */
  readonly subtrahends: readonly Plain[];
}

/**
 * EvalMod: t = x/range with x = I + z/ratio in the slots (real, |I| <= 15), to z up to (2 pi z/ratio)^2/6 relative. Consumes
 * {@link EVAL_MOD_LEVELS} levels; 12 products, 11 relinearisations.
 * The sine instead of the modulus: Cheon et al. (EUROCRYPT 2018); cosine and double angles: Han, Ki, Better bootstrapping for
 * approximate homomorphic encryption (CT-RSA 2020).
 */
export function evalModNew<C extends object>(
  ev: Evaluator<C>,
  t: C,
  spec: EvalModSpec,
  relabel: Relabel<C>,
): C {
  return ev.scope(() => {
    const y = ev.addConstNew(t, -0.25 / spec.range);
    let c = evaluateChebyshev(ev, y, spec.coefficients, planOf(spec));
    for (let j = 1; j <= EVAL_MOD_DOUBLE_ANGLES; j++) {
      const last = j === EVAL_MOD_DOUBLE_ANGLES;
      const square = last ? relabel(ev.squareNew(c)) : ev.squareNew(c);
      c = ev.addConstNew(ev.addNew(square, square), last ? -spec.outputFactor : -1);
    }
    return c;
  });
}

/**
 * Encodes what {@link evalModMaskedNew} needs to multiply its result by a mask of modulus 1 without a level: every leaf of the
 * polynomial is multiplied by the eighth root b of the mask, and a double angle turns b^k f into b^2k (2 f^2 - 1) by subtracting
 * b^2k instead of 1.
 * @param angles the mask is exp(i*angle) slot by slot; a power-of-two period.
 */
export function compileEvalModMask<C extends object>(
  ev: Evaluator<C>,
  spec: EvalModSpec,
  angles: Float64Array,
): CompiledEvalModMask {
  const root = 2 ** EVAL_MOD_DOUBLE_ANGLES;
  const turn = (power: number, size: number): SlotVector => ({
    re: angles.map((a) => size * Math.cos((a * power) / root)),
    im: angles.map((a) => size * Math.sin((a * power) / root)),
  });
  const subtrahends: Plain[] = [];
  for (let j = 1; j <= EVAL_MOD_DOUBLE_ANGLES; j++) {
    const size = j === EVAL_MOD_DOUBLE_ANGLES ? spec.outputFactor : 1;
    subtrahends.push(ev.encodeForAdd(turn(2 ** j, -size), spec.level - 5 - j));
  }
  return { polynomial: compileMask(ev, planOf(spec), turn(1, 1), spec.level), subtrahends };
}

/** Like {@link evalModNew}, times the mask. */
export function evalModMaskedNew<C extends object>(
  ev: Evaluator<C>,
  t: C,
  spec: EvalModSpec,
  mask: CompiledEvalModMask,
  relabel: Relabel<C>,
): C {
  return ev.scope(() => {
    const y = ev.addConstNew(t, -0.25 / spec.range);
    let c = evaluateMasked(ev, y, planOf(spec), mask.polynomial);
    mask.subtrahends.forEach((subtrahend, j) => {
      const square = ev.squareNew(c);
      const labelled = j + 1 === EVAL_MOD_DOUBLE_ANGLES ? relabel(square) : square;
      c = ev.addPlainNew(ev.addNew(labelled, labelled), subtrahend);
    });
    return c;
  });
}

/** Frees the plaintexts of a mask. */
export function releaseEvalModMask<C extends object>(ev: Evaluator<C>, mask: CompiledEvalModMask): void {
  releaseMask(ev, mask.polynomial);
  for (const plain of mask.subtrahends) ev.releasePlain(plain);
}

const plans = new WeakMap<Float64Array, ChebyshevPlan>();

function planOf(spec: EvalModSpec): ChebyshevPlan {
  let plan = plans.get(spec.coefficients);
  if (plan === undefined) {
    plan = planChebyshev(spec.coefficients);
    plans.set(spec.coefficients, plan);
  }
  return plan;
}
