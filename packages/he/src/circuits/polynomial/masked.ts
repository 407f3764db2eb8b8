import type { Evaluator, Plain, SlotVector } from '../../scheme/evaluator.js';
import { ChebyshevBasis } from './basis.js';
import { evaluateNode } from './evaluate.js';
import type { ChebyshevPlan, PlanNode } from './plan.js';

interface MaskedNode {
  readonly factors: readonly Plain[];
  /** The constant term times the mask. */
  readonly addend: Plain | null;
  readonly constant: 0;
  readonly quotients: readonly MaskedNode[];
}

/** The coefficients of a polynomial times a mask, encoded at the levels where a plan uses them. */
export interface CompiledMask {
  readonly root: MaskedNode;
}

/**
 * Encodes coefficient * mask for every leaf of the plan, so that {@link evaluateMasked} multiplies a polynomial by a slot vector
 * without spending a level on it.
 * @param level of the input of the polynomial.
 */
export function compileMask<C>(
  ev: Evaluator<C>,
  plan: ChebyshevPlan,
  mask: SlotVector,
  level: number,
): CompiledMask {
  const times = (c: number): SlotVector => ({
    re: mask.re.map((v) => c * v),
    im: mask.im?.map((v) => c * v) ?? null,
  });
  const compile = (node: PlanNode): MaskedNode => ({
    factors: node.terms.map(({ coefficient }) => ev.encode(times(coefficient), level - node.termsDepth)),
    addend: node.constant === 0 ? null : ev.encodeForAdd(times(node.constant), level - node.depth),
    constant: 0,
    quotients: node.products.map(({ quotient }) => compile(quotient)),
  });
  return { root: compile(plan.root) };
}

/** mask * sum_i c_i T_i(x) at the depth of the plan. */
export function evaluateMasked<C extends object>(
  ev: Evaluator<C>,
  x: C,
  plan: ChebyshevPlan,
  mask: CompiledMask,
): C {
  return ev.scope(() => evaluateNode(ev, new ChebyshevBasis(ev, x), plan.root, x, mask.root));
}

/** Frees the plaintexts. */
export function releaseMask<C>(ev: Evaluator<C>, mask: CompiledMask): void {
  const release = (node: MaskedNode): void => {
    for (const plain of node.factors) ev.releasePlain(plain);
    if (node.addend !== null) ev.releasePlain(node.addend);
    for (const quotient of node.quotients) release(quotient);
  };
  release(mask.root);
}
