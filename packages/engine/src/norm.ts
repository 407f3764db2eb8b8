import { sumSlots } from '@sotto/he/circuits';
import type { Arithmetic } from './arithmetic.js';
import type { Layout } from './layout.js';
import type { NormPolynomial } from './polynomials.js';

/**
 * rowScale times a power of the mean square of every row, in all features of the row. Features repeat over the ring, so their sum
 * is a plain rotate-and-add without masks. Levels: 1 + depth of the polynomial.
 */
export function rowNorm<C extends object>(m: Arithmetic<C>, l: Layout, x: C, norm: NormPolynomial): C {
  const squares = sumSlots(m.ev, m.ev.squareNew(x), l.width, l.blockRows);
  return m.polynomial(m.ev.addConstNew(squares, norm.offset), norm.coefficients);
}
