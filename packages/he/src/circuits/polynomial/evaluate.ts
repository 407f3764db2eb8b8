import { SottoError } from '@sotto/base';
import type { Evaluator } from '../../scheme/evaluator.js';
import { ChebyshevBasis } from './basis.js';
import { type ChebyshevPlan, type PlanNode, planChebyshev } from './plan.js';
import { degreeOf } from './series.js';

function evaluateNode<C extends object>(ev: Evaluator<C>, basis: ChebyshevBasis<C>, node: PlanNode, x: C): C {
  const below = node.depth - 1;
  let sum: C | undefined;
  const level = ev.levelOf(x) - node.depth;
  const left: C[] = [];
  const right: C[] = [];
  for (const { quotient, giant } of node.products) {
    left.push(evaluateNode(ev, basis, quotient, x));
    right.push(basis.at(giant, below));
  }
  if (left.length > 0) sum = ev.dotNew(left, right);
  if (node.terms.length > 0) {
    const values = node.terms.map(({ index }) => basis.at(index, below));
    const factors = node.terms.map(({ coefficient }) => coefficient);
    const linear = ev.linearCombinationNew(values, factors, node.constant);
    return sum === undefined ? linear : ev.addNew(sum, linear);
  }
  // A constant alone: zero times x carries it at the right level.
  if (sum === undefined) return ev.addConstNew(ev.mulIntegerNew(ev.toLevel(x, level), 0), node.constant);
  return node.constant === 0 ? sum : ev.addConstNew(sum, node.constant);
}

/**
 * sum_i coefficients[i] * T_i(x) for slot values x in [-1, 1] (outside the polynomial grows fast).
 * Consumes exactly ceil(log2(degree + 1)) levels. Products that meet in one sum share a relinearisation; even and odd series
 * (exact zeros in between) cost less.
 * @param plan from {@link planChebyshev} on the same coefficients, to plan once and evaluate often.
 * @throws SottoError `HE_LEVEL_EXHAUSTED` when x is too low, `HE_DEGREE` for a degree outside 1..127.
 */
export function evaluateChebyshev<C extends object>(
  ev: Evaluator<C>,
  x: C,
  coefficients: ArrayLike<number>,
  plan: ChebyshevPlan = planOf(coefficients),
): C {
  if (ev.levelOf(x) < plan.depth) {
    throw new SottoError('The ciphertext has too few levels for this polynomial.', {
      code: 'HE_LEVEL_EXHAUSTED',
      facts: { level: ev.levelOf(x), needed: plan.depth },
      fix: 'Refresh the ciphertext first, or use a lower degree.',
    });
  }
  return ev.scope(() => evaluateNode(ev, new ChebyshevBasis(ev, x), plan.root, x));
}

function planOf(coefficients: ArrayLike<number>): ChebyshevPlan {
  const degree = degreeOf(coefficients);
  if (degree < 1 || degree > 127 || !Array.from(coefficients).every((c) => Number.isFinite(c))) {
    throw new SottoError('A polynomial needs finite coefficients and a degree from 1 to 127.', {
      code: 'HE_DEGREE',
      facts: { degree },
      fix: 'Use a constant directly, or split a polynomial of higher degree.',
    });
  }
  return planChebyshev(coefficients);
}
