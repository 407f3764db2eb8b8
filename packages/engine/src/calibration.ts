import { SottoError } from '@sotto/base';

/** A closed interval. */
export type Interval = readonly [number, number];

/** Measured ranges of one layer of any kind, guards included. */
export interface StreamRanges {
  /** Mean square before the attention norm. */
  readonly attentionMeanSquare: Interval;
  readonly feedForwardMeanSquare: Interval;
  /** Largest magnitude of a gate and of its other factor. */
  readonly gate: number;
  readonly up: number;
  /** Largest magnitudes of the residual stream: at the start of the layer and before its feed-forward half. */
  readonly residual: number;
  readonly residualMiddle: number;
}

/** Ranges of a layer with kernel attention. */
export interface KernelLayerCalibration extends StreamRanges {
  /** Largest magnitude of the kernel's base times the fourth root of the key count factor. */
  readonly kernelBase: number;
  /** Largest mean square of the kernel sums of a head. */
  readonly headMeanSquare: number;
}

/** Ranges of a layer with softmax attention. Softmax ranges are at half temperature: z = score/2 - shift. */
export interface LayerCalibration extends StreamRanges {
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
}

export type AnyLayerCalibration = LayerCalibration | KernelLayerCalibration;

export function isKernelLayer(layer: AnyLayerCalibration): layer is KernelLayerCalibration {
  return 'kernelBase' in layer;
}

/** The ranges of a layer that has softmax attention. */
export function softmaxLayer(layer: AnyLayerCalibration): LayerCalibration {
  if (isKernelLayer(layer)) throw new TypeError('The layer has kernel attention.');
  return layer;
}

/** How the held-out scan ended: texts that no window had seen, one after the other; a text that leaves a window widens it. */
export interface ScanResult {
  /** Texts scanned in all. */
  readonly texts: number;
  /** Those that left a window and widened it. */
  readonly escapes: number;
  /** Texts since the last one that left a window; the goal was to reach `wanted`. */
  readonly clean: number;
  readonly wanted: number;
}

/** How a calibration was made. */
export interface CalibrationRecord {
  /** The model's own texts, tokens of a text at most, seed. */
  readonly texts: number;
  readonly tokens: number;
  readonly seed: number;
  /** Further texts. */
  readonly corpora: readonly { readonly name: string; readonly texts: number }[];
  readonly scan: ScanResult;
}

/** Version of the file format: others are not read. */
export const CALIBRATION_VERSION = 2;

/** What {@link calibrate} measures; bound to the digest of the model file. */
export interface Calibration {
  readonly version: typeof CALIBRATION_VERSION;
  readonly modelDigest: string;
  readonly made: CalibrationRecord;
  /**
   * Public tokens in front of every prompt, BOS first. They absorb massive activations, so that private rows have none; by causality
   * their keys and values depend on no prompt.
   */
  readonly publicPrefix: readonly number[];
  /** Seed of the rotation of the residual stream that the ranges were measured with; null without one. */
  readonly rotationSeed: number | null;
  readonly layers: readonly AnyLayerCalibration[];
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
      fix: 'Make it again with `sotto calibrate`.',
    });
  };
  let value: Calibration;
  try {
    value = JSON.parse(text) as Calibration;
  } catch {
    return fail('it is not JSON');
  }
  if (value?.version !== CALIBRATION_VERSION) return fail('it is of another version');
  if (typeof value.modelDigest !== 'string' || !Array.isArray(value.layers) || value.layers.length === 0)
    return fail('it names no model or no layers');
  const token = (x: unknown): boolean => Number.isInteger(x) && (x as number) >= 0;
  if (
    !Array.isArray(value.publicPrefix) ||
    value.publicPrefix.length === 0 ||
    !value.publicPrefix.every(token)
  )
    fail('the public prefix is missing');
  if (value.rotationSeed !== null && !token(value.rotationSeed)) fail('the rotation is broken');
  const { made } = value;
  const counts = [made?.texts, made?.tokens, made?.seed, made?.scan?.texts, made?.scan?.escapes];
  if (![...counts, made?.scan?.clean, made?.scan?.wanted].every(token) || !Array.isArray(made.corpora))
    fail('how it was made is missing');
  const interval = (x: unknown): boolean =>
    Array.isArray(x) && x.length === 2 && x.every(Number.isFinite) && x[0] < x[1];
  const positive = (x: unknown): boolean => typeof x === 'number' && Number.isFinite(x) && x > 0;
  const numbers = (x: unknown): boolean => Array.isArray(x) && x.length > 0 && x.every(Number.isFinite);
  value.layers.forEach((layer, l) => {
    if (typeof layer !== 'object' || layer === null) fail(`layer ${l} is missing`);
    const squares = [layer.attentionMeanSquare, layer.feedForwardMeanSquare];
    const { score, logSum, logSquareSum } = layer as LayerCalibration;
    const intervals = isKernelLayer(layer) ? squares : [...squares, score, logSum, logSquareSum];
    if (!intervals.every(interval)) fail(`layer ${l} has an empty interval`);
    if (layer.attentionMeanSquare[0] <= 0 || layer.feedForwardMeanSquare[0] <= 0) {
      fail(`layer ${l} has a mean square that is not positive`);
    }
    if (![layer.gate, layer.up, layer.residual, layer.residualMiddle].every(positive)) {
      fail(`layer ${l} has a magnitude that is not positive`);
    }
    if (isKernelLayer(layer)) {
      if (![layer.kernelBase, layer.headMeanSquare].every(positive))
        fail(`layer ${l} has a kernel range that is not positive`);
      return;
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
