import { embedTokens, type LlamaModel, traceRows } from '@sotto/model';
import type { AnyLayerCalibration } from './calibration.js';
import type { PrefixContext } from './calibration-texts.js';
import { observeRanges, windowOf } from './row-ranges.js';

/** Rows after a probed token that are checked with it. */
const ROWS_AFTER = 4;
/** Probed tokens of one text at first; a group that leaves a window is halved. */
const GROUP = 16;
/** Rows in front of the first probed token. */
const ROWS_BEFORE = 12;

/** Whether every value that `tokens` cause stays inside the windows of a calibration. */
export function staysInside(
  model: LlamaModel,
  layers: readonly AnyLayerCalibration[],
  context: PrefixContext,
  tokens: readonly number[],
): boolean {
  let inside = true;
  const trace = observeRanges(layers, context.tokens.length, (kind, layer, low, high) => {
    const window = windowOf({ layers }, kind, layer);
    if (!(low >= window[0] && high <= window[1])) inside = false;
  });
  traceRows(model, embedTokens(model, tokens), context.cache.fork(), trace);
  return inside;
}

/**
 * Tokens that may stand in a private part: those of the calibration texts, and those that stay inside all windows when they are put
 * into such a text. What remains are tokens the model was hardly trained on. Tokens are probed in groups; those of a group that
 * leaves a window are probed in smaller ones. Yields between two passes of the model.
 *
 * @param before context of the probes: public prefix and some rows of a text.
 * @param filler tokens of the same text that stand between and behind the probed ones.
 * @param known tokens of the calibration texts.
 * @returns ascending ids.
 */
export function* probeTokens(
  model: LlamaModel,
  layers: readonly AnyLayerCalibration[],
  before: PrefixContext,
  filler: readonly number[],
  known: ReadonlySet<number>,
): Generator<number, number[]> {
  const result = new Set(known);
  const { vocabSize } = model.config;
  const unknown = Array.from({ length: vocabSize }, (_, token) => token).filter((t) => !known.has(t));
  const at = (i: number): number => filler[i % filler.length]!;
  const groups: number[][] = [];
  for (let i = 0; i < unknown.length; i += GROUP) groups.unshift(unknown.slice(i, i + GROUP));
  for (let group = groups.pop(); group !== undefined; group = groups.pop()) {
    const between = group.length === 1 ? ROWS_AFTER : 1;
    const text = group.flatMap((token, g) => [
      token,
      ...Array.from({ length: between }, (_, i) => at(g * between + i)),
    ]);
    if (staysInside(model, layers, before, text)) for (const token of group) result.add(token);
    else if (group.length > 1) groups.push(group.slice(group.length / 2), group.slice(0, group.length / 2));
    yield group.length;
  }
  return [...result].sort((a, b) => a - b);
}

/** Rows in front of the probes, from the beginning of a text, and how many tokens of it they are. */
export const probeRowsBefore = (text: readonly number[]): number =>
  Math.min(ROWS_BEFORE, Math.ceil(text.length / 2));
