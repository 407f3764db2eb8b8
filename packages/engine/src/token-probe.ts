import { forward, KvCache, type LlamaModel } from '@sotto/model';
import type { Interval, LayerCalibration } from './calibration.js';

/** Rows after the probed token that are checked with it. */
const ROWS_AFTER = 4;

/**
 * Whether every value that text causes from row `from` on stays inside the windows of a calibration. Low ends of the two sums are
 * not windows: an inverse stays finite there.
 */
export function staysInside(
  model: LlamaModel,
  layers: readonly LayerCalibration[],
  tokens: readonly number[],
  from: number,
): boolean {
  let inside = true;
  const check = (value: number, [low, high]: Interval): void => {
    if (!(value >= low && value <= high)) inside = false;
  };
  let row = new Float64Array(0);
  forward(model, tokens, new KvCache(layers.length), (name, layer, position, values, head) => {
    const c = layers[layer];
    if (!inside || position < from || c === undefined) return;
    if (name === 'normalised') row = Float64Array.from(values);
    else if (name === 'attentionMeanSquare') check(values[0]!, c.attentionMeanSquare);
    else if (name === 'feedForwardMeanSquare') check(values[0]!, c.feedForwardMeanSquare);
    else if (name === 'gate') for (const value of values) check(value, [-c.gate, c.gate]);
    else if (name === 'up') for (const value of values) check(value, [-c.up, c.up]);
    else if (name === 'scores') {
      let shift = c.offset[head]! + c.slope[head]! * Math.log(position + 1);
      for (let i = 0; i < row.length; i++) shift += c.shift[head]![i]! * row[i]!;
      let sum = 0;
      for (const value of values) {
        check(value / 2 - shift, c.score);
        sum += Math.exp(value / 2 - shift);
      }
      check(Math.log(sum), [Number.NEGATIVE_INFINITY, c.logSum[1]]);
    }
  });
  return inside;
}

/**
 * Tokens that may stand in a private part: those of the calibration texts, and those that stay inside all windows when one of them
 * is put into such a text. What remains are tokens the model was hardly trained on.
 *
 * @returns ascending ids.
 */
export function probeTokens(
  model: LlamaModel,
  layers: readonly LayerCalibration[],
  texts: readonly (readonly number[])[],
): number[] {
  const known = new Set(texts.flat());
  const text = texts[0]!;
  const before = text.slice(0, Math.ceil(text.length / 4));
  const after = text.slice(before.length, before.length + ROWS_AFTER);
  for (let token = 0; token < model.config.vocabSize; token++) {
    if (!known.has(token) && staysInside(model, layers, [...before, token, ...after], before.length))
      known.add(token);
  }
  return [...known].sort((a, b) => a - b);
}
