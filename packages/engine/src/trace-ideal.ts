import type { SlotVector } from '@sotto/he/scheme';
import { headDimOf, meanSquare, rmsNorm, silu } from '@sotto/model';
import { type LayerCalibration, softmaxLayer } from './calibration.js';
import { attentionSlot, innerOf, type Layout, privatePlace } from './layout.js';
import { softmaxOf } from './polynomials.js';
import { publicSlot } from './public-context.js';
import {
  addStream,
  at,
  attentionRows,
  Builder,
  errorOf,
  type Ideal,
  type IdealScope,
  limitOf,
  normArgument,
  product,
} from './trace-slots.js';

/** Slot of the score of encrypted key n. */
function privateSlot(l: Layout, n: number, head: number, row: number): number {
  const { group, column } = privatePlace(l, n);
  return attentionSlot(l, group, column, head, row);
}

/** Scaled scores from the residual stream; appends the rows' keys and values to the layer's. */
export function idealScore(s: IdealScope, xs: readonly Float64Array[]): Ideal {
  const { model, layout: l, place, index, past } = s;
  const c = softmaxLayer(s.calibration);
  const p = softmaxOf(s.polynomials);
  const { config } = model;
  const headDim = headDimOf(config);
  const group = config.headCount / config.kvHeadCount;
  const b = new Builder();
  const { normalised, queries } = attentionRows(s, xs, b);
  const error = errorOf(s, 'norm');
  queries.forEach((query, row) => {
    for (let head = 0; head < l.heads; head++) {
      const visible = new Map<number, readonly [key: Float64Array, error: number]>();
      if (head < config.headCount) {
        place.context.cache.keys[index]!.forEach((key, n) => {
          visible.set(publicSlot(l, n, head, row), [key, error]);
        });
        for (let n = 0; n <= place.firstColumn + row; n++)
          visible.set(privateSlot(l, n, head, row), [past.keys[n]!, 2 * error]);
      }
      let linear = 0;
      if (head < config.headCount)
        for (let i = 0; i < config.dim; i++) linear += c.shift[head]![i]! * normalised[row]![i]!;
      const constant = (c.offset[head] ?? 0) + (c.slope[head] ?? 0) * Math.log(place.start + row + 1);
      for (let place = 0; place < l.columns * l.pairs; place++) {
        const slot = (place * l.heads + head) * l.blockRows + row;
        const key = visible.get(slot);
        if (key === undefined) {
          b.add(slot, -1);
          continue;
        }
        const from = Math.floor(head / group) * headDim;
        let dot = 0;
        for (let i = 0; i < headDim; i++) dot += query[head * headDim + i]! * key[0][from + i]!;
        dot /= 2 * Math.sqrt(headDim);
        const z = dot - linear - constant;
        const allowed = (key[1] * Math.abs(dot) + error * Math.abs(linear)) / p.scoreHalf;
        b.add(slot, (z - p.scoreMiddle) / p.scoreHalf, allowed);
      }
    }
  });
  return b.finish(false, limitOf(s.polynomials.attentionNorm.coefficients));
}

/** Calls back with every (slot, head, row) of the attention layout that counts for a row in use. */
function eachScore(s: IdealScope, see: (slot: number) => void): void {
  const { layout: l, place } = s;
  for (let slot = 0; slot < l.slots; slot++) if (slot % l.blockRows < place.rows) see(slot);
}

const sumScaleOf = (c: LayerCalibration): number => 2 / (Math.exp(c.logSum[1]) - Math.exp(c.logSum[0]));

/** Below the top of the window by this many nats the exponential is exact only absolutely. */
const VISIBLE_NATS = 14;

export function idealRoot(s: IdealScope, score: SlotVector): Ideal {
  const p = softmaxOf(s.polynomials);
  const root = 2 ** s.degrees.squarings;
  const f = (v: number): number =>
    Math.exp((p.scoreMiddle + p.scoreHalf * v + Math.log(sumScaleOf(softmaxLayer(s.calibration)))) / root);
  const knee = f(1 - VISIBLE_NATS / p.scoreHalf);
  const b = new Builder();
  eachScore(s, (slot) => {
    const v = at(score.re, slot);
    b.reach(v);
    b.add(slot, f(v), (errorOf(s, 'exp') / root) * Math.max(f(v), knee));
  });
  return b.finish(false, limitOf(p.exp));
}

export function idealExponential(s: IdealScope, root: SlotVector): Ideal {
  const b = new Builder();
  eachScore(s, (slot) => {
    b.add(slot, at(root.re, slot) ** (2 ** s.degrees.squarings));
  });
  return b.finish();
}

/** Sums over all keys, by head and row. */
function keySums(s: IdealScope, values: SlotVector): Map<number, number> {
  const { layout: l } = s;
  const sums = new Map<number, number>();
  const period = l.heads * l.blockRows;
  eachScore(s, (slot) => {
    sums.set(slot % period, (sums.get(slot % period) ?? 0) + at(values.re, slot));
  });
  return sums;
}

/** The exponentials over their sum; the first inverse is rough by design, so a large error is allowed. */
export function idealNormalised(s: IdealScope, exponential: SlotVector): Ideal {
  const { layout: l } = s;
  const p = softmaxOf(s.polynomials);
  const error = errorOf(s, 'inverse');
  const sums = keySums(s, exponential);
  const squareLow = Math.exp(softmaxLayer(s.calibration).logSquareSum[0]) * (1 - error) ** 2;
  const squareHigh = (1 + error) ** 2;
  // The squares are to add up to 1/2 of their window.
  const factor = Math.sqrt(1 / (squareHigh - squareLow));
  const b = new Builder();
  eachScore(s, (slot) => {
    const head = Math.floor(slot / l.blockRows) % l.heads;
    if (head >= s.model.config.headCount) return;
    const sum = sums.get(slot % (l.heads * l.blockRows))!;
    b.reach(sum + p.sumOffset, true);
    const value = (factor * at(exponential.re, slot)) / sum;
    b.add(slot, value, Math.abs(value) * error);
  });
  return b.finish(false, limitOf(p.inverse));
}

export function idealWeights(s: IdealScope, normalised: SlotVector): Ideal {
  const b = new Builder();
  eachScore(s, (slot) => b.add(slot, at(normalised.re, slot) ** 2));
  return b.finish();
}

/** The residual stream after attention, from the weights (not yet divided by their sum) and the stream before. */
export function idealMiddle(s: IdealScope, weights: SlotVector, xs: readonly Float64Array[]): Ideal {
  const { model, layout: l, place, index, past } = s;
  const p = softmaxOf(s.polynomials);
  const { config } = model;
  const headDim = headDimOf(config);
  const group = config.headCount / config.kvHeadCount;
  const sums = keySums(s, weights);
  const b = new Builder();
  const allowed: Float64Array[] = [];
  const rows = xs.map((x, row) => {
    const heads = new Float64Array(config.dim);
    for (let head = 0; head < config.headCount; head++) {
      const sum = sums.get(head * l.blockRows + row)!;
      b.reach(2 * sum + p.squareSumOffset, true);
      const from = Math.floor(head / group) * headDim;
      const take = (slot: number, value: Float64Array): void => {
        const weight = at(weights.re, slot) / sum;
        for (let i = 0; i < headDim; i++) heads[head * headDim + i]! += weight * value[from + i]!;
      };
      place.context.cache.values[index]!.forEach((value, n) => {
        take(publicSlot(l, n, head, row), value);
      });
      for (let n = 0; n <= place.firstColumn + row; n++) take(privateSlot(l, n, head, row), past.values[n]!);
    }
    const w = model.layers[index]!.wo;
    const delta = product(w, heads, config.dim);
    const error = errorOf(s, 'lastInverse') + errorOf(s, 'norm');
    // The heads' errors are alike in size and independent in sign: their norm stands for each feature.
    const norm = Math.sqrt(meanSquare(delta));
    allowed.push(delta.map((value) => error * Math.max(Math.abs(value), norm)));
    return delta.map((value, i) => value + x[i]!);
  });
  addStream(b, s, rows, allowed, s.polynomials.feedForwardNorm.streamScale);
  return b.finish(false, limitOf(p.lastInverse));
}

/** Half of gate + i up from the residual stream in the middle of the layer. */
export function idealGate(s: IdealScope, xs: readonly Float64Array[]): Ideal {
  const { model, layout: l, polynomials: p, index } = s;
  const { config } = model;
  const w = model.layers[index]!;
  const b = new Builder();
  xs.forEach((x, row) => {
    b.reach(normArgument(p.feedForwardNorm, x));
    const normalised = rmsNorm(x, w.feedForwardNorm, config.normEps);
    const gates = product(w.w1, normalised, config.hiddenDim);
    const ups = product(w.w3, normalised, config.hiddenDim);
    for (let feature = 0; feature < l.features; feature++) {
      const inner = innerOf(l, feature);
      const gate = (gates[inner] ?? 0) / (2 * p.gateScale);
      const up = (ups[inner] ?? 0) / (2 * p.upScale);
      b.add(feature * l.blockRows + row, gate, errorOf(s, 'norm') * Math.hypot(gate, up), up);
    }
  });
  return b.finish(true, limitOf(p.feedForwardNorm.coefficients));
}

/** In the outer half of its window SiLU is allowed more than in the inner one, by the weight of its fit. */
const outerSilu = (v: number): number => Math.max(1, (0.1 + v * v) / 0.35);

/** @param up what SiLU is multiplied by; null where both are refreshed first. */
export function idealSilu(s: IdealScope, gate: SlotVector, up: Float64Array | null): Ideal {
  const { polynomials: p } = s;
  const b = new Builder();
  eachScore(s, (slot) => {
    const v = 2 * at(gate.re, slot);
    const factor = up === null ? 1 : at(up, slot);
    const allowed = (errorOf(s, 'silu') / p.gateScale) * outerSilu(v);
    b.reach(v);
    b.add(slot, (factor * silu(v * p.gateScale)) / p.gateScale, Math.abs(factor) * allowed);
  });
  return b.finish(false, limitOf(p.silu!));
}

/** The residual stream after the layer, from SiLU (times up where that is not apart) and the stream before the feed-forward half. */
export function idealEnd(
  s: IdealScope,
  active: SlotVector,
  up: Float64Array | null,
  xs: readonly Float64Array[],
): Ideal {
  const { model, layout: l, polynomials: p, index } = s;
  const { config } = model;
  const b = new Builder();
  const rows = xs.map((x, row) => {
    const inner = new Float64Array(config.hiddenDim);
    for (let feature = 0; feature < l.features; feature++) {
      const i = innerOf(l, feature);
      const slot = feature * l.blockRows + row;
      // Each inner feature is there several times.
      const factor = up === null ? 1 : at(up, slot);
      if (i < config.hiddenDim) inner[i] = at(active.re, slot) * p.gateScale * factor * p.upScale;
    }
    const delta = product(model.layers[index]!.w2, inner, config.dim);
    return delta.map((value, i) => value + x[i]!);
  });
  addStream(b, s, rows, null, s.nextStreamScale);
  return b.finish();
}
