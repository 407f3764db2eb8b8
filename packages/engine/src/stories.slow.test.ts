import { readFileSync } from 'node:fs';
import { CleartextRefresher, createCleartextEvaluator } from '@sotto/he/cleartext';
import { argmax, embeddedModel, readLlama2c } from '@sotto/model';
import { expect, test } from 'vitest';
import {
  calibrate,
  EncryptedTransformer,
  embeddedCalibration,
  logitsOf,
  makePlan,
  measureAgreement,
  readCalibration,
  sampleTexts,
  writeCalibration,
} from './index.js';

const model = readLlama2c(readFileSync(embeddedModel.model));
const committed = readFileSync(embeddedCalibration, 'utf8');
const calibration = readCalibration(committed);
const golden: { cases: { prompt_ids: number[]; greedy_ids: number[]; top1_minus_top2: number[] }[] } =
  JSON.parse(
    readFileSync(new URL('../../model/src/testdata/golden-stories260K.json', import.meta.url), 'utf8'),
  );

async function bench(slots: number, blockRows: number) {
  const plan = await makePlan(model, calibration, { slots, topLevel: 12, blockRows });
  const evaluator = createCleartextEvaluator({
    slots,
    levels: 12,
    logScale: 40,
    noise: { ringDegree: 2 ** 16 },
  });
  const refresher = new CleartextRefresher(evaluator, { bits: 20 });
  return {
    model,
    plan,
    evaluator,
    refresher,
    transformer: new EncryptedTransformer({ model, calibration, plan, evaluator, refresher }),
  };
}

test('the committed calibration is what calibrate() measures', () => {
  const again = calibrate(model, {
    ...{ texts: 300, tokens: 512, seed: 1 },
    ...{ scanTexts: 1000, scanTokens: [64, 128, 256, 512] },
  });
  expect(writeCalibration(again)).toBe(committed);
}, 1_800_000);

test('99 % of a thousand positions choose the same token', async () => {
  const b = await bench(2 ** 14, 8);
  const result = await measureAgreement(b, sampleTexts(model, { texts: 40, tokens: 128, seed: 2026 }));
  expect(result.positions).toBeGreaterThanOrEqual(1000);
  expect(result.agree / result.positions).toBeGreaterThanOrEqual(0.99);
  expect(result.sureAgree / result.sure).toBeGreaterThanOrEqual(0.999);
  expect(result.rmsError).toBeLessThanOrEqual(0.005);
  expect(Math.abs(result.nats - result.clearNats)).toBeLessThan(0.005);
}, 900_000);

test.each(golden.cases)(
  'golden continuation of $prompt',
  async ({ prompt_ids, greedy_ids, top1_minus_top2 }) => {
    const b = await bench(2 ** 14, 8);
    const talk = b.transformer.conversation(prompt_ids.slice(0, 1));
    const tokens = prompt_ids.length > 1 ? [...prompt_ids] : greedy_ids.slice(0, 2);
    let doubtful = 0;
    let logits: Float64Array[] = [];
    for (let at = 1; at < tokens.length; at += 8) logits = await logitsOf(b, talk, tokens.slice(at, at + 8));
    while (talk.cache.remaining > 0 && tokens.length < greedy_ids.length) {
      const chosen = argmax(logits.at(-1)!);
      const expected = greedy_ids[tokens.length]!;
      // Where the clear model itself is nearly undecided, its choice is followed.
      const undecided = top1_minus_top2[tokens.length - 1]! < 0.1;
      if (undecided) doubtful++;
      else expect(chosen).toBe(expected);
      tokens.push(expected);
      logits = await logitsOf(b, talk, tokens.slice(-1));
    }
    expect(tokens.length).toBeGreaterThan(30);
    expect(doubtful).toBeLessThanOrEqual(1);
  },
  900_000,
);
