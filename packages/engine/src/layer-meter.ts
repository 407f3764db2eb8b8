import { type AnyLayerCalibration, isKernelLayer, softmaxLayer } from './calibration.js';
import { Extremes, SmallestValues } from './extremes.js';
import type { RangeKind, RowShift } from './row-ranges.js';

/** Largest factors (or distances) by which a window is wider than what was seen; the least are a quarter of them. */
const guards = {
  meanSquare: Math.log(1.35),
  magnitude: Math.log(1.3),
  scoreHigh: 1.25,
  /** Share of the largest distance below zero. */
  scoreLow: 0.15,
  /** Least distance from the highest score to the bottom of the window, where invisible keys are put. */
  scoreSpan: 20,
  logSumHigh: 1.5,
  /** The sums of a head have the longest tail. */
  headMeanSquare: Math.log(1.5),
  /** Share of (row, head) pairs that may lie under the low end of a sum: an inverse stays finite there. */
  lowTail: 1e-4,
};
const LEAST = 0.25;
/** Rows whose sums count for the low tail: as many as the quantile can need. */
const LOW_VALUES = 4096;

/** Kinds of which only the size counts. */
const magnitudes: ReadonlySet<RangeKind> = new Set<RangeKind>([
  'kernelBase',
  'headMeanSquare',
  'gate',
  'up',
  'residual',
  'residualMiddle',
]);

/** Ranges of one layer as they are measured. */
export class LayerMeter {
  readonly attentionMeanSquare = new Extremes();
  readonly feedForwardMeanSquare = new Extremes();
  readonly score = new Extremes();
  readonly logSum = new Extremes();
  readonly logSquareSum = new Extremes();
  readonly kernelBase = new Extremes();
  readonly headMeanSquare = new Extremes();
  readonly gate = new Extremes();
  readonly up = new Extremes();
  readonly residual = new Extremes();
  readonly residualMiddle = new Extremes();
  readonly lowSums = new SmallestValues(LOW_VALUES);
  readonly lowSquareSums = new SmallestValues(LOW_VALUES);

  see(kind: RangeKind, low: number, high: number): void {
    if (kind === 'attentionMeanSquare' || kind === 'feedForwardMeanSquare')
      this[kind].see(Math.log(low), Math.log(high));
    else if (magnitudes.has(kind)) {
      const size = Math.log(Math.max(-low, high));
      this[kind].see(size, size);
    } else this[kind].see(low, high);
    if (kind === 'logSum') this.lowSums.add(low);
    if (kind === 'logSquareSum') this.lowSquareSums.add(low);
  }

  endText(): void {
    for (const value of Object.values(this)) if (value instanceof Extremes) value.endText();
  }

  /**
   * Windows: what was seen and what is to be expected.
   *
   * @param shift null for a layer with kernel attention.
   */
  finish(shift: RowShift | null): AnyLayerCalibration {
    const meanSquare = (range: Extremes): [number, number] => {
      const most = guards.meanSquare;
      return [
        Math.exp(range.expectedLow(LEAST * most, most)),
        Math.exp(range.expectedHigh(LEAST * most, most)),
      ];
    };
    const stream = {
      attentionMeanSquare: meanSquare(this.attentionMeanSquare),
      feedForwardMeanSquare: meanSquare(this.feedForwardMeanSquare),
      gate: expectedMagnitude(this.gate),
      up: expectedMagnitude(this.up),
      residual: expectedMagnitude(this.residual),
      residualMiddle: expectedMagnitude(this.residualMiddle),
    };
    if (shift === null) {
      const most = guards.headMeanSquare;
      const headMeanSquare = Math.exp(this.headMeanSquare.expectedHigh(LEAST * most, most));
      return { ...stream, kernelBase: expectedMagnitude(this.kernelBase), headMeanSquare };
    }
    const { score, logSum } = this;
    const scoreHigh = score.expectedHigh(LEAST * guards.scoreHigh, guards.scoreHigh);
    const lowGuard = guards.scoreLow * Math.abs(score.low);
    return {
      ...stream,
      ...shift,
      score: [
        Math.min(score.expectedLow(LEAST * lowGuard, lowGuard), score.high - guards.scoreSpan),
        scoreHigh,
      ],
      logSum: [
        this.lowSums.quantile(guards.lowTail),
        logSum.expectedHigh(LEAST * guards.logSumHigh, guards.logSumHigh),
      ],
      logSquareSum: [this.lowSquareSums.quantile(guards.lowTail), 0],
    };
  }
}

/** A magnitude, and how far beyond it another text is expected to reach. */
export const expectedMagnitude = (logSizes: Extremes): number =>
  Math.exp(logSizes.expectedHigh(LEAST * guards.magnitude, guards.magnitude));

/** A layer's windows with one of them widened around a value that left it. */
export function widened(
  layer: AnyLayerCalibration,
  kind: RangeKind,
  low: number,
  high: number,
): AnyLayerCalibration {
  switch (kind) {
    case 'attentionMeanSquare':
    case 'feedForwardMeanSquare': {
      const margin = Math.exp(LEAST * guards.meanSquare);
      const [a, b] = layer[kind];
      return { ...layer, [kind]: [low < a ? low / margin : a, high > b ? high * margin : b] };
    }
    case 'gate':
    case 'up':
      return { ...layer, [kind]: Math.max(-low, high) * Math.exp(LEAST * guards.magnitude) };
    case 'kernelBase':
      if (!isKernelLayer(layer)) return layer;
      return { ...layer, kernelBase: Math.max(-low, high) * Math.exp(LEAST * guards.magnitude) };
    case 'headMeanSquare':
      if (!isKernelLayer(layer)) return layer;
      return { ...layer, headMeanSquare: high * Math.exp(LEAST * guards.headMeanSquare) };
    case 'score': {
      const [a, b] = softmaxLayer(layer).score;
      const margin = LEAST * guards.scoreLow * Math.abs(low);
      return {
        ...layer,
        score: [low < a ? low - margin : a, high > b ? high + LEAST * guards.scoreHigh : b],
      };
    }
    case 'logSum':
      return { ...layer, logSum: [softmaxLayer(layer).logSum[0], high + LEAST * guards.logSumHigh] };
    default:
      return layer;
  }
}
