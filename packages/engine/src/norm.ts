import { sumSlots } from '@sotto/he/circuits';
import type { LayerScope } from './layer.js';
import type { NormPolynomial } from './polynomials.js';

/**
 * rowScale times a power of the mean square of every row, in all features of the row. Features repeat over the ring, so their sum
 * is a plain rotate-and-add without masks. Levels: 1 + depth of the polynomial.
 */
export function rowNorm<C extends object>(s: LayerScope<C>, x: C, norm: NormPolynomial): C {
  const { ev } = s.m;
  const squares = sumSlots(ev, ev.squareNew(x), s.layout.width, s.layout.blockRows);
  return s.guard.polynomial(ev.addConstNew(squares, norm.offset), norm.coefficients);
}
