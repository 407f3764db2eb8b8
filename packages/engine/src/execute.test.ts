import { CleartextRefresher, createCleartextEvaluator } from '@sotto/he/cleartext';
import { forward, KvCache } from '@sotto/model';
import { expect, test } from 'vitest';
import { EncryptedTransformer, embedRows, makePlan, readHidden, tinyTestModel } from './index.js';

test('tiny', async () => {
  const { model, calibration } = tinyTestModel(1);
  const plan = await makePlan(model, calibration, { slots: 1024, topLevel: 12, blockRows: 4 });
  console.log(JSON.stringify({ ...plan, polynomials: plan.polynomials.map((p) => p.errors) }, null, 1));
  const evaluator = createCleartextEvaluator({ slots: 1024, levels: 12, logScale: 40 });
  const refresher = new CleartextRefresher(evaluator, {});
  const t = new EncryptedTransformer({ model, calibration, plan, evaluator, refresher });
  const talk = t.conversation([1, 5, 7]);
  const tokens = [4, 9, 11, 3];
  const want = forward(model, [1, 5, 7, ...tokens], new KvCache(2)).hidden.slice(3);
  const out = await t.forward(talk, evaluator.fromSlots(embedRows(model, plan.client, tokens)), 4);
  const got = readHidden(plan.client, evaluator.toSlots(out), 4);
  for (let r = 0; r < 4; r++)
    console.log(
      Array.from(got[r])
        .map((x, i) => `${x.toFixed(4)}/${want[r][i].toFixed(4)}`)
        .join(' '),
    );
  expect(refresher.count).toBe(plan.refreshes);
});
