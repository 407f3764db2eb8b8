import type { LlamaTrace } from '@sotto/model';
import {
  type AnyLayerCalibration,
  type Calibration,
  type Interval,
  isKernelLayer,
  type LayerCalibration,
} from './calibration.js';
import type { StreamRotation } from './rotation.js';

/** The linear shift of a layer's scores, see {@link LayerCalibration}. */
export type RowShift = Pick<LayerCalibration, 'shift' | 'offset' | 'slope'>;

/** Shift of a layer's scores; null with kernel attention, which needs none. */
const shiftIn = (layer: RowShift | AnyLayerCalibration | null): RowShift | null =>
  layer !== null && 'shift' in layer ? layer : null;

/** What is measured of every row: the arguments of the polynomials, and the sizes that a refresh carries. */
export const rangeKinds = [
  'attentionMeanSquare',
  'feedForwardMeanSquare',
  'score',
  'logSum',
  'logSquareSum',
  'kernelBase',
  'headMeanSquare',
  'gate',
  'up',
  'residual',
  'residualMiddle',
] as const;
export type RangeKind = (typeof rangeKinds)[number];

/** Smallest and largest value of one kind in one row (and head); the final residual comes as layer `layerCount`. */
export type RangeListener = (kind: RangeKind, layer: number, low: number, high: number) => void;

/** ln of the sum of e^(factor v). */
export function logSumExp(values: Float64Array, factor: number): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (const value of values) largest = Math.max(largest, factor * value);
  let sum = 0;
  for (const value of values) sum += Math.exp(factor * value - largest);
  return largest + Math.log(sum);
}

/** Smallest and largest score, ln of the sum of e^(score/2), and ln of the sum of squares of that over its square. */
function scoreSums(scores: ArrayLike<number>): { low: number; high: number; half: number; squares: number } {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (let j = 0; j < scores.length; j++) {
    low = Math.min(low, scores[j]!);
    high = Math.max(high, scores[j]!);
  }
  let sum = 0;
  let squareSum = 0;
  for (let j = 0; j < scores.length; j++) {
    const e = Math.exp((scores[j]! - high) / 2);
    sum += e;
    squareSum += e * e;
  }
  return { low, high, half: high / 2 + Math.log(sum), squares: Math.log(squareSum) - 2 * Math.log(sum) };
}

/** Shift of a row and head at a position. */
export function shiftOf(
  layer: RowShift,
  head: number,
  normalised: ArrayLike<number>,
  position: number,
): number {
  const weights = layer.shift[head]!;
  let sum = layer.offset[head]! + layer.slope[head]! * Math.log(position + 1);
  for (let i = 0; i < normalised.length; i++) sum += weights[i]! * normalised[i]!;
  return sum;
}

/**
 * A hook for the clear model that tells the ranges of every row from position `from` on.
 *
 * @param layers row shifts; null for a layer with kernel attention.
 * @param from rows before it are public: nothing of them is encrypted.
 * @param rotation of the residual stream: its sizes are those of the rotated one.
 */
export function observeRanges(
  layers: readonly (RowShift | AnyLayerCalibration | null)[],
  from: number,
  listen: RangeListener,
  rotation: StreamRotation | null = null,
): LlamaTrace {
  const normalised = new Map<number, Float64Array>();
  return (name, layer, position, values, head) => {
    if (position < from) return;
    if (name === 'normalised') normalised.set(position, Float64Array.from(values));
    else if (name === 'scores') {
      const rule = shiftIn(layers[layer]!);
      if (rule === null) return;
      const shift = shiftOf(rule, head, normalised.get(position)!, position);
      const { low, high, half, squares } = scoreSums(values);
      listen('score', layer, low / 2 - shift, high / 2 - shift);
      listen('logSum', layer, half - shift, half - shift);
      listen('logSquareSum', layer, squares, squares);
    } else if (isRangeKind(name)) {
      const ofStream = rotation !== null && (name === 'residual' || name === 'residualMiddle');
      let low = Number.POSITIVE_INFINITY;
      let high = Number.NEGATIVE_INFINITY;
      for (const value of ofStream ? rotation.apply(values) : values) {
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
      listen(name, layer, low, high);
    }
  };
}

const kinds = new Set<string>(rangeKinds);
const isRangeKind = (name: string): name is RangeKind => kinds.has(name);

/**
 * The window that a value must not leave. The low ends of the two sums are not windows: an inverse stays finite there. The sizes of
 * the residual stream are none either: what carries them is bounded by the mean squares.
 */
export function windowOf(calibration: Pick<Calibration, 'layers'>, kind: RangeKind, layer: number): Interval {
  const c = calibration.layers[layer];
  const everything: Interval = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  if (c === undefined || kind === 'residual' || kind === 'residualMiddle') return everything;
  if (kind === 'gate' || kind === 'up') return [-c[kind], c[kind]];
  if (kind === 'attentionMeanSquare' || kind === 'feedForwardMeanSquare') return c[kind];
  if (isKernelLayer(c)) {
    if (kind === 'kernelBase') return [-c.kernelBase, c.kernelBase];
    return kind === 'headMeanSquare' ? [0, c.headMeanSquare] : everything;
  }
  if (kind === 'kernelBase' || kind === 'headMeanSquare') return everything;
  if (kind === 'logSum' || kind === 'logSquareSum') return [Number.NEGATIVE_INFINITY, c[kind][1] + 1e-9];
  return c[kind];
}
