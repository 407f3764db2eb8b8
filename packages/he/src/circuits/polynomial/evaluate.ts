import { SottoError } from '@sotto/base';
import type { Evaluator, Plain } from '../../scheme/evaluator.js';
import { ChebyshevBasis } from './basis.js';
import { combineNew, type LinearPart, sumOfProductsNew } from './fused.js';
import { type ChebyshevPlan, type PlanNode, planChebyshev } from './plan.js';
import { degreeOf } from './series.js';

/** Factors of the terms of a node, and of its quotients in order. */
interface NodeFactors {
  readonly factors: LinearPart<unknown>['factors'];
  readonly quotients: readonly NodeFactors[];
  /** A vector to add at the end, besides the constant of the node. */
  readonly addend: Plain | null;
  readonly constant: number;
}

function factorsOf(node: PlanNode): NodeFactors {
  return {
    factors: node.terms.map(({ coefficient }) => coefficient),
    quotients: node.products.map(({ quotient }) => factorsOf(quotient)),
    addend: null,
    constant: node.constant,
  };
}

/** One node of a plan, {@link PlanNode.depth} levels below x. */
export function evaluateNode<C extends object>(
  ev: Evaluator<C>,
  basis: ChebyshevBasis<C>,
  node: PlanNode,
  x: C,
  by: NodeFactors = factorsOf(node),
): C {
  const below = node.depth - 1;
  const level = ev.levelOf(x) - node.depth;
  const finish = (sum: C): C => (by.addend === null ? sum : ev.addPlainNew(sum, by.addend));
  let linear: LinearPart<C> | null = null;
  if (node.terms.length > 0) {
    const values = node.terms.map(({ index }) => basis.at(index, node.termsDepth));
    linear = { values, factors: by.factors };
    if (node.termsDepth < below) {
      // Combined early: the sum goes on as one term.
      const early = combineNew(ev, linear, by.constant);
      if (node.products.length === 0) return finish(ev.toLevel(early, level));
      linear = { values: [ev.toLevel(early, level + 1)], factors: [1] };
    }
  }
  const constant = linear !== null && node.termsDepth < below ? 0 : by.constant;
  if (node.products.length > 0) {
    const left = node.products.map(({ quotient }, i) =>
      evaluateNode(ev, basis, quotient, x, by.quotients[i]),
    );
    const right = node.products.map(({ giant }) => basis.at(giant, below));
    return finish(sumOfProductsNew(ev, left, right, linear, constant));
  }
  if (linear !== null) return finish(combineNew(ev, linear, constant));
  // A constant alone: zero times x carries it at the right level.
  return finish(ev.addConstNew(ev.mulIntegerNew(ev.toLevel(x, level), 0), constant));
}

/**
 * sum_i coefficients[i] * T_i(x) for slot values x in [-1, 1] (outside the polynomial grows fast).
 * Consumes exactly ceil(log2(degree + 1)) levels. Products that meet in one sum share a relinearisation; even and odd series
 * (exact zeros in between) cost less.
 * @param plan from {@link planChebyshev} on the same coefficients, to plan once and evaluate often.
 * @throws SottoError `HE_LEVEL_EXHAUSTED` when x is too low, `HE_DEGREE` for a degree outside 1..511.
 */
export function evaluateChebyshev<C extends object>(
  ev: Evaluator<C>,
  x: C,
  coefficients: ArrayLike<number>,
  plan: ChebyshevPlan = planOf(coefficients),
): C {
  requireLevels(ev, x, plan);
  return ev.scope(() => evaluateNode(ev, new ChebyshevBasis(ev, x), plan.root, x));
}

function requireLevels<C extends object>(ev: Evaluator<C>, x: C, plan: ChebyshevPlan): void {
  if (ev.levelOf(x) >= plan.depth) return;
  throw new SottoError('The ciphertext has too few levels for this polynomial.', {
    code: 'HE_LEVEL_EXHAUSTED',
    facts: { level: ev.levelOf(x), needed: plan.depth },
    fix: 'Refresh the ciphertext first, or use a lower degree.',
  });
}

/** A polynomial of x and what tells whether x was outside of [-1, 1]. */
export interface GuardedValue<C> {
  readonly value: C;
  /**
   * T_m(x) for the largest power of two m below 2^levels, one level above the value. At most 1 within [-1, 1]; outside, an
   * interpolation error e of the polynomial has become about e (2 T_m^2 - 1).
   */
  readonly guard: C;
}

/** {@link evaluateChebyshev}, with a guard that is at hand or takes one product. */
export function evaluateChebyshevGuarded<C extends object>(
  ev: Evaluator<C>,
  x: C,
  coefficients: ArrayLike<number>,
): GuardedValue<C> {
  const plan = planOf(coefficients);
  requireLevels(ev, x, plan);
  const [value, guard] = ev.scope(() => {
    const basis = new ChebyshevBasis(ev, x);
    const power = basis.at(2 ** (plan.depth - 1), plan.depth - 1);
    return [evaluateNode(ev, basis, plan.root, x), ev.copyNew(power)];
  });
  return { value: value!, guard: guard! };
}

/** Beyond it a series is hardly ever the shortest way, and its coefficients are near the noise. */
const MOST_DEGREE = 511;

function planOf(coefficients: ArrayLike<number>): ChebyshevPlan {
  const degree = degreeOf(coefficients);
  if (degree < 1 || degree > MOST_DEGREE || !Array.from(coefficients).every((c) => Number.isFinite(c))) {
    throw new SottoError('A polynomial needs finite coefficients and a degree from 1 to 511.', {
      code: 'HE_DEGREE',
      facts: { degree },
      fix: 'Use a constant directly, or split a polynomial of higher degree.',
    });
  }
  return planChebyshev(coefficients);
}
