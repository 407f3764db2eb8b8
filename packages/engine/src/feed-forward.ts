import { sumSlots } from '@sotto/he/circuits';
import type { LayerScope } from './layer.js';
import { rowNorm } from './norm.js';
import { feedForwardInput, feedForwardOutput } from './weights.js';

/** Half of gate + i up, both within [-1, 1], in the staircase order. */
export function gateAndUp<C extends object>(s: LayerScope<C>, x: C): C {
  const { m, layout, plains, model, polynomials: p, index } = s;
  return m.ev.scope(() => {
    const row = rowNorm(s, x, p.feedForwardNorm);
    // The product waits for the norm anyway: it runs at the lowest level that is not lower.
    const low = m.lower(x, m.level(row) + 1);
    const input = feedForwardInput(model, layout, index, p);
    return m.mul(
      m.map(low, (level) => plains.map(input, level)),
      row,
    );
  });
}

/** SiLU of the gate times up, from {@link gateAndUp}. */
export function gated<C extends object>(s: LayerScope<C>, halves: C): C {
  return s.m.ev.scope(() => {
    const { real, imaginary } = s.m.split(halves);
    return s.guard.product(real, imaginary, s.polynomials.silu!);
  });
}

/** SiLU of the gate, and up, from {@link gateAndUp}: where they are refreshed before they are multiplied. */
export function activate<C extends object>(s: LayerScope<C>, halves: C): { gate: C; up: C } {
  return s.m.ev.scope(() => {
    const { real, imaginary } = s.m.split(halves);
    return { gate: s.guard.polynomial(real, s.polynomials.silu!), up: imaginary };
  });
}

/** The down projection of {@link gated}, at the scale of the next norm. */
export function down<C extends object>(s: LayerScope<C>, inner: C): C {
  const { m, layout, plains, model, polynomials: p, index } = s;
  return m.ev.scope(() => {
    const map = feedForwardOutput(model, layout, index, p, s.nextStreamScale);
    const parts = m.map(inner, (level) => plains.map(map, level));
    return sumSlots(m.ev, parts, layout.features / layout.width, layout.width * layout.blockRows);
  });
}

/**
 * The whole half with a bilinear gate, at the scale of the next norm. Gate and up are both linear in the normalised row, so the norm
 * comes last, as 1/(mean square) of the row, beside the products.
 */
export function bilinear<C extends object>(s: LayerScope<C>, x: C): C {
  const { m, layout, plains, model, polynomials: p, index } = s;
  return m.ev.scope(() => {
    const row = rowNorm(s, x, p.feedForwardNorm);
    // Three products on this path: they run at the lowest levels that are not lower than the norm's.
    const low = m.lower(x, m.level(row) + 3);
    const input = feedForwardInput(model, layout, index, p);
    const both = m.map(low, (level) => plains.map(input, level));
    const map = feedForwardOutput(model, layout, index, p, s.nextStreamScale);
    const parts = m.twiceReal(m.map(m.ev.squareNew(both), (level) => plains.map(map, level)));
    const sum = sumSlots(m.ev, parts, layout.features / layout.width, layout.width * layout.blockRows);
    return m.mul(sum, row);
  });
}
