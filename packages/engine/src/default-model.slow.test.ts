import { readFileSync } from 'node:fs';
import { SottoError } from '@sotto/base';
import { CleartextRefresher, createCleartextEvaluator } from '@sotto/he/cleartext';
import { readModelFile } from '@sotto/model';
import { expect, test } from 'vitest';
import {
  calibrate,
  defaultCalibration,
  EncryptedTransformer,
  makePlan,
  measureAgreement,
  readCalibration,
  sampleTexts,
  writeCalibration,
} from './index.js';

const { weights: model } = await readModelFile();
const committed = readFileSync(defaultCalibration, 'utf8');

test('the committed calibration is what calibrate() measures', () => {
  const again = calibrate(model, { texts: 500, tokens: 160, seed: 1, scanTexts: 1000 });
  expect(writeCalibration(again)).toBe(committed);
}, 1_800_000);

test('0 of 1,000 held-out prompts leave a window; decided positions choose the same token', async () => {
  const calibration = readCalibration(committed);
  const slots = 2 ** 13;
  const plan = await makePlan(model, calibration, { slots, topLevel: 12, blockRows: 8 });
  const description = { slots, levels: 12, logScale: 40, noise: { ringDegree: 2 ** 16 } };
  const evaluator = createCleartextEvaluator(description, { byValue: true });
  const refresher = new CleartextRefresher(evaluator, { bits: 20 });
  const transformer = new EncryptedTransformer({ model, calibration, plan, evaluator, refresher });
  const bench = { model, plan, evaluator, refresher, transformer };
  const sum = { escapes: 0, positions: 0, agree: 0, sure: 0, sureAgree: 0, worstRms: 0 };
  for (const text of sampleTexts(model, { texts: 1000, tokens: 48, seed: 20_261_121 })) {
    try {
      const result = await measureAgreement(bench, [text]);
      for (const name of ['positions', 'agree', 'sure', 'sureAgree'] as const) sum[name] += result[name];
      sum.worstRms = Math.max(sum.worstRms, result.rmsError);
    } catch (error) {
      if (!SottoError.is(error)) throw error;
      sum.escapes++;
    }
  }
  expect(sum.escapes).toBe(0);
  expect(sum.positions).toBe(16_000);
  expect(sum.sureAgree).toBe(sum.sure);
  expect(sum.agree / sum.positions).toBeGreaterThanOrEqual(0.999);
  expect(sum.worstRms).toBeLessThanOrEqual(0.02);
}, 1_800_000);
