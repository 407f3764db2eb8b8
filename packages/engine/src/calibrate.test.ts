import { readFileSync } from 'node:fs';
import { embeddedModel, forward, KvCache, readLlama2c, SeededRandom } from '@sotto/model';
import { describe, expect, test } from 'vitest';
import { Extremes, SmallestValues } from './extremes.js';
import {
  calibrate,
  calibrateInSteps,
  calibrationSteps,
  embeddedCalibration,
  readCalibration,
  sampleTexts,
  tinyTestModel,
  writeCalibration,
} from './index.js';
import { ShiftCollector } from './shift-samples.js';

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
    ['the version before', JSON.stringify({ ...calibration, version: 1 }), /another version/],
    ['no public prefix', JSON.stringify({ ...calibration, publicPrefix: [] }), /public prefix/],
    ['a broken rotation', JSON.stringify({ ...calibration, rotationSeed: -1 }), /rotation/],
    ['no record', JSON.stringify({ ...calibration, made: {} }), /how it was made/],
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

describe('a small model', () => {
  const { model } = tinyTestModel(5, { layerCount: 1 });
  const options = { texts: 24, tokens: 16, seed: 3, scanTexts: 40 };

  test('is scanned on texts it was not measured on, and widened until enough of them stay inside', () => {
    const { made } = calibrate(model, options);
    expect(made.scan.clean).toBe(40);
    expect(made.scan.texts).toBeGreaterThanOrEqual(40);
    // Two texts are too few: the scan is what repairs that.
    const narrow = calibrate(model, { ...options, texts: 2, scanTexts: 200 });
    expect(narrow.made.scan.escapes).toBeGreaterThan(0);
    expect(narrow.made.scan.clean).toBe(200);
    const before = calibrate(model, { ...options, texts: 2, scanTexts: 0 });
    expect(narrow.layers).not.toEqual(before.layers);
  });

  test('is scanned on texts of several lengths in turn', () => {
    const stories = readLlama2c(readFileSync(embeddedModel.model));
    const few = { texts: 2, tokens: 24, seed: 3, scanTexts: 6, skipProbe: true, shiftRows: 40 };
    const known = (scanTokens?: number[]) =>
      calibrate(stories, scanTokens ? { ...few, scanTokens } : few).knownTokens.length;
    expect(known([24])).toBe(known());
    expect(known([2])).toBeLessThan(known([2, 24]));
    expect(known([2, 24])).toBeLessThan(known([24]));
  });

  test('counts texts of corpora; every third is kept for the scan', () => {
    const corpora = ['one', 'two'].map((name, c) => ({
      name,
      texts: Array.from({ length: 30 }, (_, i) =>
        Array.from({ length: 9 }, (_, j) => 3 + ((7 * i + j * (3 + c)) % 20)),
      ),
    }));
    const steps = [...calibrationSteps(model, { ...options, texts: 0, corpora, scanTexts: 5 })];
    expect(steps.filter(({ phase }) => phase === 'measure').at(-1)).toMatchObject({ done: 40, total: 40 });
    const { made } = calibrate(model, { ...options, texts: 0, corpora, scanTexts: 1000 });
    expect(made.corpora).toEqual([
      { name: 'one', texts: 30 },
      { name: 'two', texts: 30 },
    ]);
    // The corpora are finite: the scan says how far it came.
    expect(made.scan).toMatchObject({ texts: 20, wanted: 1000 });
  });

  test('can be stopped', async () => {
    const stop = new AbortController();
    let steps = 0;
    const onProgress = (): void => {
      if (++steps === 5) stop.abort();
    };
    await expect(calibrateInSteps(model, options, { onProgress, signal: stop.signal })).rejects.toThrow(
      /CALIBRATION_ABORTED/,
    );
    expect(steps).toBe(5);
    const whole = await calibrateInSteps(model, options);
    expect(whole).toEqual(calibrate(model, options));
  });

  test('needs texts', () => {
    expect(() => calibrate(model, { ...options, texts: 1 })).toThrow(/CALIBRATION_NO_TEXTS/);
  });
});

describe('statistics in constant memory', () => {
  test('a quantile from the smallest values is that of all', () => {
    const random = new SeededRandom(8);
    const values = Array.from({ length: 50_000 }, () => random.normal());
    const kept = new SmallestValues(64);
    for (const value of values) kept.add(value);
    const sorted = Float64Array.from(values).sort();
    for (const share of [0, 1e-4, 1e-3])
      expect(kept.quantile(share)).toBe(sorted[Math.floor(share * 50_000)]);
  });

  test('an expected extreme is beyond what was seen, within its limits, and rarely left', () => {
    const random = new SeededRandom(9);
    let left = 0;
    for (let trial = 0; trial < 20; trial++) {
      const seen = new Extremes();
      for (let text = 0; text < 60; text++) {
        for (let i = 0; i < 50; i++) {
          const value = random.normal();
          seen.see(value, value);
        }
        seen.endText();
      }
      const high = seen.expectedHigh(0, 100);
      expect(high).toBeGreaterThanOrEqual(seen.high);
      expect(seen.expectedHigh(0.5, 0.6)).toBeLessThanOrEqual(seen.high + 0.6);
      expect(seen.expectedHigh(0.5, 0.6)).toBeGreaterThanOrEqual(seen.high + 0.5);
      for (let i = 0; i < 50_000; i++) left += Number(random.normal() > high);
    }
    // A thousand texts of 50 values each trial: one in 100,000 may leave.
    expect(left).toBeLessThanOrEqual(2);
  });

  test('rows for the fit are thinned evenly', () => {
    const collector = new ShiftCollector(2000, 40, 1, 0.5);
    const rows = 9000;
    for (let text = 0; text < rows / 100; text++) {
      const hook = collector.observe(1);
      for (let row = 0; row < 100; row++) {
        for (let layer = 0; layer < 40; layer++) {
          hook('normalised', layer, row + 1, new Float64Array([100 * text + row]), 0);
          hook('scores', layer, row + 1, new Float64Array([0, 0]), 0);
        }
      }
      collector.endText();
    }
    const numbers = collector.layers[39]!.rows.map((row) => row[0]!);
    expect(numbers.length).toBeLessThan(rows / 2);
    const stride = numbers[1]! - numbers[0]!;
    expect(numbers).toEqual(numbers.map((_, i) => i * stride));
    expect(numbers.at(-1)! + stride).toBeGreaterThanOrEqual(rows);
    expect(collector.layers[0]!.targets[0]!.length).toBe(numbers.length);
  });
});
