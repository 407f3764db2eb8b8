import { SottoError } from '@sotto/base';

/** A closed interval. */
export type Interval = readonly [number, number];

/** Measured ranges of one layer, guards included. Softmax ranges are at half temperature: z = score/2 - shift. */
export interface LayerCalibration {
  /** Mean square before the attention norm. */
  readonly attentionMeanSquare: Interval;
  readonly feedForwardMeanSquare: Interval;
  /** Shift of a row and head: dot(shift[head], normalised row) + offset[head] + slope[head] * ln(position + 1). */
  readonly shift: readonly (readonly number[])[];
  readonly offset: readonly number[];
  readonly slope: readonly number[];
  /** z of every visible key. */
  readonly score: Interval;
  /** ln of sum over keys of e^z. */
  readonly logSum: Interval;
  /** ln of the sum of squares of e^z / sum. */
  readonly logSquareSum: Interval;
  /** Largest magnitude of a SiLU input. */
  readonly gate: number;
  readonly up: number;
  /** Largest magnitudes of the residual stream: at the start of the layer and before its feed-forward half. */
  readonly residual: number;
  readonly residualMiddle: number;
}

/** What {@link calibrate} measures; bound to the digest of the model file. */
export interface Calibration {
  readonly version: 1;
  readonly modelDigest: string;
  /** How it was made: texts, tokens a text, seed. */
  readonly texts: number;
  readonly tokens: number;
  readonly seed: number;
  readonly layers: readonly LayerCalibration[];
  /** Largest magnitude of the residual stream after the last layer. */
  readonly finalResidual: number;
  /** Ascending ids of the tokens that may stand in a private part: others leave the ranges. */
  readonly knownTokens: readonly number[];
}

/** @throws SottoError `CALIBRATION_INVALID`. */
export function readCalibration(text: string): Calibration {
  const fail = (what: string): never => {
    throw new SottoError(`The calibration cannot be used: ${what}.`, {
      code: 'CALIBRATION_INVALID',
      fix: 'Make it again with calibrate().',
    });
  };
  let value: Calibration;
  try {
    value = JSON.parse(text) as Calibration;
  } catch {
    return fail('it is not JSON');
  }
  if (value?.version !== 1 || typeof value.modelDigest !== 'string' || !Array.isArray(value.layers)) {
    return fail('it is of another version');
  }
  const interval = (x: unknown): boolean =>
    Array.isArray(x) && x.length === 2 && x.every(Number.isFinite) && x[0] < x[1];
  const positive = (x: unknown): boolean => typeof x === 'number' && Number.isFinite(x) && x > 0;
  const numbers = (x: unknown): boolean => Array.isArray(x) && x.length > 0 && x.every(Number.isFinite);
  value.layers.forEach((layer, l) => {
    const intervals = [layer.attentionMeanSquare, layer.feedForwardMeanSquare, layer.score, layer.logSum];
    if (![...intervals, layer.logSquareSum].every(interval)) fail(`layer ${l} has an empty interval`);
    if (layer.attentionMeanSquare[0] <= 0 || layer.feedForwardMeanSquare[0] <= 0) {
      fail(`layer ${l} has a mean square that is not positive`);
    }
    if (![layer.gate, layer.up, layer.residual, layer.residualMiddle].every(positive)) {
      fail(`layer ${l} has a magnitude that is not positive`);
    }
    if (!numbers(layer.offset) || !numbers(layer.slope) || !Array.isArray(layer.shift))
      fail(`layer ${l} has no shift`);
    if (!layer.shift.every(numbers)) fail(`layer ${l} has a broken shift`);
  });
  if (!positive(value.finalResidual)) fail('the final magnitude is not positive');
  if (!numbers(value.knownTokens)) fail('the list of tokens is missing');
  return value;
}

export function writeCalibration(calibration: Calibration): string {
  const rounded = (_: string, value: unknown): unknown =>
    typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(9)) : value;
  return `${JSON.stringify(calibration, rounded)}\n`;
}
