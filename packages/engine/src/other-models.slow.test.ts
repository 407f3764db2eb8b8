import { existsSync, readFileSync } from 'node:fs';
import { CleartextRefresher, createCleartextEvaluator } from '@sotto/he/cleartext';
import { readLlama2c } from '@sotto/model';
import { expect, test } from 'vitest';
import {
  calibrate,
  EncryptedTransformer,
  makePlan,
  measureAgreement,
  readCalibration,
  sampleTexts,
  writeCalibration,
} from './index.js';

/** A character model of 0.9 million weights; this test says so when it is absent. */
const babyLlama = new URL(
  '../../../../shared/data/models/babyllama-char-0.9M/model5000.bin',
  import.meta.url,
);

test.skipIf(!existsSync(babyLlama))(
  'BabyLlama is planned, and decided positions of its own text agree on the cleartext scheme with noise',
  async () => {
    const model = readLlama2c(readFileSync(babyLlama));
    const measured = calibrate(model, { texts: 120, tokens: 96, seed: 1, scanTexts: 200 });
    const calibration = readCalibration(writeCalibration(measured));
    expect(calibration.made.scan.clean).toBe(200);
    const plan = await makePlan(model, calibration, { slots: 2 ** 14, topLevel: 12, blockRows: 8 });
    expect(plan.refreshes).toBe(19);
    const evaluator = createCleartextEvaluator({
      slots: 2 ** 14,
      levels: 12,
      logScale: 40,
      noise: { ringDegree: 2 ** 16 },
    });
    const refresher = new CleartextRefresher(evaluator, { bits: 20 });
    const transformer = new EncryptedTransformer({ model, calibration, plan, evaluator, refresher });
    const texts = sampleTexts(model, { texts: 16, tokens: 96, seed: 4242 });
    const result = await measureAgreement({ model, plan, evaluator, refresher, transformer }, texts);
    expect(result.sure).toBeGreaterThan(200);
    expect(result.sureAgree / result.sure).toBeGreaterThanOrEqual(0.99);
  },
  1_800_000,
);

/** A Llama of 231 thousand weights whose first layer has sums of exponentials over 14 nats; this test says so when it is absent. */
const aidreams = new URL('../../../../shared/data/models/aidreams231K/aidreams260K.bin', import.meta.url);

test.skipIf(!existsSync(aidreams))(
  'aidreams231K is planned with at most one more refresh in its first layer, and decided positions agree',
  async () => {
    const model = readLlama2c(readFileSync(aidreams));
    const measured = calibrate(model, { texts: 200, tokens: 128, seed: 1, scanTexts: 100 });
    const calibration = readCalibration(writeCalibration(measured));
    expect(calibration.made.scan.clean).toBe(100);
    const plan = await makePlan(model, calibration, { slots: 2 ** 13, topLevel: 12, blockRows: 8 });
    expect(plan.refreshes).toBeLessThanOrEqual(16);
    const description = { slots: 2 ** 13, levels: 12, logScale: 40, noise: { ringDegree: 2 ** 16 } };
    const evaluator = createCleartextEvaluator(description, { byValue: true });
    const refresher = new CleartextRefresher(evaluator, { bits: 20 });
    const transformer = new EncryptedTransformer({ model, calibration, plan, evaluator, refresher });
    const texts = sampleTexts(model, { texts: 12, tokens: 64, seed: 2026 });
    const result = await measureAgreement({ model, plan, evaluator, refresher, transformer }, texts);
    expect(result.positions).toBe(192);
    expect(result.sureAgree / result.sure).toBeGreaterThanOrEqual(0.99);
    expect(result.rmsError).toBeLessThan(0.01);
  },
  1_800_000,
);
