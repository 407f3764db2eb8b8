import { accelerate, argmax, forward, generate, KvCache, readModelFile } from '@sotto/model';
import { describe, expect, it } from 'vitest';
import {
  type BlockRequest,
  type Drafter,
  DraftTable,
  draftBlock,
  modelDrafter,
  ngramDrafter,
  tableDrafter,
} from '../index.js';

describe('an n-gram drafter', () => {
  const { draft } = ngramDrafter();

  it('goes on as the longest repeated ending went on', () => {
    expect(draft([1, 7, 8, 9, 5, 8, 3, 7, 8], 3)).toEqual([9, 5, 8]);
    expect(draft([1, 4, 4], 2)).toEqual([4, 4]);
    // The later of two equal endings counts.
    expect(draft([1, 6, 2, 6, 3, 6], 1)).toEqual([3]);
  });

  it('says nothing about what is new', () => {
    expect(draft([1, 2, 3], 4)).toEqual([]);
    expect(draft([1], 4)).toEqual([]);
    expect(draft([1, 2, 1, 2], 0)).toEqual([]);
  });
});

describe('a table of drafts', () => {
  const texts = [
    [1, 5, 6, 7, 8],
    [1, 5, 6, 7, 8],
    [2, 6, 7, 9, 3],
    [2, 6, 7, 9, 4],
  ];
  const table = DraftTable.count('ab'.repeat(32), texts);

  it('follows the longest ending it has seen twice', () => {
    expect([table.after([5, 6, 7]), table.after([2, 6, 7]), table.after([9])]).toEqual([8, 9, 3]);
    expect(table.after([50])).toBeNull();
    expect(tableDrafter(table).draft([1, 5], 3)).toEqual([6, 7, 8]);
  });

  it('is the same after writing and reading', () => {
    const read = DraftTable.read(table.write());
    expect(read.modelDigest).toBe('ab'.repeat(32));
    expect(read.size).toBe(table.size);
    for (const text of texts)
      for (let n = 1; n < 5; n++) expect(read.after(text.slice(0, n))).toBe(table.after(text.slice(0, n)));
    expect(() => DraftTable.read(table.write().slice(0, -1))).toThrow(/DATA_TRUNCATED/);
    expect(() => DraftTable.read(new Uint8Array(32))).toThrow(/DRAFT_TABLE_INVALID/);
    expect(() => DraftTable.count('ab', [[70_000]])).toThrow(/DRAFT_TABLE_INVALID/);
  });
});

describe('a model drafter', async () => {
  const { weights } = await readModelFile({});
  const model = accelerate(weights);

  it('says what the model says, whatever was drafted before', () => {
    const drafter = modelDrafter(model, 512);
    const greedy = (text: readonly number[], count: number) => [
      ...generate(model, text, { maxTokens: count, temperature: 0, endTokens: new Set() }),
    ];
    const text = [1, 403, 407, 261, 378];
    const want = greedy(text, 8);
    expect(drafter.draft(text, 5)).toEqual(want.slice(0, 5));
    const other = [...text, 410];
    expect(drafter.draft(other, 3)).toEqual(greedy(other, 3));
    expect(drafter.draft([...text, ...want.slice(0, 3)], 4)).toEqual(want.slice(3, 7));
    expect(drafter.draft(text, 0)).toEqual([]);
    const { logits } = forward(model, [1], new KvCache(model.config.layerCount));
    expect(drafter.draft([1], 1)).toEqual([argmax(logits[0]!)]);
  });

  it('refuses another vocabulary', () => {
    expect(() => modelDrafter(model, 32_000)).toThrow(/DRAFT_VOCABULARY/);
  });
});

describe('a block', () => {
  const always = (token: number): Drafter => ({
    name: 'test',
    draft: (_, count) => Array(count).fill(token),
  });
  const request: BlockRequest = {
    text: [1, 2, 3, 4, 5],
    certain: 2,
    publicTokens: 3,
    wanted: 100,
    window: { blockRows: 8, publicTokens: 9, privateTokens: 12, positions: 64 },
    knows: (token) => token !== 9,
  };

  it('is filled with guesses up to its rows, the window and the answer', () => {
    const block = (change: Partial<BlockRequest>, rows?: number) =>
      draftBlock({ ...request, ...change }, { drafter: always(7), ...(rows === undefined ? {} : { rows }) });
    expect(block({})).toEqual({ tokens: [4, 5, 7, 7, 7, 7, 7, 7], certain: 2, drafted: 6 });
    expect(block({}, 4).drafted).toBe(2);
    expect(block({ wanted: 2 }).drafted).toBe(1);
    expect(block({ wanted: 1 }).drafted).toBe(0);
    expect(block({ window: { ...request.window, privateTokens: 5 } }).drafted).toBe(3);
    expect(block({ window: { ...request.window, positions: 6 } }).drafted).toBe(1);
    expect(draftBlock(request, undefined).tokens).toEqual([4, 5]);
  });

  it('has no guess that cannot be encrypted', () => {
    const drafter: Drafter = { name: 'test', draft: () => [7, 9, 7] };
    expect(draftBlock(request, { drafter })).toMatchObject({ tokens: [4, 5, 7], drafted: 1 });
  });

  it('of a fixed number of rows is full whatever is guessed and wanted', () => {
    const none: Drafter = { name: 'test', draft: () => [] };
    for (const drafter of [none, always(7), always(9)]) {
      const { tokens } = draftBlock({ ...request, wanted: 1 }, { drafter, rows: 6, fixed: true });
      expect(tokens).toHaveLength(6);
    }
    expect(draftBlock(request, { drafter: none, rows: 6, fixed: true })).toEqual({
      tokens: [4, 5, 2, 3, 4, 5],
      certain: 2,
      drafted: 0,
    });
  });
});
