import { readFileSync } from 'node:fs';
import { CleartextRefresher, createCleartextEvaluator } from '@sotto/he/cleartext';
import { readModelFile } from '@sotto/model';
import { expect, test } from 'vitest';
import {
  defaultCalibration,
  EncryptedTransformer,
  makePlan,
  measureAgreement,
  readCalibration,
  sampleTexts,
  writeCalibration,
} from './index.js';

const { weights: model } = await readModelFile();
const calibration = readCalibration(readFileSync(defaultCalibration, 'utf8'));

test('on the secure ring: three refreshes a pass, all real and narrow; 24 levels a layer', async () => {
  expect(calibration.modelDigest).toBe(model.digest);
  const plan = await makePlan(model, calibration, { slots: 2 ** 15, topLevel: 12 });
  expect(plan.layout).toMatchObject({ blockRows: 16, privateCapacity: 32 });
  expect(plan.client.publicCapacity).toBeGreaterThanOrEqual(128);
  expect(plan.cuts).toEqual([
    ['start', 'heads'],
    ['start', 'heads'],
  ]);
  expect(plan.refreshShapes).toEqual([{ period: 2048, real: true, count: 3 }]);
  expect(plan.startLevels).toEqual({ start: 12, heads: 12 });
  expect(plan.block.relinearisations).toBeLessThanOrEqual(64);
  const client = await makePlan(model, calibration, { slots: 2 ** 14, topLevel: 14 });
  expect(client.refreshes).toBe(3);
});

test.each([
  ['kernelBase', 0],
  ['headMeanSquare', -1],
  ['headMeanSquare', null],
])('a calibration whose %s is %s is refused', (name, value) => {
  const broken = JSON.parse(writeCalibration(calibration));
  broken.layers[1][name] = value;
  expect(() => readCalibration(JSON.stringify(broken))).toThrow(/CALIBRATION_INVALID/);
});

test('with the noise of a refresh, held-out text gets the same tokens', async () => {
  const slots = 2 ** 13;
  const plan = await makePlan(model, calibration, { slots, topLevel: 12, blockRows: 8 });
  const description = { slots, levels: 12, logScale: 40, noise: { ringDegree: 2 ** 16 } };
  const evaluator = createCleartextEvaluator(description, { byValue: true });
  const refresher = new CleartextRefresher(evaluator, { bits: 20 });
  const transformer = new EncryptedTransformer({ model, calibration, plan, evaluator, refresher });
  const bench = { model, plan, evaluator, refresher, transformer };
  const result = await measureAgreement(bench, sampleTexts(model, { texts: 10, tokens: 64, seed: 4242 }));
  expect(result.positions).toBe(160);
  expect(result.sureAgree).toBe(result.sure);
  expect(result.rmsError).toBeLessThanOrEqual(0.005);
  expect(refresher.largest).toBeLessThan(1);
}, 60_000);
