import {
  argmax,
  BOS_TOKEN,
  forward,
  KvCache,
  type LlamaModel,
  SeededRandom,
  sampleToken,
} from '@sotto/model';
import type { Calibration, Interval, LayerCalibration } from './calibration.js';
import { probeTokens } from './token-probe.js';

/** Safety factors over what was seen. A polynomial left on its high side explodes, so high sides get the most. */
const guards = {
  /** Both ends of mean squares. */
  meanSquare: 1.35,
  gate: 1.25,
  magnitude: 1.3,
  scoreLow: 1.15,
  scoreHigh: 1.25,
  /** Least distance from the highest score to the bottom of the window, where invisible keys are put. */
  scoreSpan: 20,
  logSumHigh: 1.5,
  /** Share of (row, head) pairs that may lie under the low end of a sum: an inverse stays finite there. */
  lowTail: 1e-4,
};

export interface CalibrateOptions {
  /** Texts sampled from the model itself at temperature 1. */
  readonly texts: number;
  readonly tokens: number;
  readonly seed: number;
  /** Further texts (token ids starting with BOS) whose ranges count. */
  readonly extra?: readonly (readonly number[])[];
}

/** The model's own texts: what it will meet when it continues its own words. Deterministic. */
export function sampleTexts(model: LlamaModel, options: CalibrateOptions): number[][] {
  const random = new SeededRandom(options.seed);
  return Array.from({ length: options.texts }, () => {
    const cache = new KvCache(model.config.layerCount);
    const tokens = [BOS_TOKEN];
    while (tokens.length < options.tokens) {
      const { logits } = forward(model, tokens.slice(-1), cache);
      const next = sampleToken(logits[0]!, random);
      // BOS belongs to the beginning of a text only.
      tokens.push(next === BOS_TOKEN ? argmax(logits[0]!.map((v, i) => (i === BOS_TOKEN ? -1e9 : v))) : next);
    }
    return tokens;
  });
}

class Range {
  low = Number.POSITIVE_INFINITY;
  high = Number.NEGATIVE_INFINITY;

  see(value: number): void {
    if (value < this.low) this.low = value;
    if (value > this.high) this.high = value;
  }
}

/** Weighted least squares by normal equations with a small ridge and Cholesky factorisation. */
function weightedLeastSquares(
  rows: readonly Float64Array[],
  targets: readonly number[],
  weights: Float64Array,
): Float64Array {
  const n = rows[0]!.length;
  const factor = new Float64Array(n * n);
  const x = new Float64Array(n);
  rows.forEach((row, r) => {
    for (let i = 0; i < n; i++) {
      const scaled = weights[r]! * row[i]!;
      x[i]! += scaled * targets[r]!;
      for (let j = 0; j <= i; j++) factor[i * n + j]! += scaled * row[j]!;
    }
  });
  let trace = 0;
  for (let i = 0; i < n; i++) trace += factor[i * n + i]!;
  for (let i = 0; i < n; i++) {
    factor[i * n + i]! += (1e-6 * trace) / n;
    for (let j = 0; j <= i; j++) {
      let sum = factor[i * n + j]!;
      for (let k = 0; k < j; k++) sum -= factor[i * n + k]! * factor[j * n + k]!;
      factor[i * n + j] = i === j ? Math.sqrt(sum) : sum / factor[j * n + j]!;
    }
  }
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) x[i]! -= factor[i * n + k]! * x[k]!;
    x[i]! /= factor[i * n + i]!;
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) x[i]! -= factor[k * n + i]! * x[k]!;
    x[i]! /= factor[i * n + i]!;
  }
  return x;
}

const P_NORM = 8;
const P_NORM_ROUNDS = 12;

/** How much less a residual below the fit counts than one above. */
const LOW_SIDE = 0.6;

/**
 * The coefficients whose largest residual is small: the 8-norm by iteratively reweighted least squares with damping, high side
 * first. It is the range of the residuals, not their variance, that sets the degree of the inverse. The constant term (second
 * last) then puts the largest residual at zero, so that the heads of a layer share the high end of one window.
 */
function fitNarrow(rows: readonly Float64Array[], targets: readonly number[]): Float64Array {
  const weights = new Float64Array(rows.length).fill(1);
  let x = weightedLeastSquares(rows, targets, weights);
  let best = x;
  let bestWidth = Number.POSITIVE_INFINITY;
  for (let round = 0; ; round++) {
    const residuals = rows.map((row, r) => {
      let sum = targets[r]!;
      for (let i = 0; i < row.length; i++) sum -= row[i]! * x[i]!;
      return sum;
    });
    const range = new Range();
    for (const residual of residuals) range.see(residual);
    const width = range.high - LOW_SIDE * range.low;
    if (width < bestWidth) {
      bestWidth = width;
      best = Float64Array.from(x);
      best[x.length - 2]! += range.high;
    }
    if (round === P_NORM_ROUNDS) return best;
    const middle = (range.high + LOW_SIDE * range.low) / 2;
    residuals.forEach((residual, r) => {
      const side = residual > middle ? residual - middle : LOW_SIDE * (middle - residual);
      const size = Math.max((2 * side) / bestWidth, 0.02);
      weights[r] = Math.sqrt(weights[r]! * size ** (P_NORM - 2));
    });
    x = weightedLeastSquares(rows, targets, weights);
  }
}

function features(normalised: Float64Array, position: number): Float64Array {
  const row = new Float64Array(normalised.length + 2);
  row.set(normalised);
  row[normalised.length] = 1;
  row[normalised.length + 1] = Math.log(position + 1);
  return row;
}

function logSumExp(values: Float64Array, factor: number): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (const value of values) largest = Math.max(largest, factor * value);
  let sum = 0;
  for (const value of values) sum += Math.exp(factor * value - largest);
  return largest + Math.log(sum);
}

interface Shifts {
  readonly shift: number[][];
  readonly offset: number[];
  readonly slope: number[];
}

/** Fits, for every layer and head, the linear function of the normalised row that follows log-sum-exp(scores / 2). */
function fitShifts(model: LlamaModel, texts: readonly (readonly number[])[]): Shifts[] {
  const { dim, headCount, layerCount } = model.config;
  const rows = Array.from({ length: layerCount }, (): Float64Array[] => []);
  const targets = rows.map(() => Array.from({ length: headCount }, (): number[] => []));
  for (const tokens of texts) {
    forward(model, tokens, new KvCache(layerCount), (name, layer, position, values, head) => {
      if (position === 0 || layer === layerCount) return;
      if (name === 'normalised') rows[layer]!.push(features(values, position));
      else if (name === 'scores') targets[layer]![head]!.push(logSumExp(values, 0.5));
    });
  }
  return rows.map((ofLayer, layer) => {
    const solved = targets[layer]!.map((target) => fitNarrow(ofLayer, target));
    return {
      shift: solved.map((x) => Array.from(x.subarray(0, dim))),
      offset: solved.map((x) => x[dim]!),
      slope: solved.map((x) => x[dim + 1]!),
    };
  });
}

function newRanges() {
  return {
    attentionMeanSquare: new Range(),
    feedForwardMeanSquare: new Range(),
    score: new Range(),
    gate: new Range(),
    up: new Range(),
    residual: new Range(),
    residualMiddle: new Range(),
  };
}

const highEnd = (values: readonly number[]): number => values.reduce((high, value) => Math.max(high, value));

function lowEnd(values: readonly number[]): number {
  return Float64Array.from(values).sort()[Math.floor(guards.lowTail * values.length)]!;
}

const largest = (range: Range): number => Math.max(-range.low, range.high);
const widened = (range: Range, factor: number): Interval => [range.low / factor, range.high * factor];

/**
 * Measures every range the polynomial circuit needs, on text of the model itself. The first position is left out: it is always
 * public (BOS), so no encrypted row stands there.
 *
 * Row shift: softmax does not change when a constant is taken from a row's scores, so a linear function of the normalised row that
 * follows the log-sum-exp brings all rows into one window; it is one more column of the query product.
 */
export function calibrate(model: LlamaModel, options: CalibrateOptions): Calibration {
  const texts = [...sampleTexts(model, options), ...(options.extra ?? [])];
  // Every fourth text is not fitted, so that the ranges below include rows the fit has not seen.
  const shifts = fitShifts(
    model,
    texts.filter((_, i) => i % 4 !== 3),
  );
  const { layerCount } = model.config;
  const seen = Array.from({ length: layerCount }, newRanges);
  const logSums = seen.map((): number[] => []);
  const logSquareSums = seen.map((): number[] => []);
  const final = new Range();
  for (const tokens of texts) {
    let row = new Float64Array(0);
    forward(model, tokens, new KvCache(layerCount), (name, layer, position, values, head) => {
      if (position === 0) return;
      if (layer === layerCount) {
        for (const value of values) final.see(value);
        return;
      }
      const ranges = seen[layer]!;
      if (name === 'normalised') row = Float64Array.from(values);
      else if (name === 'scores') {
        const { shift, offset, slope } = shifts[layer]!;
        let m = offset[head]! + slope[head]! * Math.log(position + 1);
        for (let i = 0; i < row.length; i++) m += shift[head]![i]! * row[i]!;
        for (const value of values) ranges.score.see(value / 2 - m);
        const half = logSumExp(values, 0.5);
        logSums[layer]!.push(half - m);
        logSquareSums[layer]!.push(logSumExp(values, 1) - 2 * half);
      } else if (name in ranges) {
        const range = ranges[name as keyof typeof ranges];
        for (const value of values) range.see(value);
      }
    });
  }
  const layers = seen.map((ranges, layer): LayerCalibration => {
    return {
      attentionMeanSquare: widened(ranges.attentionMeanSquare, guards.meanSquare),
      feedForwardMeanSquare: widened(ranges.feedForwardMeanSquare, guards.meanSquare),
      ...shifts[layer]!,
      score: [
        Math.min(ranges.score.low * guards.scoreLow, ranges.score.high - guards.scoreSpan),
        ranges.score.high + guards.scoreHigh,
      ],
      logSum: [lowEnd(logSums[layer]!), highEnd(logSums[layer]!) + guards.logSumHigh],
      logSquareSum: [lowEnd(logSquareSums[layer]!), 0],
      gate: largest(ranges.gate) * guards.gate,
      up: largest(ranges.up) * guards.magnitude,
      residual: largest(ranges.residual) * guards.magnitude,
      residualMiddle: largest(ranges.residualMiddle) * guards.magnitude,
    };
  });
  return {
    version: 1,
    modelDigest: model.digest,
    texts: texts.length,
    tokens: options.tokens,
    seed: options.seed,
    layers,
    finalResidual: largest(final) * guards.magnitude,
    knownTokens: probeTokens(model, layers, texts),
  };
}
