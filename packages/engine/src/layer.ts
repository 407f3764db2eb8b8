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
  /** Level to which a state refreshed at a cut is brought down: as low as the stretch that follows allows. */
  readonly startLevel: (cut: CutName) => number;
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
  /** Refreshes and lowers to where the next stretch begins; frees the old value. */
  const renew = async (name: CutName, value: C): Promise<C> => {
    const fresh = hold(await s.refresh(value, name));
    free(value);
    const low = hold(ev.scope(() => ev.copyNew(m.lower(fresh, s.startLevel(name)))));
    free(fresh);
    return low;
  };
  /** Refreshes two real values at once. */
  const renewBoth = async (name: CutName, real: C, imaginary: C): Promise<{ real: C; imaginary: C }> => {
    const packed = hold(ev.scope(() => m.pack(real, imaginary)));
    free(real, imaginary);
    const fresh = await renew(name, packed);
    const parts = ev.scope(() => m.split(ev.mulConstNew(fresh, 0.5)));
    free(fresh);
    return { real: hold(parts.real), imaginary: hold(parts.imaginary) };
  };
  let cache: CacheLayer<C>;
  /** A new state in place of an old one, refreshed if a cut is here. */
  const advance = async (name: CutName, old: C, make: () => C): Promise<C> => {
    const state = hold(ev.scope(make));
    free(old);
    s.see(name, state);
    if (!s.cuts.includes(name)) return state;
    if (s.normRide !== name) return renew(name, state);
    const { real, imaginary } = await renewBoth(name, state, cache.norm);
    cache = { ...cache, norm: imaginary };
    return real;
  };
  try {
    s.see('start', input);
    const x =
      s.index > 0
        ? await renew('start', input)
        : hold(ev.scope(() => ev.copyNew(m.lower(input, s.startLevel('start')))));
    const { score, keyValues, norm } = scores(s, x);
    cache = { keyValues: keyValues.map(hold), norm: hold(norm) };
    let state: C = await advance('score', hold(score), () => ev.copyNew(score));
    state = await advance('root', state, () => exponentialRoot(s, state));
    state = await advance('exponential', state, () => exponential(s, state));
    state = await advance('normalised', state, () => normalise(s, state));
    state = await advance('weights', state, () => ev.squareNew(state));
    const ratio = p.feedForwardNorm.streamScale / p.attentionNorm.streamScale;
    const middle = await advance('middle', state, () => {
      const delta = attend(s, state, cache);
      return m.add(delta, residual(m, x, ratio, delta));
    });
    free(x);

    const halves = hold(gateAndUp(s, middle));
    s.see('gate', halves);
    state = s.cuts.includes('gate') ? await renew('gate', halves) : halves;
    const active = activate(s, state);
    free(state);
    let gate = hold(active.gate);
    let up = hold(active.up);
    s.see('silu', gate);
    if (s.cuts.includes('silu')) ({ real: gate, imaginary: up } = await renewBoth('silu', gate, up));
    const last = s.nextStreamScale / p.feedForwardNorm.streamScale;
    const out = ev.scope(() => {
      const delta = down(s, gate, up);
      return m.add(delta, residual(m, middle, last, delta));
    });
    for (const part of [...cache.keyValues, cache.norm]) held.delete(part);
    hold(out);
    s.see('end', out);
    held.delete(out);
    return { x: out, cache };
  } finally {
    free(...held);
  }
}
