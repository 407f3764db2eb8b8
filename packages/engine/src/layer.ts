import type { LlamaModel } from '@sotto/model';
import type { Arithmetic } from './arithmetic.js';
import { attend, exponential, exponentialRoot, normalise, scores } from './attention.js';
import type { BlockPlace } from './block.js';
import type { LayerCalibration } from './calibration.js';
import { activate, down, gateAndUp } from './feed-forward.js';
import type { CacheLayer } from './kv-cache.js';
import type { Layout } from './layout.js';
import type { PlainCache } from './plain-cache.js';
import type { Degrees, LayerPolynomials } from './polynomials.js';
import type { PublicContext } from './public-context.js';
import type { CutName } from './schedule.js';

/** Everything one layer of one block works with. */
export interface LayerScope<C extends object> {
  readonly m: Arithmetic<C>;
  readonly layout: Layout;
  readonly plains: PlainCache<C>;
  readonly model: LlamaModel;
  readonly degrees: Degrees;
  readonly polynomials: LayerPolynomials;
  readonly calibration: LayerCalibration;
  readonly index: number;
  readonly block: BlockPlace;
  readonly context: PublicContext;
  /** The cache of earlier blocks. */
  readonly past: CacheLayer<C> | null;
  /** Scale of the residual stream that leaves the layer. */
  readonly nextStreamScale: number;
  readonly cuts: readonly CutName[];
  /** The cut whose imaginary half carries the row norms of the keys, when they run out of levels otherwise. */
  readonly normRide: CutName | null;
  readonly refresh: (a: C, what: string) => Promise<C>;
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
 * @returns the residual stream at `nextStreamScale` and the layer's cache with the block appended. Nothing of the scope's inputs
 * is freed.
 */
export async function runLayer<C extends object>(
  s: LayerScope<C>,
  input: C,
): Promise<{ x: C; cache: CacheLayer<C> }> {
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
  /** Takes a step, frees what it replaces, refreshes the result where a cut is. */
  const step = async (name: CutName | 'end', old: readonly C[], make: () => C): Promise<C> => {
    let value = hold(ev.scope(make));
    free(...old);
    s.see(name, value);
    if (name === 'end' || !s.cuts.includes(name) || name === 'silu') return value;
    if (s.normRide === name) {
      const packed = hold(ev.scope(() => m.pack(value, cache.norm)));
      free(value, cache.norm);
      const fresh = hold(await s.refresh(packed, name));
      free(packed);
      const parts = unpack(fresh);
      cache = { ...cache, norm: hold(parts.imaginary) };
      return hold(parts.real);
    }
    const old2 = value;
    value = hold(await s.refresh(value, name));
    free(old2);
    return value;
  };
  const unpack = (fresh: C): { real: C; imaginary: C } => {
    const parts = ev.scope(() => m.split(ev.mulConstNew(fresh, 0.5)));
    free(fresh);
    return parts;
  };
  let cache: CacheLayer<C>;
  try {
    let x = input;
    s.see('start', x);
    if (s.cuts.includes('start') && s.index > 0) x = hold(await s.refresh(input, 'start'));

    const attention = scores(s, x);
    cache = { key: hold(attention.key), value: hold(attention.value), norm: hold(attention.norm) };
    let state = hold(attention.score);
    state = await step('score', [state], () => ev.copyNew(state));
    state = await step('root', [state], () => exponentialRoot(s, state));
    state = await step('exponential', [state], () => exponential(s, state));
    state = await step('normalised', [state], () => normalise(s, state));
    const ratio = p.feedForwardNorm.streamScale / p.attentionNorm.streamScale;
    const middle = await step('middle', [state, x], () => {
      const delta = attend(s, state, cache);
      return m.add(delta, residual(m, x, ratio, delta));
    });

    state = await step('gate', [], () => gateAndUp(s, middle));
    let { gate, up } = activate(s, state);
    free(state);
    hold(gate);
    hold(up);
    s.see('silu', gate);
    if (s.cuts.includes('silu')) {
      const packed = hold(ev.scope(() => m.pack(gate, up)));
      free(gate, up);
      const fresh = hold(await s.refresh(packed, 'silu'));
      free(packed);
      ({ real: gate, imaginary: up } = unpack(fresh));
      hold(gate);
      hold(up);
    }
    const last = s.nextStreamScale / p.feedForwardNorm.streamScale;
    const out = await step('end', [], () => {
      const delta = down(s, gate, up);
      return m.add(delta, residual(m, middle, last, delta));
    });
    held.delete(out);
    for (const part of [cache.key, cache.value, cache.norm]) held.delete(part);
    return { x: out, cache };
  } finally {
    free(...held);
  }
}
