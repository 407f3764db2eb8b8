import { readFileSync } from 'node:fs';
import { SottoError } from '@sotto/base';
import { CleartextRefresher, createCleartextEvaluator } from '@sotto/he/cleartext';
import type { SlotVector } from '@sotto/he/scheme';
import {
  argmax,
  embeddedModel,
  embedTokens,
  finishLogits,
  forward,
  forwardRows,
  KvCache,
  type LlamaConfig,
  readModelFile,
  readTokenizer,
  SeededRandom,
} from '@sotto/model';
import { expect, test } from 'vitest';
import {
  defaultCalibration,
  EncryptedTransformer,
  embedRows,
  makePlan,
  prefillPublic,
  readCalibration,
  readHidden,
  tinyTestModel,
} from './index.js';
import { attentionSlot, privatePlace } from './layout.js';
import { publicSlot } from './public-context.js';
import { type CutName, kindsOf, layerDepths } from './schedule.js';

const softmax = (scores: Float64Array): Float64Array => {
  const most = Math.max(...scores);
  const powers = scores.map((s) => Math.exp(s - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((p) => p / sum);
};

/** One noiseless block of a tiny model, and every state that it went through. */
async function states(
  shape: Partial<LlamaConfig>,
  publicTokens: readonly number[],
  privateTokens: readonly number[],
) {
  const { model, calibration } = tinyTestModel(1, shape);
  const plan = await makePlan(model, calibration, { slots: 1024, topLevel: 12, blockRows: 4 });
  const evaluator = createCleartextEvaluator({ slots: 1024, levels: 12, logScale: 40 });
  const refresher = new CleartextRefresher(evaluator, {});
  const seen: { layer: number; name: string; level: number; value: SlotVector }[] = [];
  const transformer = new EncryptedTransformer({
    ...{ model, calibration, plan, evaluator, refresher },
    trace: ({ value, ...state }) => seen.push({ ...state, value: evaluator.toSlots(value) }),
  });
  const talk = transformer.conversation(publicTokens);
  const input = evaluator.fromSlots(embedRows(model, plan.client, privateTokens), plan.client.inputLevel);
  await transformer.forward(talk, input, privateTokens.length);
  return { model, plan, seen };
}

test('keys and values of a public prefix do not depend on what follows, bit for bit', () => {
  const { model } = tinyTestModel(1);
  const prefix = [1, 5, 7, 9];
  const want = prefillPublic(model, prefix).cache;
  const random = new SeededRandom(3);
  for (let prompt = 0; prompt < 100; prompt++) {
    const rest = Array.from({ length: 1 + Math.floor(20 * random.next()) }, () =>
      Math.floor(24 * random.next()),
    );
    const { cache } = prefillPublic(model, [...prefix, ...rest]);
    for (const kind of ['keys', 'values'] as const)
      cache[kind].forEach((rows, layer) => {
        expect(rows.slice(0, prefix.length)).toEqual(want[kind][layer]);
      });
  }
});

test.each([
  [1, 1],
  [1, 4],
  [2, 3],
  [9, 4],
  [20, 2],
])(
  'attention over %i public and up to %i private keys is the softmax of both together',
  async (open, rows) => {
    const publicTokens = Array.from({ length: open }, (_, i) => (i === 0 ? 1 : 3 + ((7 * i) % 20)));
    const privateTokens = [4, 9, 11, 3].slice(0, rows);
    const { model, plan, seen } = await states({ headCount: 4, kvHeadCount: 2 }, publicTokens, privateTokens);
    const { re } = seen.find(({ layer, name }) => layer === 0 && name === 'weights')!.value;
    const want = new Map<string, Float64Array>();
    forwardRows(
      model,
      embedTokens(model, [...publicTokens, ...privateTokens]),
      new KvCache(model.config.layerCount),
      (name, layer, position, values, head) => {
        if (name === 'scores' && layer === 0) want.set(`${position}/${head}`, softmax(values));
      },
    );
    const heads: string[] = [];
    for (let row = 0; row < rows; row++) {
      for (let head = 0; head < 4; head++) {
        const keys = Array.from({ length: open + row + 1 }, (_, n) => {
          if (n < open) return publicSlot(plan.layout, n, head, row);
          const { group, column } = privatePlace(plan.layout, n - open);
          return attentionSlot(plan.layout, group, column, head, row);
        });
        const weights = Float64Array.from(keys, (slot) => re[slot & (re.length - 1)]!);
        const sum = weights.reduce((a, b) => a + b);
        const off = want.get(`${open + row}/${head}`)!.map((w, n) => w - weights[n]! / sum);
        expect(Math.max(...off.map(Math.abs))).toBeLessThan(2e-3);
        heads.push(weights.map((w) => Math.round((1000 * w) / sum)).join());
      }
    }
    // Heads of one key head ask different things: none stands in the place of another.
    expect(new Set(heads).size).toBe(4 * rows);
  },
);

test.each([
  ['plain Llama', {}],
  ['made for the encryption', { attention: 'kernel4-rms', gate: 'bilinear' }],
] as const)('every state of a layer is at the level of the plan: %s', async (_, shape) => {
  const { model, plan, seen } = await states(shape, [1, 5, 7], [4, 9, 11, 3]);
  let compared = 0;
  for (let layer = 0; layer < model.config.layerCount; layer++) {
    const depths = layerDepths(plan.degrees[layer]!, kindsOf(model.config));
    const depth = (name: string) => (name === 'end' ? depths.end : depths.at[name as CutName]!);
    let from = { level: plan.startLevels.start ?? plan.topLevel, depth: 0 };
    for (const { name, level } of seen.filter((state) => state.layer === layer)) {
      if (name.startsWith('refresh ')) {
        expect(level).toBe(plan.topLevel);
        const cut = name.slice('refresh '.length) as CutName;
        // A refresh that carries the norms of the keys too takes a level to part them.
        const most = cut === plan.normRide ? plan.topLevel - 1 : plan.topLevel;
        from = { level: Math.min(plan.startLevels[cut] ?? most, most), depth: depth(cut) };
      } else if (name !== 'start') {
        const planned = from.level - (depth(name) - from.depth);
        // Norms and values of the cache, which were not refreshed, may be lower than the weights that they meet.
        if (name === 'middle' && plan.polynomials[layer]!.softmax) {
          expect(level).toBeLessThanOrEqual(planned);
          expect(level).toBeGreaterThanOrEqual(plan.bottomLevel);
        } else expect([name, level]).toEqual([name, planned]);
        compared++;
      }
    }
  }
  expect(compared).toBeGreaterThanOrEqual(6);
});

test('a hostile prompt of nothing but line ends is answered rightly or refused, never wrongly', async () => {
  const { weights: model } = await readModelFile();
  const tokenizer = readTokenizer(readFileSync(embeddedModel.tokenizer), model.config.vocabSize);
  const calibration = readCalibration(readFileSync(defaultCalibration, 'utf8'));
  const plan = await makePlan(model, calibration, { slots: 2 ** 13, topLevel: 12, blockRows: 8 });
  const tokens = tokenizer.encode('\n'.repeat(64), { bos: false }).slice(0, plan.layout.privateCapacity);
  expect(tokens).toHaveLength(plan.layout.privateCapacity);
  const evaluator = createCleartextEvaluator(
    { slots: 2 ** 13, levels: 12, logScale: 40, noise: {} },
    { byValue: true },
  );
  const refresher = new CleartextRefresher(evaluator, { bits: 20 });
  const transformer = new EncryptedTransformer({ model, calibration, plan, evaluator, refresher });
  const answer = async () => {
    const talk = transformer.conversation([tokenizer.bosToken]);
    const hidden: Float64Array[] = [];
    for (let at = 0; at < tokens.length; at += 8) {
      const rows = tokens.slice(at, at + 8);
      const input = evaluator.fromSlots(embedRows(model, plan.client, rows), plan.client.inputLevel);
      const out = await transformer.forward(talk, input, rows.length);
      hidden.push(...readHidden(plan.client, evaluator.toSlots(out), rows.length));
    }
    return hidden;
  };
  const outcome = await answer().catch((error) => (SottoError.is(error) ? error.code : String(error)));
  if (typeof outcome === 'string') {
    expect(['ENGINE_TOKEN_UNCALIBRATED', 'ENGINE_OUTPUT_ESCAPED', 'HE_REFRESH_RANGE']).toContain(outcome);
    return;
  }
  const text = [tokenizer.bosToken, ...tokens];
  const want = forward(model, text, new KvCache(model.config.layerCount)).logits.slice(1);
  outcome.forEach((row, r) => {
    const [first = 0, second = 0] = [...want[r]!].sort((a, b) => b - a);
    if (first - second > 0.1) expect(argmax(finishLogits(model, row))).toBe(argmax(want[r]!));
  });
}, 30_000);
