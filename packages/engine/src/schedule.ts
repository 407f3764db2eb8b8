import { SottoError } from '@sotto/base';
import { polynomialDepth } from '@sotto/he/circuits';
import type { ExactShape } from '@sotto/he/scheme';
import {
  type AttentionKind,
  attentionKindOf,
  type GateKind,
  gateKindOf,
  type LlamaConfig,
} from '@sotto/model';
import type { Layout } from './layout.js';
import type { Degrees } from './polynomials.js';

/**
 * Places in a layer where the state is narrow (one complex ciphertext besides the residual stream), in order:
 * the residual stream, scaled scores, root of the exponential, exponential, normalised exponential before and after squaring,
 * head sums of kernel attention, residual stream before the feed-forward half, gate and up together, SiLU and up together. A layer
 * has those of its kinds.
 */
export const cutNames = [
  'start',
  'score',
  'root',
  'exponential',
  'normalised',
  'weights',
  'heads',
  'middle',
  'gate',
  'silu',
] as const;
export type CutName = (typeof cutNames)[number];

/**
 * The shape of the state at a cut. The residual stream repeats over the features, the sums of the heads over the columns; everything
 * else fills the ring. Of two short periods the longer one serves both, so that one kind of refresh does.
 *
 * @param pair two real values ride as real and imaginary part.
 */
export function cutShape(layout: Layout, cut: CutName, pair: boolean): ExactShape {
  const isNarrow = cut === 'start' || cut === 'middle' || cut === 'heads';
  const narrow = Math.max(layout.width, cut === 'heads' ? 2 * layout.pairs * layout.heads : 0);
  const period = isNarrow && !pair ? narrow * layout.blockRows : layout.slots;
  return { period, real: !pair && cut !== 'gate' };
}

/** Levels consumed from the start of a layer to each cut, and to its end. */
export interface LayerDepths {
  readonly at: Readonly<Partial<Record<CutName, number>>>;
  readonly end: number;
}

/** What the layers of a model are made of. */
export interface LayerKinds {
  readonly attention: AttentionKind;
  readonly gate: GateKind;
}

export function kindsOf(config: LlamaConfig): LayerKinds {
  return { attention: attentionKindOf(config), gate: gateKindOf(config) };
}

/** Product, routing, spreading over columns, query times key, causal mask: the path beside the norm. */
const SCORE_PATH_DEPTH = 5;

/** @param kinds plain Llama when absent. */
export function layerDepths(
  degrees: Degrees,
  kinds: LayerKinds = { attention: 'softmax', gate: 'silu' },
): LayerDepths {
  const norm = 1 + polynomialDepth(degrees.norm);
  const attention =
    kinds.attention === 'softmax' ? softmaxDepths(degrees, norm) : kernelDepths(degrees, norm);
  const { middle } = attention;
  if (kinds.gate === 'bilinear') {
    // Product, square and product run beside the norm, which comes last.
    const end = middle + Math.max(3, 1 + polynomialDepth(degrees.rowInverse)) + 1;
    return { at: { start: 0, ...attention }, end };
  }
  const gate = middle + 1 + polynomialDepth(degrees.feedForwardNorm) + 1;
  const silu = gate + polynomialDepth(degrees.silu);
  // Without a refresh at SiLU its polynomial takes up along as a factor; with one the product follows.
  return { at: { start: 0, ...attention, gate, silu }, end: silu + 1 };
}

function softmaxDepths(degrees: Degrees, norm: number) {
  const score = Math.max(norm, SCORE_PATH_DEPTH) + 2;
  const root = score + polynomialDepth(degrees.exp);
  const exponential = root + degrees.squarings;
  const normalised = exponential + polynomialDepth(degrees.inverse) + 1;
  const weights = normalised + 1;
  // Inverse, Newton step; product with the values; output projection.
  const middle = weights + polynomialDepth(degrees.lastInverse) + 2 + 2;
  return { score, root, exponential, normalised, weights, middle };
}

function kernelDepths(degrees: Degrees, norm: number) {
  const score = Math.max(norm, SCORE_PATH_DEPTH) + 2;
  // Fourth power, product with the masked norms, product with the values, taking real and imaginary parts apart.
  const heads = score + 2 + 2 + 1;
  // Square, root, product; output projection.
  const middle = heads + 1 + polynomialDepth(degrees.head) + 2;
  return { heads, middle };
}

/** The places of a layer in order, its start first. */
function placesOf(depths: LayerDepths): CutName[] {
  return cutNames.filter((name) => depths.at[name] !== undefined);
}

/** Progress that a layer reports: its places and its end. */
export function stepsOf(depths: LayerDepths): number {
  return placesOf(depths).length + 1;
}

/** A refresh of SiLU and up is followed by a product that takes them apart, and theirs. */
const unpackingLevels = (cut: CutName): number => (cut === 'silu' ? 2 : 0);

/**
 * Whether the state at a cut is one real value, so that a refresh there can carry the row norms of the keys in its imaginary half and
 * the layer still needs them.
 */
export function carriesNorms(cut: CutName): boolean {
  return cut !== 'start' && cut !== 'heads' && cut !== 'silu';
}

/** Latest cuts first among equals: where the noise of a refresh is squared away, it hurts least. */
const preference: readonly CutName[] = [
  'normalised',
  'heads',
  'root',
  'middle',
  'silu',
  'exponential',
  'score',
  'gate',
  'weights',
];

/** Cuts at which every page of scores has a state of its own. */
export const pagedCuts: readonly CutName[] = ['score', 'root', 'exponential', 'normalised', 'weights'];

/** What of a plan says how states are refreshed together. */
export interface SharingPlan {
  readonly cuts: readonly (readonly CutName[])[];
  readonly normRides: readonly (CutName | null)[];
  readonly startLevels: Readonly<Partial<Record<CutName, number>>>;
  readonly topLevel: number;
  /** At every cut two states share a refresh; otherwise where the stretch behind it begins below the top. */
  readonly sharesAll: boolean;
}

/** Whether two states at a cut share a refresh: the stretch behind it leaves a level to take them apart. */
export function sharesRefresh(plan: SharingPlan, cut: CutName): boolean {
  return plan.sharesAll || (plan.startLevels[cut] ?? plan.topLevel) < plan.topLevel;
}

/** Refreshes of a pass with so many pages of scores, beyond those with one: two pages share a refresh where they can. */
export function pageRefreshes(plan: SharingPlan, pages: number): number {
  return plan.cuts
    .flatMap((cuts, layer) => cuts.map((cut) => ({ cut, rides: cut === plan.normRides[layer] })))
    .filter(({ cut }) => pagedCuts.includes(cut))
    .map(({ cut, rides }) =>
      rides || sharesRefresh(plan, cut) ? Math.ceil((pages + (rides ? 1 : 0)) / 2) - 1 : pages - 1,
    )
    .reduce((sum, refreshes) => sum + refreshes, 0);
}

/** Every choice of `count` of the places of a layer with its start first, the preferred ones first. */
export function cutChoices(depths: LayerDepths, count: number): CutName[][] {
  const inner = placesOf(depths).slice(1);
  const rank = (cuts: readonly CutName[]): number =>
    cuts.reduce((sum, cut) => sum + 2 ** (preference.length - preference.indexOf(cut)), 0);
  return Array.from({ length: 1 << inner.length }, (_, mask): CutName[] => [
    'start',
    ...inner.filter((_, i) => (mask >> i) & 1),
  ])
    .filter((cuts) => cuts.length === count)
    .sort((a, b) => rank(b) - rank(a));
}

/**
 * The fewest refreshes of a layer such that no stretch is longer than `usableLevels`. Every layer starts with one (the first layer
 * of a pass gets a fresh input instead).
 *
 * @returns the cuts in order, `start` first.
 * @throws SottoError `PLAN_TOO_FEW_LEVELS`.
 */
export function chooseCuts(depths: LayerDepths, usableLevels: number): CutName[] {
  const fits = (cuts: readonly CutName[]): boolean =>
    Object.values(stretchDepths(depths, cuts)).every((depth) => depth <= usableLevels);
  const names = placesOf(depths);
  for (let count = 1; count <= names.length; count++) {
    const best = cutChoices(depths, count).find(fits);
    if (best !== undefined) return best;
  }
  const places = [...names.map((cut) => depths.at[cut]!), depths.end];
  const needed = Math.max(...places.slice(1).map((place, i) => place - places[i]!));
  throw new SottoError('The circuit is deeper than the levels between two refreshes.', {
    code: 'PLAN_TOO_FEW_LEVELS',
    facts: { usableLevels, needed },
    fix: 'Use parameters with more levels, or polynomials of lower degree.',
  });
}

/** Levels after a refresh of SiLU and up that a layer takes to its end. */
export const TAIL_LEVELS = 3;

/** Levels from each chosen cut to the next one (or the end): where a stretch may start without running out. */
export function stretchDepths(
  depths: LayerDepths,
  cuts: readonly CutName[],
): Partial<Record<CutName, number>> {
  const ends = [...cuts.slice(1).map((cut) => depths.at[cut]!), depths.end];
  return Object.fromEntries(cuts.map((cut, i) => [cut, ends[i]! - depths.at[cut]! + unpackingLevels(cut)]));
}

/**
 * {@link stretchDepths} of every layer of a pass: a layer without a refresh at its start continues on the levels that the layer before
 * left. The first one has a `start` in any case, where its fresh input comes in.
 */
export function passStretches(
  depths: readonly LayerDepths[],
  cuts: readonly (readonly CutName[])[],
): Partial<Record<CutName, number>>[] {
  const stretches: Partial<Record<CutName, number>>[] = [];
  let beyond = 0;
  for (let layer = cuts.length - 1; layer >= 0; layer--) {
    const { at, end } = depths[layer]!;
    const own = stretchDepths({ at, end: end + beyond }, cuts[layer]!);
    const [first] = cuts[layer]!;
    beyond = first === undefined ? end + beyond : at[first]!;
    stretches.unshift(layer === 0 ? { start: beyond, ...own } : own);
  }
  return stretches;
}

/** Refreshes of a pass: the first layer starts with a fresh input. */
export function refreshesOf(cuts: readonly (readonly CutName[])[]): number {
  return cuts.reduce((sum, ofLayer) => sum + ofLayer.length, 0) - (cuts[0]!.includes('start') ? 1 : 0);
}
