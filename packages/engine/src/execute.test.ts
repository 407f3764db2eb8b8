import type { SottoError } from '@sotto/base';
import { type CleartextEvaluator, CleartextRefresher, createCleartextEvaluator } from '@sotto/he/cleartext';
import { forward, KvCache, type LlamaConfig } from '@sotto/model';
import { describe, expect, test } from 'vitest';
import {
  type Conversation,
  EncryptedTransformer,
  embedRows,
  type ForwardOptions,
  makePlan,
  type PlanOptions,
  prefillPublic,
  publicId,
  readHidden,
  readPublic,
  tinyTestModel,
  workOfBlock,
  writePublic,
} from './index.js';
import { publicPages } from './layout.js';
import { pageRefreshes } from './schedule.js';

async function bench(
  options: Partial<PlanOptions> = {},
  shape: Partial<LlamaConfig> = {},
  noise = false,
  byValue = false,
  { model, calibration } = tinyTestModel(1, shape),
) {
  const settings = { slots: 1024, topLevel: 12, blockRows: 4, ...options };
  const plan = await makePlan(model, calibration, settings);
  const description = { slots: settings.slots, levels: settings.topLevel, logScale: 40 };
  const evaluator = createCleartextEvaluator(noise ? { ...description, noise: {} } : description, {
    byValue,
  });
  const refresher = new CleartextRefresher(evaluator, { bits: 20 });
  const transformer = new EncryptedTransformer({ model, calibration, plan, evaluator, refresher });
  type Talk = Conversation<ReturnType<CleartextEvaluator['fromSlots']>>;
  const pass = async (talk: Talk, tokens: readonly number[], extra: ForwardOptions = {}) => {
    const input = evaluator.fromSlots(embedRows(model, plan.client, tokens), plan.client.inputLevel);
    const out = await transformer.forward(talk, input, tokens.length, extra);
    return readHidden(plan.client, evaluator.toSlots(out), tokens.length);
  };
  const oracle = (tokens: readonly number[]) =>
    forward(model, tokens, new KvCache(model.config.layerCount)).hidden;
  return { model, plan, evaluator, refresher, transformer, pass, oracle };
}

function difference(a: readonly Float64Array[], b: readonly Float64Array[]): number {
  expect(a.length).toBe(b.length);
  let worst = 0;
  a.forEach((row, r) => {
    row.forEach((value, i) => {
      worst = Math.max(worst, Math.abs(value - b[r]![i]!));
    });
  });
  return worst;
}

const open = [1, 5, 7];
const secret = [4, 9, 11, 3];

describe('a block equals the clear transformer', () => {
  test.each([
    ['grouped keys', {}, {}],
    ['one key head for each head', {}, { kvHeadCount: 2 }],
    ['three heads of three pairs', { slots: 2048 }, { dim: 18, headCount: 3, kvHeadCount: 3, hiddenDim: 27 }],
    ['one row a block', { blockRows: 1 }, {}],
    ['eight rows a block', { slots: 2048, blockRows: 8 }, {}],
    ['nine levels', { topLevel: 9 }, {}],
    ['ten levels', { topLevel: 10 }, {}],
    ['fourteen levels', { topLevel: 14 }, {}],
    ['one layer', {}, { layerCount: 1 }],
    ['heads wider together than the stream', { slots: 2048 }, { headDim: 6 }],
    ['kernel attention, bilinear gate', {}, { attention: 'kernel4-rms', gate: 'bilinear' }],
    ['kernel attention, SiLU', {}, { attention: 'kernel4-rms' }],
    ['softmax, bilinear gate', {}, { gate: 'bilinear' }],
    ['kernel attention, narrow heads', {}, { attention: 'kernel4-rms', gate: 'bilinear', headDim: 2 }],
  ] as [string, Partial<PlanOptions>, Partial<LlamaConfig>][])('%s', async (_, options, shape) => {
    const { transformer, pass, oracle, refresher, plan } = await bench(options, shape);
    const rows = Math.min(secret.length, plan.layout.blockRows);
    const got = await pass(transformer.conversation(open), secret.slice(0, rows));
    expect(difference(got, oracle([...open, ...secret.slice(0, rows)]).slice(3))).toBeLessThan(5e-3);
    expect(refresher.count).toBe(plan.refreshes);
    // Scaled states fit a refresh without loss.
    expect(refresher.largest).toBeLessThan(1.2);
  });

  test('layers that continue without a refresh at their start', async () => {
    const { model, calibration } = tinyTestModel(1);
    const wide = {
      ...calibration,
      layers: calibration.layers.map((c) => ({ ...c, gate: 22 })),
    };
    const { transformer, pass, oracle, refresher, plan } = await bench({}, {}, false, false, {
      model,
      calibration: wide,
    });
    expect(plan.cuts[1]).not.toContain('start');
    expect(plan.refreshes).toBeLessThan(5 * model.config.layerCount - 1);
    const talk = transformer.conversation(open);
    const got = await pass(talk, secret);
    expect(refresher.count).toBe(plan.refreshes);
    got.push(...(await pass(talk, [7, 2])));
    expect(difference(got, oracle([...open, ...secret, 7, 2]).slice(3))).toBeLessThan(5e-3);
    talk.cache.drop(1);
    const more = await pass(talk, [8, 6]);
    expect(difference(more, oracle([...open, ...secret, 7, 8, 6]).slice(8))).toBeLessThan(5e-3);
  });

  test('with the noise of a real scheme', async () => {
    const { transformer, pass, oracle } = await bench({}, {}, true);
    const got = await pass(transformer.conversation(open), secret);
    const off = difference(got, oracle([...open, ...secret]).slice(3));
    expect(off).toBeGreaterThan(1e-7);
    expect(off).toBeLessThan(5e-3);
  });
});

/** Wide for its ring: the cache is in groups of two keys, four rows need two of them. */
const wide = { dim: 40, headCount: 5, kvHeadCount: 1, hiddenDim: 100, layerCount: 1 };

describe('a cache in groups of columns', () => {
  test('gives the same rows in every split, with dropped positions, at the end of its room', async () => {
    const { transformer, pass, oracle, plan } = await bench({ slots: 512, privateTokens: 8 }, wide);
    expect(plan.layout).toMatchObject({ columns: 4, privateColumns: 2, privateGroups: 4, width: 64 });
    const tokens = [...secret, 2, 8, 6];
    const want = oracle([...open, ...tokens]).slice(3);
    for (const split of [
      [4, 3],
      [1, 4, 2],
    ]) {
      const talk = transformer.conversation(open);
      const got: Float64Array[] = [];
      for (const rows of split) got.push(...(await pass(talk, tokens.slice(got.length, got.length + rows))));
      expect(difference(got, want)).toBeLessThan(5e-3);
      talk.cache.drop(1);
      const last = await pass(talk, [9, 10]);
      expect(difference(last, oracle([...open, ...tokens.slice(0, 6), 9, 10]).slice(9))).toBeLessThan(5e-3);
      expect(talk.cache.remaining).toBe(0);
      talk.cache.dispose();
    }
  });

  test('a later token never changes an earlier row', async () => {
    const { transformer, pass } = await bench({ slots: 512, privateTokens: 8 }, wide);
    const before = await pass(transformer.conversation(open), secret);
    const after = await pass(transformer.conversation(open), [...secret.slice(0, 3), 20]);
    expect(difference(before.slice(0, 3), after.slice(0, 3))).toBe(0);
    expect(difference(before.slice(3), after.slice(3))).toBeGreaterThan(0.01);
  });
});

describe('working on values', () => {
  /** Two blocks, every step of every layer. */
  const steps = async (noise: boolean, byValue: boolean, shape: Partial<LlamaConfig> = {}) => {
    const { model, plan, evaluator, refresher } = await bench({ slots: 1024 }, shape, noise, byValue);
    const { calibration } = tinyTestModel(1, shape);
    const seen: { name: string; level: number; re: Float64Array }[] = [];
    const transformer = new EncryptedTransformer({
      model,
      calibration,
      plan,
      evaluator,
      refresher,
      trace: ({ name, level, value }) => seen.push({ name, level, re: evaluator.toSlots(value).re }),
    });
    const talk = transformer.conversation(open);
    for (const tokens of [secret, [7, 2]]) {
      const input = evaluator.fromSlots(embedRows(model, plan.client, tokens), plan.client.inputLevel);
      const out = await transformer.forward(talk, input, tokens.length);
      seen.push({ name: 'out', level: evaluator.levelOf(out), re: evaluator.toSlots(out).re });
    }
    return { seen, counts: evaluator.counts };
  };
  const apart = (a: Float64Array, b: Float64Array): number => {
    const squares = a.reduce((sum, value, i) => sum + (value - b[i]!) ** 2, 0);
    return Math.sqrt(squares / a.length);
  };

  test.each([
    ['grouped heads', {}],
    ['nothing a power of two', { dim: 18, headCount: 3, kvHeadCount: 3, hiddenDim: 27 }],
  ])('%s: every step has the values, levels and counts of working step by step', async (_, shape) => {
    const [full, quick] = [await steps(false, false, shape), await steps(false, true, shape)];
    expect(quick.seen.map(({ name, level }) => [name, level])).toEqual(
      full.seen.map(({ name, level }) => [name, level]),
    );
    const differences = full.seen.map(({ re }, i) => apart(re, quick.seen[i]!.re));
    expect(Math.max(...differences)).toBeLessThan(1e-11);
    expect(quick.counts).toEqual(full.counts);
  });

  test('the noise of every step is as large', async () => {
    const exact = await steps(false, true);
    const [full, quick] = [await steps(true, false), await steps(true, true)];
    exact.seen.forEach(({ re }, i) => {
      const ratio = apart(re, quick.seen[i]!.re) / apart(re, full.seen[i]!.re);
      // Where few values dominate, one draw of noise may be several times another.
      expect(ratio).toBeGreaterThan(0.2);
      expect(ratio).toBeLessThan(2.5);
    });
  });
});

describe('blocks in sequence', () => {
  test('every split of the private part gives the same rows', async () => {
    const { transformer, pass, oracle } = await bench();
    const tokens = [...secret, 2, 8, 6];
    const want = oracle([...open, ...tokens]).slice(3);
    for (const split of [
      [1, 1, 1, 1, 1, 1, 1],
      [4, 3],
      [3, 4],
      [2, 4, 1],
      [1, 4, 2],
    ]) {
      const talk = transformer.conversation(open);
      const got: Float64Array[] = [];
      for (const rows of split) got.push(...(await pass(talk, tokens.slice(got.length, got.length + rows))));
      expect(difference(got, want)).toBeLessThan(5e-3);
      expect(talk.cache.length).toBe(7);
      talk.cache.dispose();
    }
  });

  test('every split into public and private part gives the same rows', async () => {
    const { transformer, pass, oracle } = await bench();
    const tokens = [...open, ...secret];
    const want = oracle(tokens);
    for (let split = 3; split < tokens.length; split++) {
      const got = await pass(transformer.conversation(tokens.slice(0, split)), tokens.slice(split));
      expect(difference(got, want.slice(split))).toBeLessThan(5e-3);
    }
  });

  test('a later token never changes an earlier row', async () => {
    const { transformer, pass } = await bench();
    const before = await pass(transformer.conversation(open), secret);
    const after = await pass(transformer.conversation(open), [...secret.slice(0, 3), 20]);
    expect(difference(before.slice(0, 3), after.slice(0, 3))).toBe(0);
    expect(difference(before.slice(3), after.slice(3))).toBeGreaterThan(0.1);
  });

  test('dropped positions are forgotten', async () => {
    const { transformer, pass, oracle } = await bench();
    const talk = transformer.conversation(open);
    await pass(talk, secret);
    talk.cache.drop(2);
    const got = await pass(talk, [7, 2]);
    expect(difference(got, oracle([...open, 4, 9, 7, 2]).slice(5))).toBeLessThan(5e-3);
    expect(() => talk.cache.drop(3)).toThrow(/KV_CACHE_UNDERFLOW/);
    await pass(talk, [8]);
    expect(() => talk.cache.drop(1)).toThrow(/KV_CACHE_UNDERFLOW/);
  });

  test.each([
    [12, 4],
    [9, 6],
    [10, 4],
  ])(
    'at %d levels, any rows dropped from any block leave their columns to later ones',
    async (topLevel, cuts) => {
      // Room for eight positions only: every dropped column is needed again.
      const { transformer, pass, oracle, plan, model } = await bench({ topLevel, privateTokens: 8 });
      expect(plan.refreshes).toBe(cuts * model.config.layerCount - 1);
      const talk = transformer.conversation(open);
      const kept = [...open];
      for (const [tokens, dropped] of [
        [[4, 9, 11, 3], 3],
        [[7, 2, 5, 6], 4],
        [[10, 12], 0],
        [[13, 14, 15], 2],
        [[16], 0],
        [[17, 18, 19], 1],
      ] as const) {
        const got = await pass(talk, tokens);
        expect(difference(got, oracle([...kept, ...tokens]).slice(kept.length))).toBeLessThan(0.01);
        kept.push(...tokens.slice(0, tokens.length - dropped));
        talk.cache.drop(dropped);
        expect(talk.cache.columns).toEqual(kept.slice(3).map((_, i) => 3 + i));
      }
      expect(talk.cache.remaining).toBe(1);
    },
  );

  test('rotary angles hold far from the start', async () => {
    const shape = { contextLength: 520, layerCount: 1 };
    const { transformer, pass, oracle } = await bench({ slots: 2048, blockRows: 1 }, shape);
    const tokens = Array.from({ length: 512 }, (_, i) => (i === 0 ? 1 : 3 + ((7 * i) % 20)));
    const got = await pass(transformer.conversation(tokens.slice(0, 511)), tokens.slice(511));
    // Long rows leave the windows measured on short texts a little.
    expect(difference(got, oracle(tokens).slice(511))).toBeLessThan(0.05);
  });
});

describe('a long public part', () => {
  const long = (length: number) => [1, ...Array.from({ length: length - 1 }, (_, i) => 3 + ((7 * i) % 20))];
  const tiny = tinyTestModel(1, { contextLength: 300, layerCount: 1 }, 300);

  // 64 columns of 2 pairs, 32 of them private: 96 keys beside them, then 128 a page.
  test.each([
    [64, 12, 1],
    [65, 12, 1],
    [96, 12, 1],
    [97, 12, 2],
    [224, 12, 2],
    [225, 12, 3],
    [290, 12, 3],
  ])('of %d tokens at %d levels is seen on %d pages', async (length, topLevel, pages) => {
    const { transformer, pass, oracle, plan, refresher } = await bench({ topLevel }, {}, false, false, tiny);
    expect(plan.layout).toMatchObject({ columns: 64, pairs: 2, privateColumns: 32, publicCapacity: 96 });
    expect(publicPages(plan.layout, length)).toBe(pages);
    const tokens = [...long(length), ...secret, 5];
    const want = oracle(tokens).slice(length);
    const talk = transformer.conversation(tokens.slice(0, length));
    let last = { done: 0, total: 1 };
    const progress = (event: { done: number; total?: number }) => {
      last = { done: event.done, total: event.total ?? 0 };
    };
    const got = await pass(talk, secret, { progress });
    expect(last.done).toBe(last.total);
    expect(refresher.count).toBe(plan.refreshes + pageRefreshes(plan, pages));
    got.push(...(await pass(talk, [5])));
    expect(difference(got, want)).toBeLessThan(5e-3);
  });

  test('costs a refresh a page where a stretch leaves no level to take two pages apart', async () => {
    const two = tinyTestModel(1, { contextLength: 300 }, 300);
    const layers = two.calibration.layers.map((c) => ({ ...c, gate: 22 }));
    const calibration = { ...two.calibration, layers };
    const { transformer, pass, oracle, plan, refresher } = await bench({}, {}, false, false, {
      model: two.model,
      calibration,
    });
    expect(plan.cuts[1]).not.toContain('start');
    expect(plan.client.publicCapacity).toBe(299);
    const tokens = [...long(225), ...secret];
    const got = await pass(transformer.conversation(tokens.slice(0, 225)), secret);
    expect(difference(got, oracle(tokens).slice(225))).toBeLessThan(5e-3);
    expect(refresher.count).toBe(plan.refreshes + pageRefreshes(plan, 3));
  });

  test('is the same after its keys and values were written and read', async () => {
    const { transformer, pass, model } = await bench({}, {}, false, false, tiny);
    const tokens = long(100);
    const made = prefillPublic(model, tokens);
    const read = readPublic(publicId(model, tokens), writePublic(made));
    expect(read).toEqual(made);
    const want = await pass(transformer.conversation(tokens), secret);
    expect(difference(await pass(transformer.conversation(read), secret), want)).toBe(0);
    expect(publicId(model, tokens.slice(1))).not.toBe(made.id);
    expect(() => readPublic('x', writePublic(made).slice(0, -1))).toThrow(/DATA_TRUNCATED/);
  });

  test('costs no refresh until the second ciphertext is full', async () => {
    const { plan, model } = await bench({}, {}, false, false, tiny);
    const { calibration } = tiny;
    const work = (length: number) => workOfBlock(model, calibration, plan, length);
    const [short, full, more] = [await work(1), await work(224), await work(225)];
    expect([short.refreshes, full.refreshes, more.refreshes]).toEqual([3, 3, 5]);
    expect(full.relinearisations).toBeLessThan(1.35 * short.relinearisations);
    expect(full.rotations + full.mapRotations).toBeLessThan(1.1 * (short.rotations + short.mapRotations));
  });

  test('has a refresh for each page where no level is left to take two apart', async () => {
    const { transformer, pass, oracle, plan, refresher } = await bench(
      { topLevel: 9 },
      {},
      false,
      false,
      tiny,
    );
    expect(plan).toMatchObject({ sharesAll: false, client: { publicCapacity: 299 } });
    const tokens = [...long(97), ...secret];
    const got = await pass(transformer.conversation(tokens.slice(0, 97)), secret);
    expect(difference(got, oracle(tokens).slice(97))).toBeLessThan(5e-3);
    expect(refresher.count).toBe(plan.refreshes + pageRefreshes(plan, 2));
  });

  test('stays encoded when another one is asked about', async () => {
    const { transformer, pass } = await bench({}, {}, false, false, tiny);
    const [a, b] = [long(10), long(20)];
    const encodings = async (open: readonly number[]) => {
      const before = transformer.plains.encodings;
      await pass(transformer.conversation(open), secret);
      return transformer.plains.encodings - before;
    };
    await encodings(a);
    const fresh = await encodings(b);
    expect(await encodings(a)).toBeLessThan(fresh);
    expect(await encodings(a)).toBe(await encodings(b));
  });
});

describe('what goes wrong has a name', () => {
  test('a conversation that outgrows its plan', async () => {
    const { transformer, pass, plan } = await bench({ privateTokens: 6 });
    const talk = transformer.conversation(open);
    await pass(talk, secret);
    await expect(pass(talk, secret)).rejects.toThrow(/PLAN_WINDOW_EXCEEDED/);
    expect(talk.cache.length).toBe(4);
    await expect(pass(talk, secret.slice(0, 2))).resolves.toHaveLength(2);
    const long = [1, ...Array.from({ length: plan.client.publicCapacity }, () => 5)];
    expect(() => transformer.conversation(long)).toThrow(/PLAN_WINDOW_EXCEEDED/);
    expect(() => transformer.conversation([5])).toThrow(/PUBLIC_PREFIX_INVALID/);
    expect(() => transformer.conversation([])).toThrow(/PUBLIC_PREFIX_INVALID/);
  });

  test('too many rows, wrong plan, wrong levels', async () => {
    const { transformer, pass, plan, evaluator, model } = await bench();
    const talk = transformer.conversation(open);
    await expect(pass(talk, [...secret, 5])).rejects.toThrow(/ENGINE_BLOCK_ROWS/);
    const other = createCleartextEvaluator({ slots: 2048, levels: 12, logScale: 40 });
    const { calibration } = tinyTestModel(1);
    const make = (e: CleartextEvaluator, options = {}) =>
      new EncryptedTransformer({
        model,
        calibration,
        plan,
        evaluator: e,
        refresher: new CleartextRefresher(e, options),
      });
    expect(() => make(other)).toThrow(/PLAN_MISMATCH/);
    expect(() => make(evaluator, { outputLevel: 11 })).toThrow(/PLAN_MISMATCH/);
    expect(() => make(evaluator, { inputLevel: 1 })).toThrow(/PLAN_MISMATCH/);
  });

  test('a stopped pass leaves the conversation as it was', async () => {
    const { transformer, pass, oracle } = await bench();
    const talk = transformer.conversation(open);
    const stop = new AbortController();
    let seen = 0;
    const stopping = pass(talk, secret, {
      signal: stop.signal,
      progress: () => {
        if (++seen === 12) stop.abort();
      },
    });
    await expect(stopping).rejects.toMatchObject({
      code: 'ENGINE_ABORTED',
      retryable: true,
    } satisfies Partial<SottoError>);
    const got = await pass(talk, secret);
    expect(difference(got, oracle([...open, ...secret]).slice(3))).toBeLessThan(5e-3);
  });

  test('progress reaches its total', async () => {
    const { transformer, pass } = await bench();
    let last = { done: 0, total: 1 };
    await pass(transformer.conversation(open), secret, {
      progress: (event) => {
        last = event;
      },
    });
    expect(last.done).toBe(last.total);
  });

  test('an input beyond the calibrated range is an error, not an answer', async () => {
    const { transformer, evaluator, model, plan } = await bench({}, {}, true);
    const { re } = embedRows(model, plan.client, secret);
    const wild = { re: re.map((value) => 1.7 * value), im: null };
    const outcome = async () => {
      const out = await transformer.forward(
        transformer.conversation(open),
        evaluator.fromSlots(wild, plan.client.inputLevel),
        4,
      );
      return readHidden(plan.client, evaluator.toSlots(out), 4);
    };
    await expect(outcome()).rejects.toThrow(/ENGINE_OUTPUT_ESCAPED|HE_REFRESH_RANGE/);
  });
});

test('a cache with room for nothing is slow, not wrong', async () => {
  const { model, plan, evaluator, refresher, pass, transformer } = await bench();
  const { calibration } = tinyTestModel(1);
  const none = new EncryptedTransformer({
    model,
    calibration,
    plan,
    evaluator,
    refresher,
    weightCacheBytes: 0,
  });
  const input = evaluator.fromSlots(embedRows(model, plan.client, secret), plan.client.inputLevel);
  const out = await none.forward(none.conversation(open), input, 4);
  const want = await pass(transformer.conversation(open), secret);
  expect(difference(readHidden(plan.client, evaluator.toSlots(out), 4), want)).toBe(0);
});

test('encoded weights stay within their budget and do not change the result', async () => {
  const { model, plan, evaluator, refresher, pass, transformer } = await bench();
  const { calibration } = tinyTestModel(1);
  const small = new EncryptedTransformer({
    model,
    calibration,
    plan,
    evaluator,
    refresher,
    weightCacheBytes: 60,
    plainBytes: () => 1,
  });
  const input = evaluator.fromSlots(embedRows(model, plan.client, secret), plan.client.inputLevel);
  const out = await small.forward(small.conversation(open), input, 4);
  const want = await pass(transformer.conversation(open), secret);
  expect(difference(readHidden(plan.client, evaluator.toSlots(out), 4), want)).toBe(0);
  expect(small.plains.sizeBytes).toBeLessThanOrEqual(60);
  // The second pass finds part of the weights where the first left them.
  const first = small.plains.encodings;
  await small.forward(small.conversation(open), input, 4);
  expect(small.plains.encodings - first).toBeLessThan(first);
  const before = transformer.plains.encodings;
  await pass(transformer.conversation(open), secret);
  // Only masks and maps of the block are made again.
  expect(transformer.plains.encodings - before).toBeLessThan(before / 3);
  transformer.dispose();
  expect(transformer.plains.sizeBytes).toBe(0);
});
