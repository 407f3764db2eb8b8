import { existsSync, readFileSync } from 'node:fs';
import { CleartextRefresher, createCleartextEvaluator } from '@sotto/he/cleartext';
import { readLlama2c } from '@sotto/model';
import { expect, test } from 'vitest';
import { calibrate, EncryptedTransformer, makePlan, measureAgreement, sampleTexts } from './index.js';

const url = new URL('../../../../shared/data/models/babyllama-char-0.9M/model5000.bin', import.meta.url);

test.skipIf(!existsSync(url))(
  'a model of another width and vocabulary runs from its checkpoint alone (skipped where the file is absent)',
  async () => {
    const model = readLlama2c(readFileSync(url));
    const calibration = calibrate(model, { texts: 48, tokens: 96, seed: 3 });
    const settings = { slots: 2 ** 14, topLevel: 12, blockRows: 4 };
    const plan = await makePlan(model, calibration, settings);
    expect(plan.refreshes).toBe(19);
    expect(plan.keys.rotations.length).toBeLessThanOrEqual(48);
    const noise = { ringDegree: 2 ** 16 };
    const evaluator = createCleartextEvaluator({ slots: settings.slots, levels: 12, logScale: 40, noise });
    const refresher = new CleartextRefresher(evaluator, { bits: 20 });
    const transformer = new EncryptedTransformer({ model, calibration, plan, evaluator, refresher });
    const texts = sampleTexts(model, { texts: 8, tokens: 64, seed: 77 });
    const result = await measureAgreement({ model, plan, evaluator, refresher, transformer }, texts);
    expect(result.positions).toBe(256);
    expect(result.sureAgree / result.sure).toBeGreaterThanOrEqual(0.99);
    expect(result.rmsError).toBeLessThanOrEqual(0.05);
  },
  600_000,
);
