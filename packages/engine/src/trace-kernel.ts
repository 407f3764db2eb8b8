import type { SlotVector } from '@sotto/he/scheme';
import { headDimOf, kernelSums, meanSquare, rmsNorm } from '@sotto/model';
import { attentionSlot } from './layout.js';
import { kernelOf } from './polynomials.js';
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

/** Scale of the kernel sums in the slots. */
function sumScaleOf(s: IdealScope): number {
  const { valueScale, baseScale } = kernelOf(s.polynomials);
  return valueScale / baseScale ** 4;
}

/** Kernel sums of every head from the residual stream; appends the rows' keys and values to the layer's. */
export function idealHeads(s: IdealScope, xs: readonly Float64Array[]): Ideal {
  const { model, layout: l, place, index, past } = s;
  const { config } = model;
  const headDim = headDimOf(config);
  const group = config.headCount / config.kvHeadCount;
  const scale = sumScaleOf(s);
  const { keys: publicKeys, values: publicValues } = place.context.cache;
  const b = new Builder();
  const { queries } = attentionRows(s, xs, b);
  // A norm's error is in query, key and value: five times in a fourth power of small scores, as in a value alone.
  const error = errorOf(s, 'norm');
  queries.forEach((query, row) => {
    const own = place.firstColumn + row + 1;
    const keys = [...publicKeys[index]!, ...past.keys.slice(0, own)];
    const values = [...publicValues[index]!, ...past.values.slice(0, own)];
    for (let head = 0; head < l.heads; head++) {
      const inside = head < config.headCount;
      const from = Math.floor(head / group) * headDim;
      let sums: Float64Array = new Float64Array(headDim);
      if (inside) {
        const scores = Float64Array.from(keys, (key) => {
          let dot = 0;
          for (let i = 0; i < headDim; i++) dot += query[head * headDim + i]! * key[from + i]!;
          return dot / Math.sqrt(headDim);
        });
        sums = kernelSums(scores, values, from, headDim, model.layers[index]!.keyCountPower![head]!);
      }
      const size = Math.sqrt(meanSquare(sums));
      for (let column = 0; column < l.columns; column++) {
        for (let pair = 0; pair < l.pairs; pair++) {
          const i = 2 * pair + (column % 2);
          const value = (sums[i] ?? 0) * scale;
          const allowed = i < headDim ? 5 * error * Math.max(Math.abs(value), size * scale) : 0;
          b.add(attentionSlot(l, pair, column, head, row), value, allowed);
        }
      }
    }
  });
  return b.finish(false, limitOf(s.polynomials.attentionNorm.coefficients));
}

/** The residual stream after kernel attention, from the heads' sums and the stream before. */
export function idealFromHeads(s: IdealScope, heads: SlotVector, xs: readonly Float64Array[]): Ideal {
  const { model, layout: l, index } = s;
  const { config } = model;
  const headDim = headDimOf(config);
  const scale = sumScaleOf(s);
  const { head: root } = kernelOf(s.polynomials);
  const error = errorOf(s, 'head');
  const b = new Builder();
  const allowed: Float64Array[] = [];
  const rows = xs.map((x, row) => {
    const normalised = new Float64Array(config.headCount * headDim);
    for (let head = 0; head < config.headCount; head++) {
      const slots = Float64Array.from({ length: headDim }, (_, i) =>
        at(heads.re, attentionSlot(l, Math.floor(i / 2), i % 2, head, row)),
      );
      const square = meanSquare(slots);
      // Below its window the root is finite: only the upper end can be left.
      b.reach(2 * square * headDim - 1, true);
      const inverse = 1 / Math.sqrt(square / scale ** 2 + config.headEps!);
      for (let i = 0; i < headDim; i++) normalised[head * headDim + i] = (slots[i]! / scale) * inverse;
    }
    const delta = product(model.layers[index]!.wo, normalised, config.dim);
    const norm = Math.sqrt(meanSquare(delta));
    allowed.push(delta.map((value) => error * Math.max(Math.abs(value), norm)));
    return delta.map((value, i) => value + x[i]!);
  });
  addStream(b, s, rows, allowed, s.polynomials.feedForwardNorm.streamScale);
  return b.finish(false, limitOf(root));
}

/** The residual stream after a bilinear feed-forward half, from the stream before it. */
export function idealBilinear(s: IdealScope, xs: readonly Float64Array[]): Ideal {
  const { model, index } = s;
  const { config } = model;
  const w = model.layers[index]!;
  const { feedForwardNorm } = s.polynomials;
  const error = errorOf(s, 'rowInverse');
  const b = new Builder();
  const allowed: Float64Array[] = [];
  const rows = xs.map((x) => {
    b.reach(normArgument(feedForwardNorm, x));
    const normalised = rmsNorm(x, w.feedForwardNorm, config.normEps);
    const gates = product(w.w1, normalised, config.hiddenDim);
    const ups = product(w.w3, normalised, config.hiddenDim);
    const delta = product(
      w.w2,
      gates.map((gate, i) => gate * ups[i]!),
      config.dim,
    );
    const norm = Math.sqrt(meanSquare(delta));
    allowed.push(delta.map((value) => error * Math.max(Math.abs(value), norm)));
    return delta.map((value, i) => value + x[i]!);
  });
  addStream(b, s, rows, allowed, s.nextStreamScale);
  return b.finish(false, limitOf(feedForwardNorm.coefficients));
}
