import { sumSlots } from '@sotto/he/circuits';
import { halfVisible, ownDots, type Projections } from './attention.js';
import { kernelConstants, partsMask } from './block.js';
import type { CacheLayer } from './kv-cache.js';
import type { LayerScope } from './layer.js';
import { columnStride, pairStride, publicPages, quarterStride } from './layout.js';
import { kernelOf } from './polynomials.js';
import { publicScores, publicValues } from './public-context.js';
import { headsOutput } from './weights.js';

/** Half the sums of weights times private values, in the upper half of the columns. 2 levels. */
function ownSums<C extends object>(s: LayerScope<C>, weights: C, cache: CacheLayer<C>): C {
  const { m, layout } = s;
  const { ev } = m;
  const step = pairStride(layout);
  const half = 2 * quarterStride(layout);
  let moved = ev.rotateNew(weights, half);
  let norm = ev.rotateNew(cache.norm, half);
  const everyPair = cache.keyValues.map((_, group) => {
    if (group > 0) [moved, norm] = [ev.rotateNew(moved, step), ev.rotateNew(norm, step)];
    return ev.scope(() =>
      sumSlots(ev, m.mul(moved, halfVisible(s, norm, group, 'values')), layout.pairs, -step),
    );
  });
  return m.dot(everyPair, cache.keyValues);
}

/**
 * Kernel sums of every row and head: real parts of the complex pairs in even columns, imaginary parts in odd ones. The sum over visible keys, public and private, of
 * (1 + s/4)^4 v, scaled so that a head's squares add up to at most 1. The kernel's base is exactly zero where no key is visible, and
 * so is its power: nothing is masked afterwards, and the sums over private keys and over every page of public keys are simply added.
 */
export function kernelSums<C extends object>(s: LayerScope<C>, { query, row, cache }: Projections<C>): C {
  const { m, layout, block, plains, model, polynomials: p, index } = s;
  const { ev } = m;
  const kernel = kernelOf(p);
  const powers = model.layers[index]!.keyCountPower!;
  return ev.scope(() => {
    const own = m.mul(m.mul(ownDots(s, query, cache.keyValues), row), cache.norm);
    const parts: C[] = [];
    for (let page = 0; page < publicPages(layout, s.context.length); page++) {
      const keys = publicScores(model, layout, s.context, index, page);
      const open = m.mul(
        m.map(query, (level) => plains.map(keys, level)),
        row,
      );
      const both = m.twiceReal(page === 0 ? m.add(own, open) : open);
      const constants = plains.summand(
        `${block.id}/constants/${index}/${page}`,
        () => kernelConstants(layout, model.config, block, page, powers, kernel),
        m.level(both),
      );
      const weights = ev.squareNew(ev.squareNew(ev.addPlainNew(both, constants)));
      if (page === 0) {
        const half = ownSums(s, weights, cache);
        parts.push(ev.addNew(half, half));
      }
      const values = publicValues(model, layout, s.context, index, page, kernel.valueScale);
      parts.push(m.map(weights, (level) => plains.map(values, level)));
    }
    const all = parts.reduce((sum, part) => m.add(sum, part));
    const sums = sumSlots(ev, all, layout.columns, columnStride(layout));
    const apart = plains.factor('heads-apart', () => partsMask(layout), m.level(sums));
    return m.twiceReal(ev.mulPlainNew(sums, apart));
  });
}

/** Divides the sums of every head by their root mean square and projects: what attention adds to the residual stream. */
export function projectHeads<C extends object>(s: LayerScope<C>, sums: C): C {
  const { m, layout, plains, model, polynomials: p, index } = s;
  const { ev } = m;
  return ev.scope(() => {
    // Pairs of columns repeat, so a sum over the features of a head wraps around into the same head.
    const squares = sumSlots(ev, ev.squareNew(sums), 2 * layout.pairs, pairStride(layout));
    const argument = ev.addConstNew(ev.addNew(squares, squares), -1);
    const heads = m.mul(sums, s.guard.polynomial(argument, kernelOf(p).head));
    const output = headsOutput(model, layout, index, p);
    return m.map(heads, (level) => plains.map(output, level));
  });
}
