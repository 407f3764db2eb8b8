import type { Evaluator, Plain } from '../../scheme/evaluator.js';

/**
 * What ciphertexts can do better than one operation after the other: sums are collected in an unrelinearised product, where further
 * terms and constants cost no rescale of their own.
 */
export interface FusedSums<C, T = object> {
  tensorNew(a: C, b: C): T;
  tensorAdd(t: T, a: C, b: C): void;
  tensorAddScaled(t: T, a: C, c: number): void;
  tensorAddPlain(t: T, a: C, b: Plain): void;
  tensorAddConst(t: T, re: number): void;
  relinRescaleNew(t: T): C;
  plainCombinationNew(a: readonly C[], b: readonly Plain[]): C;
}

/** The same evaluator with fused sums, or null when it has none. */
export function fusedSums<C>(ev: Evaluator<C>): FusedSums<C> | null {
  const candidate = ev as Partial<FusedSums<C>>;
  return candidate.relinRescaleNew !== undefined && candidate.plainCombinationNew !== undefined
    ? (ev as Evaluator<C> & FusedSums<C>)
    : null;
}

/** A linear part of a sum: terms with a real factor or an encoded vector each, all at one level. */
export interface LinearPart<C> {
  readonly values: readonly C[];
  readonly factors: readonly number[] | readonly Plain[];
}

const areNumbers = (factors: LinearPart<unknown>['factors']): factors is readonly number[] =>
  typeof factors[0] === 'number';

/** sum_i factors[i]*values[i] + constant, one level down; one rescale where the evaluator can. */
export function combineNew<C>(ev: Evaluator<C>, part: LinearPart<C>, constant: number): C {
  const { values, factors } = part;
  if (areNumbers(factors)) return ev.linearCombinationNew(values, factors, constant);
  const fused = fusedSums(ev);
  const sum =
    fused === null
      ? values.map((value, i) => ev.mulPlainNew(value, factors[i])).reduce((a, b) => ev.addNew(a, b))
      : fused.plainCombinationNew(values, factors);
  return constant === 0 ? sum : ev.addConstNew(sum, constant);
}

/**
 * sum_i left[i]*right[i] + the linear part + constant, one level down, with one relinearisation.
 * @param linear at the level of the products, or null.
 */
export function sumOfProductsNew<C>(
  ev: Evaluator<C>,
  left: readonly C[],
  right: readonly C[],
  linear: LinearPart<C> | null,
  constant: number,
): C {
  const fused = fusedSums(ev);
  if (fused === null) {
    const sum = ev.dotNew(left, right);
    if (linear !== null) return ev.addNew(sum, combineNew(ev, linear, constant));
    return constant === 0 ? sum : ev.addConstNew(sum, constant);
  }
  const t = fused.tensorNew(left[0], right[0]);
  for (let i = 1; i < left.length; i++) fused.tensorAdd(t, left[i], right[i]);
  if (linear !== null) {
    const { factors } = linear;
    linear.values.forEach((value, i) => {
      const factor = factors[i];
      if (typeof factor === 'number') fused.tensorAddScaled(t, value, factor);
      else fused.tensorAddPlain(t, value, factor);
    });
  }
  if (constant !== 0) fused.tensorAddConst(t, constant);
  return fused.relinRescaleNew(t);
}
