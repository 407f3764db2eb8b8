import { readFileSync } from 'node:fs';
import { CleartextRefresher, createCleartextEvaluator } from '@sotto/he/cleartext';
import { argmax, embeddedModel, readLlama2c, readTokenizer } from '@sotto/model';
import { describe, expect, test } from 'vitest';
import {
  type CleartextBench,
  EncryptedTransformer,
  embeddedCalibration,
  embedRows,
  logitsOf,
  makePlan,
  measureAgreement,
  type PlanOptions,
  rareTokens,
  readCalibration,
  sampleTexts,
} from './index.js';

const model = readLlama2c(readFileSync(embeddedModel.model));
const calibration = readCalibration(readFileSync(embeddedCalibration, 'utf8'));
const golden: { cases: { prompt_ids: number[]; greedy_ids: number[]; logits_first_generated: number[] }[] } =
  JSON.parse(
    readFileSync(new URL('../../model/src/testdata/golden-stories260K.json', import.meta.url), 'utf8'),
  );

async function bench(options: Partial<PlanOptions>, noise: boolean): Promise<CleartextBench> {
  const settings = { slots: 2 ** 12, topLevel: 12, ...options };
  const plan = await makePlan(model, calibration, settings);
  const description = { slots: settings.slots, levels: settings.topLevel, logScale: 40 };
  const evaluator = createCleartextEvaluator({
    ...description,
    // Noise as on the secure ring, on fewer slots.
    ...(noise ? { noise: { ringDegree: 2 ** 16 } } : {}),
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

test('on the secure ring: one ciphertext, 19 refreshes, at most 32 rotation keys', async () => {
  const plan = await makePlan(model, calibration, { slots: 2 ** 15, topLevel: 12 });
  expect(plan.layout).toMatchObject({ blockRows: 16, privateColumns: 32, publicCapacity: 224 });
  expect(plan.client.publicCapacity).toBe(511);
  for (const cuts of plan.cuts) expect(cuts).toEqual(['start', 'root', 'normalised', 'middle']);
  expect(plan.refreshes).toBe(19);
  expect(plan.keys.rotations.length).toBeLessThanOrEqual(32);
  expect(plan.block).toMatchObject({ refreshes: 19, conjugations: 16 });
  expect(plan.block.relinearisations).toBeLessThanOrEqual(440);
  expect(plan.block.rotations + plan.block.mapRotations).toBeLessThanOrEqual(600);
  const client = await makePlan(model, calibration, { slots: 2 ** 14, topLevel: 14 });
  expect(client.layout).toMatchObject({ blockRows: 8, privateColumns: 32, publicCapacity: 224 });
  expect(client.refreshes).toBe(19);
});

test('the greedy continuation of a secret prompt is the golden one', async () => {
  const b = await bench({ slots: 2 ** 13, blockRows: 4, privateTokens: 32 }, true);
  const { prompt_ids, greedy_ids, logits_first_generated } = golden.cases[1]!;
  const talk = b.transformer.conversation(prompt_ids.slice(0, 1));
  let logits = await logitsOf(b, talk, prompt_ids.slice(1));
  const first = logits.at(-1)!;
  const rms = Math.sqrt(
    first.reduce((sum, x, i) => sum + (x - logits_first_generated[i]!) ** 2, 0) / first.length,
  );
  expect(rms).toBeLessThan(0.005);
  const tokens = [...prompt_ids];
  while (tokens.length < prompt_ids.length + 12) {
    tokens.push(argmax(logits.at(-1)!));
    logits = await logitsOf(b, talk, tokens.slice(-1));
  }
  expect(tokens).toEqual(greedy_ids.slice(0, tokens.length));
}, 60_000);

test('with the noise of a refresh, held-out text gets the same tokens', async () => {
  const b = await bench({ slots: 2 ** 13, blockRows: 8 }, true);
  const texts = sampleTexts(model, { texts: 10, tokens: 48, seed: 4242 });
  const result = await measureAgreement(b, texts);
  expect(result.positions).toBe(160);
  expect(result.agree / result.positions).toBeGreaterThanOrEqual(0.98);
  expect(result.sureAgree / result.sure).toBeGreaterThanOrEqual(0.99);
  expect(result.rmsError).toBeLessThanOrEqual(0.005);
  expect(b.refresher.largest).toBeLessThan(1.5);
}, 60_000);

describe('tokens that the model hardly knows', () => {
  const tokenizer = readTokenizer(readFileSync(embeddedModel.tokenizer), model.config.vocabSize);
  const strange = tokenizer.encode('@~🙂', { bos: false });

  test('are refused before anything is encrypted', async () => {
    const { plan } = await bench({ blockRows: 8 }, false);
    const plain = 'My PIN is 8051 (Zoe, Quentin & "Max"); call me at 9:30!';
    expect(rareTokens(plan.client, tokenizer.encode(plain, { bos: false }))).toEqual([]);
    expect(rareTokens(plan.client, strange).length).toBeGreaterThan(3);
    expect(() => embedRows(model, plan.client, strange)).toThrow(/ENGINE_TOKEN_UNCALIBRATED/);
  });

  test('end in an error otherwise, never in a wrong answer', async () => {
    const b = await bench({ blockRows: 8 }, true);
    const all = Array.from({ length: model.config.vocabSize }, (_, token) => token);
    const plan = { ...b.plan, client: { ...b.plan.client, knownTokens: all } };
    const ask = logitsOf({ ...b, plan }, b.transformer.conversation([1, 403]), strange.slice(0, 8));
    await expect(ask).rejects.toThrow(/ENGINE_OUTPUT_ESCAPED|HE_REFRESH_RANGE/);
  });
});

test('fourteen levels do as well', async () => {
  const b = await bench({ slots: 2 ** 13, blockRows: 8, topLevel: 14 }, true);
  const result = await measureAgreement(b, sampleTexts(model, { texts: 3, tokens: 48, seed: 99 }));
  expect(result.sureAgree / result.sure).toBeGreaterThanOrEqual(0.99);
  expect(result.rmsError).toBeLessThanOrEqual(0.02);
}, 60_000);
