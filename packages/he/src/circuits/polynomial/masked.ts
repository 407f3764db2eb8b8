import type { Evaluator, Plain, SlotVector } from '../../scheme/evaluator.js';
import { ChebyshevBasis } from './basis.js';
import type { ChebyshevPlan, PlanNode } from './plan.js';

interface MaskedNode {
  readonly terms: readonly Plain[];
  readonly constant: Plain | null;
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
    terms: node.terms.map(({ coefficient }) => ev.encode(times(coefficient), level - node.depth + 1)),
    constant: node.constant === 0 ? null : ev.encodeForAdd(times(node.constant), level - node.depth),
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
  return ev.scope(() => {
    const basis = new ChebyshevBasis(ev, x);
    const evaluate = (node: PlanNode, masked: MaskedNode): C => {
      const parts: C[] = [];
      if (node.products.length > 0) {
        const left = node.products.map(({ quotient }, i) => evaluate(quotient, masked.quotients[i]));
        const right = node.products.map(({ giant }) => basis.at(giant, node.depth - 1));
        parts.push(ev.dotNew(left, right));
      }
      node.terms.forEach(({ index }, i) => {
        parts.push(ev.mulPlainNew(basis.at(index, node.depth - 1), masked.terms[i]));
      });
      if (parts.length === 0) parts.push(ev.mulIntegerNew(ev.toLevel(x, ev.levelOf(x) - node.depth), 0));
      const sum = parts.reduce((a, b) => ev.addNew(a, b));
      return masked.constant === null ? sum : ev.addPlainNew(sum, masked.constant);
    };
    return evaluate(plan.root, mask.root);
  });
}

/** Frees the plaintexts. */
export function releaseMask<C>(ev: Evaluator<C>, mask: CompiledMask): void {
  const release = (node: MaskedNode): void => {
    for (const plain of node.terms) ev.releasePlain(plain);
    if (node.constant !== null) ev.releasePlain(node.constant);
    for (const quotient of node.quotients) release(quotient);
  };
  release(mask.root);
}
