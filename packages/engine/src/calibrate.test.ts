import { readFileSync } from 'node:fs';
import { embeddedModel, forward, KvCache, readLlama2c } from '@sotto/model';
import { describe, expect, test } from 'vitest';
import {
  embeddedCalibration,
  readCalibration,
  sampleTexts,
  tinyTestModel,
  writeCalibration,
} from './index.js';

describe('the committed calibration of the embedded model', () => {
  const model = readLlama2c(readFileSync(embeddedModel.model));
  const calibration = readCalibration(readFileSync(embeddedCalibration, 'utf8'));

  test('belongs to it', () => {
    expect(calibration.modelDigest).toBe(model.digest);
    expect(calibration.layers.length).toBe(5);
  });

  test('contains every value of text it has not seen', () => {
    const outside: string[] = [];
    let sums = 0;
    let low = 0;
    const inside = (name: string, value: number, bounds: readonly [number, number]): void => {
      if (!(value >= bounds[0] && value <= bounds[1])) outside.push(`${name} ${value}`);
    };
    for (const tokens of sampleTexts(model, { texts: 12, tokens: 96, seed: 31337 })) {
      let normalised = new Float64Array(0);
      forward(model, tokens, new KvCache(5), (name, layer, position, values, head) => {
        if (position === 0 || layer === 5) return;
        const c = calibration.layers[layer]!;
        const bounds: Record<string, readonly [number, number]> = {
          attentionMeanSquare: c.attentionMeanSquare,
          feedForwardMeanSquare: c.feedForwardMeanSquare,
          gate: [-c.gate, c.gate],
          up: [-c.up, c.up],
          residual: [-c.residual, c.residual],
          residualMiddle: [-c.residualMiddle, c.residualMiddle],
        };
        if (name === 'normalised') normalised = Float64Array.from(values);
        if (name === 'scores') {
          let shift = c.offset[head]! + c.slope[head]! * Math.log(position + 1);
          normalised.forEach((x, i) => {
            shift += c.shift[head]![i]! * x;
          });
          const u = values.map((s) => Math.exp(s / 2 - shift));
          const sum = u.reduce((a, b) => a + b);
          for (const s of values) inside(`score ${layer}`, s / 2 - shift, c.score);
          inside(`logSum ${layer}`, Math.log(sum), [-20, c.logSum[1]]);
          const squares = Math.log(u.reduce((a, b) => a + b * b, 0) / sum ** 2);
          inside(`logSquareSum ${layer}`, squares, [-20, 1e-9]);
          sums++;
          if (Math.log(sum) < c.logSum[0] || squares < c.logSquareSum[0]) low++;
        }
        for (const value of name in bounds ? values : []) inside(`${name} ${layer}`, value, bounds[name]!);
      });
    }
    expect(outside).toEqual([]);
    // Low ends are quantiles: an inverse is only less exact there.
    expect(low / sums).toBeLessThan(2e-3);
  });

  test('survives writing and reading', () => {
    expect(writeCalibration(calibration)).toBe(readFileSync(embeddedCalibration, 'utf8'));
  });

  test.each([
    ['no JSON', 'x', /not JSON/],
    ['another version', '{"version":2}', /another version/],
    [
      'an empty window',
      JSON.stringify({ ...calibration, layers: [{ ...calibration.layers[0], score: [1, 1] }] }),
      /empty interval/,
    ],
    [
      'a negative mean square',
      JSON.stringify({
        ...calibration,
        layers: [{ ...calibration.layers[0], attentionMeanSquare: [-1, 1] }],
      }),
      /not positive/,
    ],
    [
      'no magnitude',
      JSON.stringify({ ...calibration, layers: [{ ...calibration.layers[0], gate: null }] }),
      /magnitude/,
    ],
  ])('%s is refused', (_, text, message) => {
    expect(() => readCalibration(text)).toThrow(message);
    expect(() => readCalibration(text)).toThrow(/CALIBRATION_INVALID/);
  });
});

test('calibrating again gives the same figures', () => {
  const first = tinyTestModel(5, { layerCount: 1 });
  expect(tinyTestModel(5, { layerCount: 1 }).calibration).toEqual(first.calibration);
  expect(tinyTestModel(6, { layerCount: 1 }).calibration).not.toEqual(first.calibration);
});
