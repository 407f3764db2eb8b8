import { CleartextRefresher, createCleartextEvaluator } from '@sotto/he/cleartext';
import { embedTokens, finishLogits, forwardRows, KvCache, type LlamaModel, SeededRandom } from '@sotto/model';
import { describe, expect, test } from 'vitest';
import { softmaxLayer } from './calibration.js';
import { prefixContext } from './calibration-texts.js';
import {
  type CalibrateOptions,
  type Calibration,
  calibrate,
  EncryptedTransformer,
  findPublicPrefix,
  makePlan,
  measureAgreement,
  PLANTED_TOKEN,
  plantedModel,
  readCalibration,
  tinyTestModel,
  writeCalibration,
} from './index.js';
import { LayerMeter } from './layer-meter.js';
import { rotateModel, StreamRotation } from './rotation.js';
import { chooseRotation } from './rotation-choice.js';
import { observeRanges } from './row-ranges.js';

const ROWS = 24;

/** Texts of random tokens, the planted one among them. */
function randomTexts(model: LlamaModel, count: number, seed: number): number[][] {
  const random = new SeededRandom(seed);
  const { vocabSize } = model.config;
  return Array.from({ length: count }, () =>
    Array.from({ length: ROWS }, () => 3 + Math.floor(random.next() * (vocabSize - 3))),
  );
}

function calibrated(model: LlamaModel, options: Partial<CalibrateOptions> = {}): Calibration {
  const corpora = [{ name: 'random tokens', texts: randomTexts(model, 96, 1) }];
  const made = calibrate(model, { texts: 0, tokens: ROWS + 4, seed: 1, corpora, ...options });
  return readCalibration(writeCalibration(made));
}

const SETTINGS = { slots: 2 ** 12, topLevel: 18, blockRows: 8 };

async function agreement(model: LlamaModel, calibration: Calibration, hardLimit: number) {
  const plan = await makePlan(model, calibration, SETTINGS);
  const { slots, topLevel: levels } = SETTINGS;
  const evaluator = createCleartextEvaluator({ slots, levels, logScale: 40, noise: { ringDegree: 2 ** 16 } });
  const refresher = new CleartextRefresher(evaluator, { bits: 20, hardLimit });
  const transformer = new EncryptedTransformer({ model, calibration, plan, evaluator, refresher });
  const bench = { model, plan, evaluator, refresher, transformer };
  const texts = randomTexts(model, 6, 77).map((text) => [...calibration.publicPrefix, ...text]);
  return { ...(await measureAgreement(bench, texts)), largest: refresher.largest };
}

describe('a massive first token', () => {
  const model = plantedModel('first-position', 3);
  const calibration = calibrated(model);

  test('is public, and private rows are accurate behind it', async () => {
    expect(calibration.publicPrefix).toEqual([1]);
    const result = await agreement(model, calibration, 2);
    expect(result.sure).toBeGreaterThan(50);
    expect(result.sureAgree).toBe(result.sure);
    expect(result.rmsError).toBeLessThan(0.01);
  });

  test('is refused as a private row', async () => {
    const meters = model.layers.map(() => new LayerMeter());
    const shifts = calibration.layers.map((layer) => {
      const { shift, offset, slope } = softmaxLayer(layer);
      return { shift, offset, slope };
    });
    const see = observeRanges(shifts, 0, (kind, layer, low, high) => meters[layer]?.see(kind, low, high));
    for (const text of randomTexts(model, 20, 5)) {
      forwardRows(model, embedTokens(model, [1, ...text]), new KvCache(2), see);
      for (const meter of meters) meter.endText();
    }
    const layers = meters.map((meter, layer) => meter.finish(shifts[layer]!));
    await expect(makePlan(model, { ...calibration, layers }, SETTINGS)).rejects.toMatchObject({
      code: 'PLAN_INACCURATE',
      facts: { layer: 0, polynomial: 'norm' },
    });
  });
});

describe('a token that is massive where it comes first', () => {
  const model = plantedModel('first-occurrence', 3);

  test('is refused as a private row', async () => {
    const calibration = calibrated(model, { keepPrefix: true });
    expect(calibration.publicPrefix).toEqual([1]);
    await expect(makePlan(model, calibration, SETTINGS)).rejects.toThrow(/PLAN_INACCURATE/);
  });

  test('is found and put into the public prefix; then its later rows are accurate', async () => {
    const texts = randomTexts(model, 24, 2);
    const [chosen, ...others] = findPublicPrefix(model, texts);
    const alone = others.find(({ tokens }) => tokens.length === 1)!;
    expect(chosen).toMatchObject({ tokens: [1, PLANTED_TOKEN], massiveRows: 0 });
    expect(alone.massiveRows).toBeGreaterThan(10);
    expect(alone.ratioBits[1]! - chosen!.ratioBits[1]!).toBeGreaterThan(8);
    const calibration = calibrated(model);
    expect(calibration.publicPrefix).toEqual([1, PLANTED_TOKEN]);
    const result = await agreement(model, calibration, 2);
    expect(result.sure).toBeGreaterThan(50);
    expect(result.sureAgree).toBe(result.sure);
    expect(result.rmsError).toBeLessThan(0.05);
  });
});

describe('a massive channel', () => {
  const model = plantedModel('channel', 3);

  test('is beyond what a narrow refresh carries', async () => {
    const calibration = calibrated(model, { rotationSeed: null });
    await expect(agreement(model, calibration, 1.5)).rejects.toThrow(/HE_REFRESH_RANGE/);
  });

  test('is spread over all features by the rotation that is chosen', async () => {
    const [chosen, plain] = chooseRotation(model, prefixContext(model, [1]), randomTexts(model, 24, 2));
    expect(plain!.seed).toBeNull();
    expect(Math.max(...chosen!.refreshRange) * 2).toBeLessThan(Math.max(...plain!.refreshRange));
    const calibration = calibrated(model);
    expect(calibration.rotationSeed).toBe(chosen!.seed);
    const without = calibrated(model, { rotationSeed: null });
    calibration.layers.forEach((layer, l) => {
      const before = without.layers[l]!;
      expect(layer.residual * 2).toBeLessThan(before.residual);
      // The functions see the same arguments.
      expect(layer.gate).toBe(before.gate);
      expect(layer.attentionMeanSquare).toEqual(before.attentionMeanSquare);
    });
    const result = await agreement(model, calibration, 1.5);
    expect(result.largest).toBeLessThan(1.5);
    expect(result.sure).toBeGreaterThan(50);
    expect(result.sureAgree).toBe(result.sure);
    expect(result.rmsError).toBeLessThan(0.05);
  });

  test('a plan names its rotation, and nothing else runs with it', async () => {
    const calibration = calibrated(model);
    const plan = await makePlan(model, calibration, SETTINGS);
    expect(plan.client.rotationSeed).toBe(calibration.rotationSeed);
    const plain = await makePlan(model, { ...calibration, rotationSeed: null }, SETTINGS);
    expect(plain.calibrationDigest).not.toBe(plan.calibrationDigest);
    const evaluator = createCleartextEvaluator({ slots: SETTINGS.slots, levels: 18, logScale: 40 });
    const refresher = new CleartextRefresher(evaluator);
    const other = { ...calibration, rotationSeed: calibration.rotationSeed! + 1 };
    expect(() => new EncryptedTransformer({ model, calibration: other, plan, evaluator, refresher })).toThrow(
      /PLAN_MISMATCH/,
    );
  });
});

describe('the rotation of the residual stream', () => {
  test.each([8, 16, 24, 15, 1])('is orthogonal and undone for %s features', (dim) => {
    const rotation = new StreamRotation(dim, 9);
    const random = new SeededRandom(dim);
    const [x, y] = [0, 1].map(() => Float64Array.from({ length: dim }, () => random.normal()));
    const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
    expect(dot(rotation.apply(x!), rotation.apply(y!))).toBeCloseTo(dot(x!, y!), 12);
    rotation.undo(rotation.apply(x!)).forEach((value, i) => {
      expect(value).toBeCloseTo(x![i]!, 12);
    });
  });

  test.each(['softmax', 'kernel4-rms'] as const)('leaves the logits of a model with %s', (attention) => {
    const gate = attention === 'softmax' ? 'silu' : 'bilinear';
    const { model } = tinyTestModel(5, { attention, gate });
    const rotation = new StreamRotation(model.config.dim, 4);
    const rotated = rotateModel(model, rotation);
    const rows = embedTokens(model, [1, 5, 9, 4, 20, 11, 3, 7]);
    const want = forwardRows(model, rows, new KvCache(2));
    const turned = rows.map((row) => rotation.apply(row));
    const got = forwardRows(rotated, turned, new KvCache(2)).map((row) => rotation.undo(row));
    let largest = 0;
    let worst = 0;
    got.forEach((row, r) => {
      const logits = finishLogits(model, want[r]!);
      finishLogits(model, row).forEach((value, i) => {
        largest = Math.max(largest, Math.abs(logits[i]!));
        worst = Math.max(worst, Math.abs(value - logits[i]!));
      });
    });
    expect(largest).toBeGreaterThan(1);
    expect(worst / largest).toBeLessThan(1e-6);
    // Not the identity.
    expect(Math.abs(turned[0]![0]! - rows[0]![0]!)).toBeGreaterThan(1e-3);
  });
});
