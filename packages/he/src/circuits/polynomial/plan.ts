import { degreeOf, polynomialDepth } from './series.js';

/**
 * A Paterson-Stockmeyer tree: sum of products quotient * T_m, and a linear combination of Chebyshev polynomials that are at
 * hand. `depth` levels below x.
 */
export interface PlanNode {
  readonly depth: number;
  readonly products: readonly { readonly quotient: PlanNode; readonly giant: number }[];
  readonly terms: readonly { readonly index: number; readonly coefficient: number }[];
  /**
   * Depth at which the terms are combined. One above `depth` as a rule; higher up when most of them are at hand there and bringing
   * down the sum costs less than bringing down each.
   */
  readonly termsDepth: number;
  readonly constant: number;
}

export interface ChebyshevPlan {
  readonly root: PlanNode;
  readonly depth: number;
  /** Chebyshev polynomials to compute, ascending; T_1 = x is not listed. */
  readonly powers: readonly number[];
  /** Tensor products of ciphertexts, and relinearisations (sums of products share one). */
  readonly products: number;
  readonly relinearisations: number;
}

/** Depth of T_i computed by doubling and product formulas. */
export function powerDepth(index: number): number {
  return Math.ceil(Math.log2(index));
}

/** T_i = 2 T_a T_b - T_(a-b): the two factors of T_i, of the smallest depth; both odd-even splits keep to polynomials in use. */
export function powerFactors(index: number): { a: number; b: number } {
  if (index % 2 === 0 && Number.isInteger(Math.log2(index))) return { a: index / 2, b: index / 2 };
  const a = 2 ** Math.floor(Math.log2(index));
  return { a, b: index - a };
}

function buildNode(
  coefficients: Map<number, number>,
  depth: number,
  available: (index: number) => boolean,
): PlanNode {
  const rest = new Map(coefficients);
  const products: { quotient: PlanNode; giant: number }[] = [];
  for (;;) {
    let worst = 0;
    for (const [index, c] of rest) {
      if (index === 0 || c === 0) continue;
      if (!(available(index) && powerDepth(index) + 1 <= depth)) worst = Math.max(worst, index);
    }
    if (worst === 0) break;
    let giant = 2 ** Math.floor(Math.log2(worst));
    if (giant === worst) giant /= 2;
    const quotient = new Map<number, number>();
    for (const index of [...rest.keys()].sort((x, y) => y - x)) {
      if (index <= giant) continue;
      const c = rest.get(index) ?? 0;
      rest.delete(index);
      if (c === 0) continue;
      // T_index = 2 T_giant T_(index-giant) - T_|index-2 giant|
      quotient.set(index - giant, (quotient.get(index - giant) ?? 0) + 2 * c);
      const mirror = Math.abs(index - 2 * giant);
      rest.set(mirror, (rest.get(mirror) ?? 0) - c);
    }
    products.push({ quotient: buildNode(quotient, depth - 1, available), giant });
  }
  const terms = [...rest]
    .filter(([index, c]) => index > 0 && c !== 0)
    .map(([index, coefficient]) => ({ index, coefficient }))
    .sort((x, y) => x.index - y.index);
  return { depth, products, terms, termsDepth: termsDepth(terms, depth), constant: rest.get(0) ?? 0 };
}

function termsDepth(terms: readonly { readonly index: number }[], depth: number): number {
  const below = depth - 1;
  const native = terms.map(({ index }) => powerDepth(index));
  const deepest = Math.max(0, ...native);
  const toBring = native.filter((d) => d < below).length;
  return deepest < below && toBring >= 3 ? deepest : below;
}

function neededPowers(node: PlanNode, into: Set<number>): void {
  for (const { index } of node.terms) into.add(index);
  for (const { quotient, giant } of node.products) {
    into.add(giant);
    neededPowers(quotient, into);
  }
}

/** Adds what the polynomials in the set are computed from. */
function closePowers(set: Set<number>): number[] {
  const queue = [...set];
  for (let index = queue.pop(); index !== undefined; index = queue.pop()) {
    if (index <= 1) continue;
    const { a, b } = powerFactors(index);
    for (const part of [a, b, a - b]) {
      if (part > 0 && !set.has(part)) {
        set.add(part);
        queue.push(part);
      }
    }
  }
  return [...set].filter((index) => index > 1).sort((x, y) => x - y);
}

function countProducts(node: PlanNode): { products: number; sums: number } {
  let products = node.products.length;
  let sums = node.products.length > 0 ? 1 : 0;
  for (const { quotient } of node.products) {
    const inner = countProducts(quotient);
    products += inner.products;
    sums += inner.sums;
  }
  return { products, sums };
}

/**
 * Chooses the tree with the fewest relinearisations, then products. Paterson and Stockmeyer, On the number of nonscalar
 * multiplications necessary to evaluate polynomials (SIAM J. Comput. 1973), in the Chebyshev basis and at the smallest depth.
 * @param coefficients of T_0, T_1, ...; degree 1..511. Exact zeros are exploited: an even or odd series costs about three
 * quarters of a full one.
 */
export function planChebyshev(coefficients: ArrayLike<number>): ChebyshevPlan {
  const degree = degreeOf(coefficients);
  const depth = polynomialDepth(degree);
  const map = new Map<number, number>();
  for (let i = 0; i <= degree; i++) if (coefficients[i] !== 0) map.set(i, coefficients[i]);
  let best: ChebyshevPlan | undefined;
  for (let babies = 2; babies <= 2 * degree + 2; babies *= 2) {
    const inUse = (index: number) => map.has(index) || babies <= 2;
    // Giants are powers of two, so they stay available to the linear parts too.
    const odd = [...map.keys()].some((i) => i % 2 === 1);
    const even = [...map.keys()].some((i) => i > 0 && i % 2 === 0);
    const fits = (index: number) => (index % 2 === 1 ? odd : even) || inUse(index);
    const available = (index: number): boolean =>
      (index < babies && fits(index)) || Number.isInteger(Math.log2(index));
    const root = buildNode(map, depth, available);
    const set = new Set<number>();
    neededPowers(root, set);
    const powers = closePowers(set);
    const tree = countProducts(root);
    const plan: ChebyshevPlan = {
      root,
      depth,
      powers,
      products: powers.length + tree.products,
      relinearisations: powers.length + tree.sums,
    };
    if (
      best === undefined ||
      plan.relinearisations < best.relinearisations ||
      (plan.relinearisations === best.relinearisations && plan.products < best.products)
    ) {
      best = plan;
    }
  }
  return best!;
}
