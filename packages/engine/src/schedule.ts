import { SottoError } from '@sotto/base';
import { polynomialDepth } from '@sotto/he/circuits';
import type { ExactShape } from '@sotto/he/scheme';
import type { Layout } from './layout.js';
import type { Degrees } from './polynomials.js';

/**
 * Places in a layer where the state is narrow (one complex ciphertext besides the residual stream), in order:
 * the residual stream, scaled scores, root of the exponential, exponential, normalised exponential before and after squaring,
 * residual stream before the feed-forward half, gate and up together, SiLU and up together.
 */
export const cutNames = [
  'start',
  'score',
  'root',
  'exponential',
  'normalised',
  'weights',
  'middle',
  'gate',
  'silu',
] as const;
export type CutName = (typeof cutNames)[number];

/**
 * The shape of the state at a cut. The residual stream repeats over the features; everything else fills the ring.
 * @param pair two real values ride as real and imaginary part.
 */
export function cutShape(layout: Layout, cut: CutName, pair: boolean): ExactShape {
  const isStream = cut === 'start' || cut === 'middle';
  const period = isStream && !pair ? layout.width * layout.blockRows : layout.slots;
  return { period, real: !pair && cut !== 'gate' };
}

/** Levels consumed from the start of a layer to each cut, and to its end. */
export interface LayerDepths {
  readonly at: Readonly<Record<CutName, number>>;
  readonly end: number;
}

/** Product, routing, spreading over columns, query times key, causal mask: the path beside the norm. */
const SCORE_PATH_DEPTH = 5;

export function layerDepths(degrees: Degrees): LayerDepths {
  const norm = 1 + polynomialDepth(degrees.norm);
  const score = Math.max(norm, SCORE_PATH_DEPTH) + 2;
  const root = score + polynomialDepth(degrees.exp);
  const exponential = root + degrees.squarings;
  const normalised = exponential + polynomialDepth(degrees.inverse) + 1;
  const weights = normalised + 1;
  // Inverse, Newton step; product with the values; output projection.
  const middle = weights + polynomialDepth(degrees.lastInverse) + 2 + 2;
  const gate = middle + norm + 1;
  const silu = gate + polynomialDepth(degrees.silu);
  return {
    at: { start: 0, score, root, exponential, normalised, weights, middle, gate, silu },
    end: silu + 2,
  };
}

/** A refresh of two packed values is followed by one product that takes them apart. */
const unpackingLevels = (cut: CutName): number => (cut === 'silu' ? 1 : 0);

/** Latest cuts first among equals: where the noise of a refresh is squared away, it hurts least. */
const preference: readonly CutName[] = [
  'normalised',
  'root',
  'middle',
  'silu',
  'exponential',
  'score',
  'gate',
  'weights',
];

/** Cuts at which every page of scores has a state of its own. */
const pagedCuts: readonly CutName[] = ['score', 'root', 'exponential', 'normalised', 'weights'];

/** Refreshes of a layer with so many pages of scores, beyond those with one: two pages share a refresh. */
export function pageRefreshes(
  plan: { readonly cuts: readonly CutName[]; readonly normRide: CutName | null },
  pages: number,
): number {
  return plan.cuts
    .filter((cut) => pagedCuts.includes(cut))
    .map((cut) => Math.ceil((pages + (cut === plan.normRide ? 1 : 0)) / 2) - 1)
    .reduce((sum, refreshes) => sum + refreshes, 0);
}

/**
 * The fewest refreshes of a layer such that no stretch is longer than `usableLevels`. Every layer starts with one (the first layer
 * of a pass gets a fresh input instead).
 *
 * @returns the cuts in order, `start` first.
 * @throws SottoError `PLAN_TOO_FEW_LEVELS`.
 */
export function chooseCuts(depths: LayerDepths, usableLevels: number): CutName[] {
  const inner = cutNames.slice(1);
  let best: CutName[] | null = null;
  let bestRank = 0;
  for (let mask = 0; mask < 1 << inner.length; mask++) {
    const cuts: CutName[] = ['start', ...inner.filter((_, i) => (mask >> i) & 1)];
    const ends = [...cuts.slice(1).map((cut) => depths.at[cut]), depths.end];
    if (cuts.some((cut, i) => ends[i]! - depths.at[cut] + unpackingLevels(cut) > usableLevels)) continue;
    const rank = cuts.reduce((sum, cut) => sum + 2 ** (preference.length - preference.indexOf(cut)), 0);
    if (best === null || cuts.length < best.length || (cuts.length === best.length && rank > bestRank)) {
      best = cuts;
      bestRank = rank;
    }
  }
  if (best === null) {
    const places = [...cutNames.map((cut) => depths.at[cut]), depths.end];
    const needed = Math.max(...places.slice(1).map((place, i) => place - places[i]!));
    throw new SottoError('The circuit is deeper than the levels between two refreshes.', {
      code: 'PLAN_TOO_FEW_LEVELS',
      facts: { usableLevels, needed },
      fix: 'Use parameters with more levels, or polynomials of lower degree.',
    });
  }
  return best;
}

/** Levels from each chosen cut to the next one (or the end): where a stretch may start without running out. */
export function stretchDepths(
  depths: LayerDepths,
  cuts: readonly CutName[],
): Partial<Record<CutName, number>> {
  const ends = [...cuts.slice(1).map((cut) => depths.at[cut]), depths.end];
  return Object.fromEntries(cuts.map((cut, i) => [cut, ends[i]! - depths.at[cut] + unpackingLevels(cut)]));
}
