import { sumSlots } from '@sotto/he/circuits';
import { createCleartextEvaluator } from '@sotto/he/cleartext';
import { SeededRandom } from '@sotto/model';
import { describe, expect, test } from 'vitest';
import { attentionSlot, innerOf, makeLayout } from './layout.js';
import { defaultDegrees, layerPolynomials, softmaxOf } from './polynomials.js';
import { tinyTestModel } from './tiny-model.js';
import { attentionInput, attentionOutput, feedForwardInput, feedForwardOutput, kinds } from './weights.js';

const shapes = [
  { name: 'powers of two', shape: {}, slots: 512, blockRows: 4, privateTokens: 8 },
  { name: 'one row', shape: {}, slots: 256, blockRows: 1, privateTokens: 4 },
  { name: 'many replicas', shape: {}, slots: 4096, blockRows: 2, privateTokens: 8 },
  {
    name: 'nothing a power of two',
    shape: { dim: 18, headCount: 3, kvHeadCount: 3, hiddenDim: 27 },
    slots: 2048,
    blockRows: 8,
    privateTokens: 8,
  },
  {
    name: 'grouped heads',
    shape: { dim: 16, headCount: 4, kvHeadCount: 2, hiddenDim: 40 },
    slots: 1024,
    blockRows: 4,
    privateTokens: 8,
  },
];

describe.each(shapes)('products in the layout: $name', ({ shape, slots, blockRows, privateTokens }) => {
  const { model, calibration } = tinyTestModel(3, shape);
  const { config } = model;
  const l = makeLayout(config, { slots, blockRows, privateTokens });
  const p = layerPolynomials(calibration.layers[0]!, config, defaultDegrees);
  const w = model.layers[0]!;
  const ev = createCleartextEvaluator({ slots, levels: 3, logScale: 40 });
  const random = new SeededRandom(7);
  const apply = (
    map: ReturnType<typeof attentionInput>,
    values: { re: Float64Array; im: Float64Array | null },
  ) => {
    const transform = ev.compileTransform(map.build(), { level: 3, babySteps: map.babySteps });
    return ev.transformNew(ev.fromSlots(values), transform);
  };
  const rows = Array.from({ length: blockRows }, () =>
    Float64Array.from({ length: config.dim }, () => random.normal()),
  );
  const stream = new Float64Array(l.width * blockRows);
  rows.forEach((row, t) => {
    for (let f = 0; f < config.dim; f++) stream[f * blockRows + t] = row[f]!;
  });
  const dot = (matrix: Float32Array, row: number, gain: Float32Array, x: Float64Array): number =>
    x.reduce((sum, value, j) => sum + matrix[row * config.dim + j]! * gain[j]! * value, 0);

  test('queries, keys, values and shifts', () => {
    const out = ev.toSlots(
      apply(attentionInput(model, l, 0, calibration.layers[0]!, p), { re: stream, im: null }),
    );
    const headDim = config.dim / config.headCount;
    const group = config.headCount / config.kvHeadCount;
    const unscale = 1 / (p.attentionNorm.streamScale * p.attentionNorm.rowScale);
    for (let t = 0; t < blockRows; t++) {
      for (let h = 0; h < l.heads; h++) {
        for (let pair = 0; pair < l.pairs; pair++) {
          for (const [name, kind] of Object.entries(kinds)) {
            const slot = attentionSlot(l, pair, (kind * l.columns) / 4, h, t);
            let want: [number, number] = [0, 0];
            if (h < config.headCount && 2 * pair < headDim) {
              const matrix = { key: w.wk, query: w.wq, value: w.wv, shift: w.wq }[name]!;
              const at = (name === 'query' ? h : Math.floor(h / group)) * headDim + 2 * pair;
              const re = dot(matrix, at, w.attentionNorm, rows[t]!) * unscale;
              const im = dot(matrix, at + 1, w.attentionNorm, rows[t]!) * unscale;
              const half = 2 * Math.sqrt(headDim) * softmaxOf(p).scoreHalf;
              want = name === 'query' ? [re / half, im / half] : name === 'key' ? [re, -im] : [re, im];
              if (name === 'shift') {
                const shift = Float32Array.from(calibration.layers[0]!.shift[h]!);
                want = [(-dot(shift, 0, w.attentionNorm, rows[t]!) * unscale) / softmaxOf(p).scoreHalf, 0];
              }
            }
            expect(out.re[slot]).toBeCloseTo(want[0], 5);
            expect(out.im[slot]).toBeCloseTo(want[1], 5);
          }
        }
      }
    }
  });

  test('output projection', () => {
    const inputs = l.pairs * l.heads * blockRows;
    const re = Float64Array.from({ length: inputs }, () => random.normal());
    const im = Float64Array.from({ length: inputs }, () => random.normal());
    const half = apply(attentionOutput(model, l, 0, p), { re, im });
    const out = ev.toSlots(ev.addNew(half, ev.conjugateNew(half))).re;
    const headDim = config.dim / config.headCount;
    for (let slot = 0; slot < slots; slot++) {
      const f = Math.floor(slot / blockRows) % l.width;
      let want = 0;
      for (let j = 0; f < config.dim && j < config.dim; j++) {
        const [pair, head] = [Math.floor((j % headDim) / 2), Math.floor(j / headDim)];
        const at = attentionSlot(l, pair, 0, head, slot % blockRows);
        want += w.wo[f * config.dim + j]! * (j % 2 === 0 ? re[at]! : im[at]!);
      }
      expect(out[slot]).toBeCloseTo(2 * want * p.feedForwardNorm.streamScale, 5);
    }
  });

  test('gate, up and down', () => {
    const both = ev.toSlots(apply(feedForwardInput(model, l, 0, p), { re: stream, im: null }));
    const unscale = 1 / (p.feedForwardNorm.streamScale * p.feedForwardNorm.rowScale);
    for (let slot = 0; slot < slots; slot += 3) {
      const inner = innerOf(l, Math.floor(slot / blockRows));
      const x = rows[slot % blockRows]!;
      const used = inner < config.hiddenDim;
      const gate = used ? (0.5 * unscale * dot(w.w1, inner, w.feedForwardNorm, x)) / p.gateScale : 0;
      const up = used ? (0.5 * unscale * dot(w.w3, inner, w.feedForwardNorm, x)) / p.upScale : 0;
      expect(both.re[slot]).toBeCloseTo(gate, 5);
      expect(both.im[slot]).toBeCloseTo(up, 5);
    }
    const inner = Array.from({ length: blockRows }, () =>
      Float64Array.from({ length: l.innerWidth }, () => random.normal()),
    );
    const re = Float64Array.from(
      { length: slots },
      (_, slot) => inner[slot % blockRows]![innerOf(l, Math.floor(slot / blockRows))]!,
    );
    const parts = apply(feedForwardOutput(model, l, 0, p, 0.3), { re, im: null });
    const out = ev.toSlots(sumSlots(ev, parts, l.features / l.width, l.width * blockRows)).re;
    for (let slot = 0; slot < slots; slot++) {
      const f = Math.floor(slot / blockRows) % l.width;
      let want = 0;
      for (let j = 0; f < config.dim && j < config.hiddenDim; j++) {
        want += w.w2[f * config.hiddenDim + j]! * inner[slot % blockRows]![j]!;
      }
      expect(out[slot]).toBeCloseTo(want * 0.3 * p.gateScale * p.upScale, 4);
    }
  });
});

test('shapes that do not fit are refused', () => {
  const { model } = tinyTestModel(3);
  const refused = (options: { slots: number; blockRows: number; privateTokens: number }) =>
    expect(() => makeLayout(model.config, options)).toThrow(/PLAN_LAYOUT_IMPOSSIBLE/);
  refused({ slots: 32, blockRows: 4, privateTokens: 4 });
  refused({ slots: 1000, blockRows: 4, privateTokens: 4 });
  refused({ slots: 1024, blockRows: 3, privateTokens: 4 });
  refused({ slots: 1024, blockRows: 4, privateTokens: 2 });
  refused({ slots: 1024, blockRows: 4, privateTokens: 80 });
});
