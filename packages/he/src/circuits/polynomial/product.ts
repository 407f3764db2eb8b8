import { SottoError } from '@sotto/base';
import type { Evaluator } from '../../scheme/evaluator.js';
import { ChebyshevBasis } from './basis.js';
import { evaluateNode, type GuardedValue } from './evaluate.js';
import { sumOfProductsNew } from './fused.js';
import { planChebyshev } from './plan.js';
import { degreeOf } from './series.js';

/**
 * factor * sum_i coefficients[i] * T_i(x) for an even series, which may have a linear term as well; x in [-1, 1]. The factor goes into
 * the highest part first: with every giant step p = q T_m + r, q takes it along and r is multiplied by it at the end. So degree
 * 2^k - 2 costs k levels, product included, where the series alone takes as many.
 *
 * @param factor at the level of x.
 * @returns the product, log2(degree + 2) levels down (rounded up, at least 2), and the guard of `evaluateChebyshevGuarded`.
 * @throws SottoError `HE_DEGREE` unless the series is even beside its linear term and of a degree from 2 to 510;
 * `HE_LEVEL_EXHAUSTED`, `HE_LEVEL_MISMATCH`.
 */
export function evaluateChebyshevProductGuarded<C extends object>(
  ev: Evaluator<C>,
  x: C,
  factor: C,
  coefficients: readonly number[],
): GuardedValue<C> {
  const degree = degreeOf(coefficients);
  if (degree < 2 || degree > 510 || coefficients.some((c, i) => i > 1 && i % 2 === 1 && c !== 0)) {
    throw new SottoError('A product with a series needs an even one beside its linear term.', {
      code: 'HE_DEGREE',
      facts: { degree },
      fix: 'Evaluate the series by itself, then multiply.',
    });
  }
  const depth = Math.ceil(Math.log2(degree + 2));
  const [level, other] = [ev.levelOf(x), ev.levelOf(factor)];
  if (level !== other || level < depth) {
    throw new SottoError('The operands are at different levels, or have too few for this polynomial.', {
      code: level === other ? 'HE_LEVEL_EXHAUSTED' : 'HE_LEVEL_MISMATCH',
      facts: { level, other, needed: depth },
      fix: 'Refresh the ciphertexts first, or bring the higher one down.',
    });
  }
  const [value, guard] = ev.scope(() => {
    const basis = new ChebyshevBasis(ev, x);
    const product = new Product(ev, basis, x, factor).at(coefficients, depth);
    return [product, ev.copyNew(basis.at(2 ** (depth - 1), depth - 1))];
  });
  return { value: value!, guard: guard! };
}

class Product<C extends object> {
  readonly #ev: Evaluator<C>;
  readonly #basis: ChebyshevBasis<C>;
  readonly #x: C;
  readonly #factor: C;

  constructor(ev: Evaluator<C>, basis: ChebyshevBasis<C>, x: C, factor: C) {
    this.#ev = ev;
    this.#basis = basis;
    this.#x = x;
    this.#factor = factor;
  }

  /** Factor times series, `depth` levels below both. */
  at(coefficients: readonly number[], depth: number): C {
    const below = depth - 1;
    const factor = this.#lower(this.#factor, below);
    const degree = degreeOf(coefficients);
    if (degree === 0) return this.#ev.mulConstNew(factor, coefficients[0] ?? 0);
    if (degree < 2 ** below) return this.#ev.mulNew(this.#series(coefficients, below), factor);
    const giant = 2 ** below;
    const { quotient, rest } = splitAt(coefficients, giant);
    const left = [this.at(quotient, below)];
    const right = [this.#basis.at(giant, below)];
    if (degreeOf(rest) === 0) {
      return sumOfProductsNew(this.#ev, left, right, { values: [factor], factors: [rest[0] ?? 0] }, 0);
    }
    left.push(this.#series(rest, below));
    right.push(factor);
    return sumOfProductsNew(this.#ev, left, right, null, 0);
  }

  #series(coefficients: readonly number[], depth: number): C {
    const { root } = planChebyshev(coefficients);
    return this.#lower(evaluateNode(this.#ev, this.#basis, root, this.#x), depth);
  }

  #lower(value: C, depth: number): C {
    const level = this.#ev.levelOf(this.#x) - depth;
    return this.#ev.levelOf(value) > level ? this.#ev.toLevel(value, level) : value;
  }
}

/** sum_i c_i T_i = quotient * T_giant + rest, by T_i = 2 T_giant T_(i - giant) - T_|i - 2 giant|; the degree is below twice the giant. */
function splitAt(coefficients: readonly number[], giant: number): { quotient: number[]; rest: number[] } {
  const rest = coefficients.slice(0, giant);
  const quotient = [coefficients[giant] ?? 0];
  for (let i = giant + 1; i < coefficients.length; i++) {
    quotient[i - giant] = 2 * coefficients[i]!;
    rest[2 * giant - i] = (rest[2 * giant - i] ?? 0) - coefficients[i]!;
  }
  return { quotient, rest };
}
