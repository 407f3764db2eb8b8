import type { RefreshShape } from '@sotto/he/scheme';
import type { LlamaModel } from '@sotto/model';
import type { Arithmetic } from './arithmetic.js';
import {
  attend,
  exponential,
  exponentialRoot,
  keepRows,
  normalise,
  type Projections,
  project,
  scores,
} from './attention.js';
import type { BlockPlace } from './block.js';
import type { AnyLayerCalibration } from './calibration.js';
import { activate, bilinear, down, gateAndUp, gated } from './feed-forward.js';
import { kernelSums, projectHeads } from './kernel-attention.js';
import { type BlockRows, type CachedLayer, type CacheLayer, layerParts, partsOf } from './kv-cache.js';
import type { Layout } from './layout.js';
import type { PlainCache } from './plain-cache.js';
import type { Degrees, LayerPolynomials } from './polynomials.js';
import type { PublicContext } from './public-context.js';
import { type CutName, cutShape } from './schedule.js';
import type { WindowGuard } from './window-guard.js';

/** Everything one layer of one block works with. */
export interface LayerScope<C extends object> {
  readonly m: Arithmetic<C>;
  readonly layout: Layout;
  readonly plains: PlainCache<C>;
  readonly model: LlamaModel;
  readonly degrees: Degrees;
  readonly polynomials: LayerPolynomials;
  readonly calibration: AnyLayerCalibration;
  readonly index: number;
  readonly block: BlockPlace;
  readonly context: PublicContext;
  /** The cache of earlier blocks; without the last one when some of its rows were dropped. */
  readonly past: CacheLayer<C> | null;
  /** The rows of the last block that stay, when others of it were dropped. */
  readonly kept: (BlockRows<C> & { readonly place: BlockPlace }) | null;
  /** Keep what is needed to drop rows of this block later. */
  readonly droppable: boolean;
  /** Scale of the residual stream that leaves the layer. */
  readonly nextStreamScale: number;
  readonly cuts: readonly CutName[];
  /** The cut whose imaginary half carries the row norms of the keys, when they run out of levels otherwise. */
  readonly normRide: CutName | null;
  /** Level to which a state refreshed at a cut is brought down: as low as the stretch that follows allows. */
  readonly startLevel: (cut: CutName) => number;
  /** Whether two states share a refresh at a cut. */
  readonly sharesRefresh: (cut: CutName) => boolean;
  /** Watches the arguments of the polynomials of this layer. */
  readonly guard: WindowGuard<C>;
  readonly refresh: (a: C, what: string, shape: RefreshShape) => Promise<C>;
  /** Called with every intermediate state; aborts by throwing. */
  readonly see: (name: string, value: C) => void;
}

/** Multiplies the stream by `factor` and brings it to the level of `beside`. */
function residual<C extends object>(m: Arithmetic<C>, x: C, factor: number, beside: C): C {
  return m.ev.mulConstNew(m.lower(x, m.level(beside) + 1), factor);
}

/**
 * One transformer layer over a block. Refreshes where the plan says; everything else is synchronous.
 *
 * @returns the residual stream at `nextStreamScale`, the layer's cache with the block appended, and the sum of its window guard.
 * Nothing of the scope's inputs is freed.
 */
export async function runLayer<C extends object>(
  s: LayerScope<C>,
  input: C,
): Promise<{ x: C; cache: CachedLayer<C>; health: C }> {
  const { m, polynomials: p } = s;
  const { ev } = m;
  const held = new Set<C>();
  const hold = (a: C): C => {
    held.add(a);
    return a;
  };
  const free = (...all: C[]): void => {
    for (const a of all) if (held.delete(a)) ev.release(a);
  };
  /** Refreshes and lowers to where the next stretch begins; frees the old value. */
  const renew = async (name: CutName, value: C): Promise<C> => {
    const fresh = hold(await s.refresh(value, name, cutShape(s.layout, name, false)));
    free(value);
    const low = hold(ev.scope(() => ev.copyNew(m.lower(fresh, s.startLevel(name)))));
    free(fresh);
    return low;
  };
  /**
   * Refreshes real values, two in each ciphertext where the stretch leaves a level to take them apart. The product that halves them is the one that lowers them, unless the stretch
   * begins where a refresh ends.
   */
  const renewAll = async (name: CutName, values: readonly C[], start = s.startLevel(name)): Promise<C[]> => {
    const renewed: C[] = [];
    if (!s.sharesRefresh(name) && s.normRide !== name && name !== 'silu') {
      for (const value of values) renewed.push(await renew(name, value));
      return renewed;
    }
    for (let i = 0; i < values.length; i += 2) {
      const [real, imaginary] = [values[i]!, values[i + 1]];
      if (imaginary === undefined) {
        renewed.push(await renew(name, real));
        break;
      }
      const packed = hold(ev.scope(() => m.pack(real, imaginary)));
      free(real, imaginary);
      const fresh = hold(await s.refresh(packed, name, cutShape(s.layout, name, true)));
      free(packed);
      const parts = ev.scope(() => m.split(ev.mulConstNew(m.lower(fresh, start + 1), 0.5)));
      free(fresh);
      renewed.push(hold(parts.real), hold(parts.imaginary));
    }
    return renewed;
  };
  let cache: CacheLayer<C>;
  /** New states in place of old ones, refreshed if a cut is here. */
  const advance = async (name: CutName, old: readonly C[], make: () => C[]): Promise<C[]> => {
    const states = ev.scope(make);
    states.forEach(hold);
    free(...old);
    states.forEach((state, page) => {
      s.see(page === 0 ? name : `${name} ${page + 1}`, state);
    });
    if (!s.cuts.includes(name)) return states;
    if (s.normRide !== name) return renewAll(name, states);
    const renewed = await renewAll(name, [...states, cache.norm]);
    cache = { ...cache, norm: renewed.pop()! };
    return renewed;
  };
  /** Frees what the scores were made of. */
  const spend = ({ query, shift, row, routed }: Projections<C>): void => {
    free(query, ...(shift === null ? [] : [shift]), ...(s.droppable ? [] : [row, routed]));
  };
  const ratio = p.feedForwardNorm.streamScale / p.attentionNorm.streamScale;
  /** Adds what attention makes of `states` to the stream. */
  const toMiddle = async (x: C, states: readonly C[], attention: () => C): Promise<C> => {
    const [middle] = await advance('middle', states, () => {
      const delta = attention();
      return [m.add(delta, residual(m, x, ratio, delta))];
    });
    return middle!;
  };
  const softmaxHalf = async (x: C, projections: Projections<C>): Promise<C> => {
    let pages = await advance('score', [], () => scores(s, projections));
    spend(projections);
    pages = await advance('root', pages, () => pages.map((page) => exponentialRoot(s, page)));
    pages = await advance('exponential', pages, () => pages.map((page) => exponential(s, page)));
    pages = await advance('normalised', pages, () => normalise(s, pages));
    pages = await advance('weights', pages, () => pages.map((page) => ev.squareNew(page)));
    return toMiddle(x, pages, () => attend(s, pages, cache));
  };
  const kernelHalf = async (x: C, projections: Projections<C>): Promise<C> => {
    const heads = await advance('heads', [], () => [kernelSums(s, projections)]);
    spend(projections);
    return toMiddle(x, heads, () => projectHeads(s, heads[0]!));
  };
  /** What the feed-forward half with SiLU adds to the stream. */
  const gatedHalf = async (middle: C): Promise<C> => {
    const halves = hold(gateAndUp(s, middle));
    s.see('gate', halves);
    const state = s.cuts.includes('gate') ? await renew('gate', halves) : halves;
    if (!s.cuts.includes('silu')) {
      const inner = hold(gated(s, state));
      free(state);
      s.see('silu', inner);
      return hold(down(s, inner));
    }
    const active = activate(s, state);
    free(state);
    const both = [hold(active.gate), hold(active.up)];
    s.see('silu', active.gate);
    const [gate, up] = await renewAll('silu', both, s.startLevel('silu') - 1);
    return hold(down(s, hold(ev.mulNew(gate!, up!))));
  };
  try {
    s.see('start', input);
    const x =
      s.index > 0 && s.cuts.includes('start')
        ? await renew('start', input)
        : hold(ev.scope(() => ev.copyNew(s.index > 0 ? input : m.lower(input, s.startLevel('start')))));
    const before = keepRows(s);
    if (s.kept !== null && before !== null) for (const made of layerParts(before)) hold(made);
    const projections = project(s, x, before);
    const { query, shift, row, routed } = projections;
    cache = projections.cache;
    for (const made of [query, row, routed, ...layerParts(cache)]) hold(made);
    if (shift !== null) hold(shift);
    const middle = p.kernel === null ? await softmaxHalf(x, projections) : await kernelHalf(x, projections);
    free(x);
    const delta = p.silu === null ? hold(bilinear(s, middle)) : await gatedHalf(middle);
    const last = s.nextStreamScale / p.feedForwardNorm.streamScale;
    const out = ev.scope(() => m.add(delta, residual(m, middle, last, delta)));
    hold(out);
    s.see('end', out);
    const health = hold(s.guard.sum());
    const result: CachedLayer<C> = { ...cache, last: s.droppable ? { before, row, routed } : null };
    for (const part of [out, health, ...partsOf(result)]) held.delete(part);
    return { x: out, cache: result, health };
  } finally {
    s.guard.dispose();
    free(...held);
  }
}
