import type { Rated } from './degrees.js';
import { defaultDegrees } from './polynomials.js';
import { type CutName, cutChoices, layerDepths, TAIL_LEVELS } from './schedule.js';

/** The best degrees of a layer between cuts, `start` first, with so many levels before the first refresh; null where none fit. */
export type LayerRater = (cuts: readonly CutName[], head: number) => Rated | null;

/** Cuts and degrees of one layer. */
interface LayerChoice {
  readonly cuts: readonly CutName[];
  readonly rated: Rated;
}

/** How a pass that has come so far went on: the layers' choices, refreshes, and bits by which targets are missed. */
interface Path {
  readonly choices: readonly LayerChoice[];
  readonly refreshes: number;
  readonly missedBits: number;
}

/** More refreshes than this in one layer are never fewer in the pass. */
const MOST_CUTS = 6;

/** Whether the next layer may continue without a refresh at its start: levels are left behind a refresh of SiLU and up. */
const leavesLevels = (choice: LayerChoice): boolean => choice.cuts[choice.cuts.length - 1] === 'silu';

const isBetter = (a: { refreshes: number; missedBits: number }, b: typeof a | undefined): boolean =>
  b === undefined ||
  a.refreshes < b.refreshes ||
  (a.refreshes === b.refreshes && a.missedBits < b.missedBits - 1e-9);

/**
 * Choices of one layer with the fewest refreshes: the best of those that leave levels to the next layer, and the best of the others.
 *
 * @param fresh it starts with a refresh; otherwise it continues on what `TAIL_LEVELS` leave.
 */
function choicesOf(rate: LayerRater, usable: number, mostMissedBits: number, fresh: boolean): LayerChoice[] {
  const best = new Map<boolean, LayerChoice>();
  for (let count = 1; count <= MOST_CUTS && best.size < 2; count++) {
    const ofCount = new Map<boolean, LayerChoice>();
    for (const cuts of cutChoices(layerDepths(defaultDegrees), fresh ? count : count + 1)) {
      const rated = rate(cuts, fresh ? usable : usable - TAIL_LEVELS);
      if (rated === null || rated.beyond !== null || rated.missedBits > mostMissedBits) continue;
      const choice = { cuts: fresh ? cuts : cuts.slice(1), rated };
      const known = ofCount.get(leavesLevels(choice));
      if (known === undefined || rated.missedBits < known.rated.missedBits - 1e-9)
        ofCount.set(leavesLevels(choice), choice);
    }
    for (const [leaves, choice] of ofCount) if (!best.has(leaves)) best.set(leaves, choice);
  }
  return [...best.values()];
}

/**
 * Cuts and degrees for every layer on its own, with the fewest refreshes in the pass, and of those the choice whose errors miss their
 * targets least: shortest path over the layers with two states, whether levels are left for the next layer.
 *
 * @param layers rates choices of each layer.
 * @param usable levels between two refreshes.
 * @param mostMissedBits bits by which the errors of a layer may miss their targets.
 * @returns null when a layer has no accurate choice.
 */
export function chooseOwnCuts(
  layers: readonly LayerRater[],
  usable: number,
  mostMissedBits: number,
): { cuts: (readonly CutName[])[]; layers: Rated[] } | null {
  let paths = new Map<boolean, Path>([[false, { choices: [], refreshes: 0, missedBits: 0 }]]);
  layers.forEach((rate, layer) => {
    const next = new Map<boolean, Path>();
    for (const fresh of [true, false]) {
      const before = [...paths].filter(([leaves]) => fresh || leaves).map(([, path]) => path);
      if (before.length === 0) continue;
      for (const choice of choicesOf(rate, usable, mostMissedBits, fresh)) {
        // The first layer starts with a fresh input.
        const refreshes = choice.cuts.length - (layer === 0 ? 1 : 0);
        for (const path of before) {
          const longer: Path = {
            choices: [...path.choices, choice],
            refreshes: path.refreshes + refreshes,
            missedBits: path.missedBits + choice.rated.missedBits,
          };
          if (isBetter(longer, next.get(leavesLevels(choice)))) next.set(leavesLevels(choice), longer);
        }
      }
    }
    paths = next;
  });
  let best: Path | undefined;
  for (const path of paths.values()) if (isBetter(path, best)) best = path;
  if (best === undefined) return null;
  return { cuts: best.choices.map(({ cuts }) => cuts), layers: best.choices.map(({ rated }) => rated) };
}
