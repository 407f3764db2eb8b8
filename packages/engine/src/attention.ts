import { sumSlots } from '@sotto/he/circuits';
import type { SlotVector } from '@sotto/he/scheme';
import {
  type BlockPlace,
  causalMask,
  groupsInUse,
  kindMask,
  queryPhases,
  scoreConstants,
  spreadKeyValues,
  spreadNorms,
  visibleMask,
} from './block.js';
import { softmaxLayer } from './calibration.js';
import type { CacheLayer } from './kv-cache.js';
import type { LayerScope } from './layer.js';
import { columnStride, pairStride, publicPages, quarterStride } from './layout.js';
import type { LinearMap } from './linear-map.js';
import { rowNorm } from './norm.js';
import { softmaxOf } from './polynomials.js';
import { publicScores, publicValues } from './public-context.js';
import { attentionInput, attentionOutput, kinds, routingSteps } from './weights.js';

/** Result of {@link project}: what the block asks for, and what it appends to the cache. */
export interface Projections<C> {
  readonly query: C;
  /** Null with kernel attention, whose scores are not shifted. */
  readonly shift: C | null;
  /** Scaled row norms, keys and values of the block's rows, before they go to their places. */
  readonly row: C;
  readonly routed: C;
  /** The cache with the block appended. */
  readonly cache: CacheLayer<C>;
}

type Routed = 'query' | 'shift' | 'keyValue';

/** Selects a part of the joint product (1 level) and copies it to its columns. Queries are turned by their positions. */
function route<C extends object>(s: LayerScope<C>, joint: C, what: Routed): C {
  const { m, layout, block, plains, model, index } = s;
  const powers = model.layers[index]!.keyCountPower;
  const selected: Record<Routed, () => SlotVector> = {
    query: () => queryPhases(layout, model.config, block, powers),
    shift: () => kindMask(layout, [kinds.shift]),
    keyValue: () => kindMask(layout, [kinds.key, kinds.value]),
  };
  const ofLayer = powers === undefined ? '' : `/${index}`;
  const name = what === 'query' ? `${block.id}/route-query${ofLayer}` : `route-${what}`;
  let out = m.ev.mulPlainNew(joint, plains.factor(name, selected[what], m.level(joint)));
  for (const step of routingSteps(layout, what)) out = m.ev.addNew(out, m.ev.rotateNew(out, step));
  return out;
}

/** Half of the values at pair 0 of a group's visible columns, zero elsewhere. 1 level. */
export function halfVisible<C extends object>(
  s: LayerScope<C>,
  a: C,
  group: number,
  half: 'keys' | 'values',
): C {
  const { m, layout, block, plains, model } = s;
  const build = (): SlotVector => causalMask(layout, model.config, block, group, half);
  return m.ev.mulPlainNew(a, plains.factor(`${block.id}/causal-${half}/${group}`, build, m.level(a)));
}

/** Rows of a block to other places, broadcast over the rows. 1 level. */
function spreadRows<C extends object>(s: LayerScope<C>, a: C, map: LinearMap): C {
  const { m, layout, plains } = s;
  const moved = m.map(a, (level) => plains.map(map, level));
  return sumSlots(m.ev, moved, layout.blockRows, -1);
}

/** The groups of keys and values so far and those of a block's rows. 1 level. */
function appendKeyValues<C extends object>(
  s: LayerScope<C>,
  past: CacheLayer<C> | null,
  rows: C,
  place: BlockPlace,
): C[] {
  const { m, layout, model } = s;
  return Array.from({ length: groupsInUse(layout, place) }, (_, group) => {
    const old = past?.keyValues[group];
    const map = spreadKeyValues(layout, model.config, place, group);
    if (map === null) return m.ev.copyNew(old!);
    const moved = spreadRows(s, rows, map);
    return old === undefined ? moved : m.add(old, moved);
  });
}

/** The norms so far and those of a block's rows. 1 level. */
function appendNorms<C extends object>(
  s: LayerScope<C>,
  past: CacheLayer<C> | null,
  rows: C,
  place: BlockPlace,
): C {
  const moved = spreadRows(s, rows, spreadNorms(s.layout, place));
  return past === null ? moved : s.m.add(past.norm, moved);
}

/** The past with what is kept of the block before, when other rows of it were dropped. */
export function keepRows<C extends object>(s: LayerScope<C>): CacheLayer<C> | null {
  const { past, kept } = s;
  if (kept === null) return past;
  const [norm, ...keyValues] = s.m.ev.scope(() => [
    appendNorms(s, past, kept.row, kept.place),
    ...appendKeyValues(s, past, kept.routed, kept.place),
  ]);
  return { norm: norm!, keyValues };
}

/** Queries, shifts, and the cache: that of {@link keepRows} with this block's keys, values and row norms. */
export function project<C extends object>(
  s: LayerScope<C>,
  x: C,
  before: CacheLayer<C> | null,
): Projections<C> {
  const { m, layout, block, plains, model, polynomials: p, calibration, index } = s;
  const shifted = p.softmax !== null;
  const [query, row, routed, norm, ...rest] = m.ev.scope(() => {
    const input = attentionInput(model, layout, index, calibration, p);
    const joint = m.map(x, (level) => plains.map(input, level));
    const fresh = route(s, joint, 'keyValue');
    const norms = rowNorm(s, x, p.attentionNorm);
    return [
      route(s, joint, 'query'),
      norms,
      fresh,
      appendNorms(s, before, norms, block),
      ...(shifted ? [route(s, joint, 'shift')] : []),
      ...appendKeyValues(s, before, fresh, block),
    ];
  });
  const [shift, keyValues] = shifted ? [rest[0]!, rest.slice(1)] : [null, rest];
  return {
    query: query!,
    shift,
    row: row!,
    routed: routed!,
    cache: { norm: norm!, keyValues },
  };
}

/** Half the products of the queries with the visible private keys, each where the score of its key stands. 2 levels. */
export function ownDots<C extends object>(s: LayerScope<C>, query: C, keyValues: readonly C[]): C {
  const { m, layout } = s;
  const step = pairStride(layout);
  const dots = keyValues.map((keys, group) =>
    m.ev.scope(() => halfVisible(s, sumSlots(m.ev, m.mul(query, keys), layout.pairs, step), group, 'keys')),
  );
  // From the last group on, every step moves all groups so far by one pair.
  return dots.reduceRight((sum, dot) => m.add(dot, m.ev.rotateNew(sum, -step)));
}

/** Half the sums of visible weights times private values, in the upper half of the columns. 3 levels. */
function ownAverage<C extends object>(s: LayerScope<C>, weights: C, cache: CacheLayer<C>): C {
  const { m, layout } = s;
  const { ev } = m;
  const step = pairStride(layout);
  let moved = ev.rotateNew(m.mul(weights, cache.norm), 2 * quarterStride(layout));
  const everyPair = cache.keyValues.map((_, group) => {
    if (group > 0) moved = ev.rotateNew(moved, step);
    // Exactly zero at invisible keys, whatever the exponential left there.
    return ev.scope(() => sumSlots(ev, halfVisible(s, moved, group, 'values'), layout.pairs, -step));
  });
  return m.dot(everyPair, cache.keyValues);
}

/**
 * Scaled scores v in [-1, 1] of every row with every visible key, public and private, from the residual stream; -1 at invisible
 * places: one ciphertext a page. The row norm is multiplied in last, so its polynomial runs beside query, key and product.
 */
export function scores<C extends object>(s: LayerScope<C>, projections: Projections<C>): C[] {
  const { m, layout, block, plains, model, polynomials: p, calibration, index } = s;
  const { ev } = m;
  const { query, row, cache } = projections;
  const shift = projections.shift!;
  const pages = Array.from({ length: publicPages(layout, s.context.length) }, (_, page) => page);
  return ev.scope(() => {
    const own = m.mul(m.mul(ownDots(s, query, cache.keyValues), row), cache.norm);
    return pages.map((page) => {
      const context = publicScores(model, layout, s.context, index, page);
      const open = m.map(query, (level) => plains.map(context, level));
      // A plaintext is fetched where it is used: the cache may drop it when the next one comes.
      const visible = plains.factor(
        `${block.id}/visible/${page}`,
        () => visibleMask(layout, model.config, block, page),
        m.level(shift),
      );
      const rest = m.mul(m.add(open, ev.mulPlainNew(shift, visible)), row);
      const both = m.twiceReal(page === 0 ? m.add(own, rest) : rest);
      const constants = plains.summand(
        `${block.id}/constants/${index}/${page}`,
        () => scoreConstants(layout, model.config, block, page, softmaxLayer(calibration), softmaxOf(p)),
        m.level(both),
      );
      return ev.addPlainNew(both, constants);
    });
  });
}

/** Root of the exponential: a polynomial of the scaled score. */
export function exponentialRoot<C extends object>(s: LayerScope<C>, score: C): C {
  return s.guard.polynomial(score, softmaxOf(s.polynomials).exp);
}

export function exponential<C extends object>(s: LayerScope<C>, root: C): C {
  const { ev } = s.m;
  return ev.scope(() => {
    let u = root;
    for (let i = 0; i < s.degrees.squarings; i++) u = ev.squareNew(u);
    return u;
  });
}

/** Sum over the keys of all pages, in every column. */
function sumKeys<C extends object>(s: LayerScope<C>, pages: readonly C[]): C {
  const { m, layout } = s;
  const all = pages.reduce((sum, page) => m.add(sum, page));
  return sumSlots(m.ev, all, layout.columns * layout.pairs, pairStride(layout));
}

/** Each page of u times a rough inverse of the sum of all. */
export function normalise<C extends object>(s: LayerScope<C>, pages: readonly C[]): C[] {
  const { m } = s;
  const p = softmaxOf(s.polynomials);
  return m.ev.scope(() => {
    const sum = m.ev.addConstNew(sumKeys(s, pages), p.sumOffset);
    const inverse = m.polynomial(sum, p.inverse);
    return pages.map((u) => m.mul(u, inverse));
  });
}

/** Divides the squares by their exact sum, averages the values and projects: what attention adds to the residual stream. */
export function attend<C extends object>(s: LayerScope<C>, weights: readonly C[], cache: CacheLayer<C>): C {
  const { m, layout, plains, model, polynomials: p, index } = s;
  const { squareSumOffset, lastInverse } = softmaxOf(p);
  const { ev } = m;
  return ev.scope(() => {
    const sum = sumKeys(s, weights);
    const twice = ev.addNew(sum, sum);
    const rough = m.polynomial(ev.addConstNew(twice, squareSumOffset), lastInverse);
    // Newton: g (2 - s g) squares the relative error.
    const inverse = m.mul(rough, ev.addConstNew(ev.negNew(m.mul(twice, rough)), 2));

    const own = ownAverage(s, weights[0]!, cache);
    const open = weights
      .map((ofPage, page) => {
        const context = publicValues(model, layout, s.context, index, page);
        return m.map(ofPage, (level) => plains.map(context, level));
      })
      .reduce((sum, ofPage) => m.add(sum, ofPage));
    const total = sumSlots(ev, m.add(ev.addNew(own, own), open), layout.columns, columnStride(layout));
    const average = m.mul(total, inverse);

    const output = attentionOutput(model, layout, index, p);
    return m.twiceReal(m.map(average, (level) => plains.map(output, level)));
  });
}
