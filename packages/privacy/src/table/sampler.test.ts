import { describe, expect, it } from 'vitest';
import { testRandom, themedVectors } from '../../test-support/vectors.js';
import { buildStaircase } from '../build/staircase.js';
import { FixedReply, ReplyMemo } from '../memo.js';
import { chachaBlock } from '../random/chacha.js';
import { Hmac, type RandomSource, SystemSource, uniformBelow } from '../random/source.js';
import { drawWeighted, TableSampler } from './sampler.js';
import { expandBlock } from './table.js';

/** Counts up through all targets in turn. */
class Script implements RandomSource {
  #at = 0;
  readonly #values: readonly number[];
  constructor(values: readonly number[]) {
    this.#values = values;
  }
  u32(): number {
    return this.#values[this.#at++]!;
  }
}

describe('sampler', () => {
  it('maps every target to the output that owns it', () => {
    const weights = Uint32Array.of(9, 3, 0, 4, 1);
    const found = Array.from({ length: 8 }, (_, target) =>
      drawWeighted(weights, 1, 4, 8, new Script([target << 29])),
    );
    expect(found).toEqual([0, 0, 0, 2, 2, 2, 2, 3]);
  });

  it('is exact near the largest total', () => {
    const weights = Uint32Array.of(2 ** 31 - 2, 1);
    expect(drawWeighted(weights, 0, 2, 2 ** 31 - 1, new Script([(2 ** 31 - 3) * 2]))).toBe(0);
    expect(drawWeighted(weights, 0, 2, 2 ** 31 - 1, new Script([(2 ** 31 - 2) * 2]))).toBe(1);
  });

  it('rejects instead of folding', () => {
    expect(uniformBelow(new Script([0xffffffff, 0xe0000000, 0x40000000]), 5)).toBe(2);
    expect(uniformBelow(new Script([]), 1)).toBe(0);
    expect(uniformBelow(new Script([0xffffffff]), 2 ** 31)).toBe(2 ** 31 - 1);
  });

  it('draws with the frequencies of the table', () => {
    const table = buildStaircase(themedVectors(100), {
      name: 'test',
      provenance: 'made up',
      notion: 'ldp-within-block',
      epsilon: '2',
      k: 10,
      m: 3,
    });
    const sampler = new TableSampler(table);
    const source = new SystemSource();
    const draws = 200_000;
    for (const id of [0, 57]) {
      const block = table.blocks[sampler.blockOf(id)]!;
      const rows = expandBlock(table, block);
      const k = block.members.length;
      const x = sampler.positionOf(id);
      const total = rows.subarray(x * k, (x + 1) * k).reduce((sum, weight) => sum + weight, 0);
      const counts = new Map<number, number>();
      for (let i = 0; i < draws; i++) {
        const y = sampler.draw(id, source);
        counts.set(y, (counts.get(y) ?? 0) + 1);
      }
      let chiSquare = 0;
      block.members.forEach((word, y) => {
        const expected = (draws * rows[x * k + y]!) / total;
        chiSquare += ((counts.get(word) ?? 0) - expected) ** 2 / expected;
      });
      // 9 degrees of freedom; 50 has probability 1e-7.
      expect(chiSquare).toBeLessThan(50);
    }
  });

  it('takes the same steps for every word of a block', () => {
    const table = buildStaircase(themedVectors(40), {
      name: 'steps',
      provenance: 'made up',
      notion: 'ldp-within-block',
      epsilon: '1',
      k: 10,
      m: 3,
    });
    const sampler = new TableSampler(table);
    const reads = (id: number) => {
      const random = testRandom(3);
      let count = 0;
      const source = {
        u32() {
          count++;
          return Math.floor(random() * 2 ** 32);
        },
      };
      for (let i = 0; i < 1000; i++) sampler.draw(id, source);
      return count;
    };
    const [first, ...others] = Array.from(table.blocks[0]!.members, reads);
    expect(first).toBeGreaterThanOrEqual(1000);
    for (const other of others) expect(other).toBe(first);
  });

  it('reaches every word from anywhere under the whole-vocabulary notion', () => {
    const table = buildStaircase(themedVectors(40), {
      name: 'whole',
      provenance: 'made up',
      notion: 'ldp-whole-vocabulary',
      epsilon: '1',
      k: 5,
      m: 2,
    });
    const sampler = new TableSampler(table);
    const source = new SystemSource();
    for (const id of [-1, 0, 39]) {
      const seen = new Set(Array.from({ length: 4000 }, () => sampler.draw(id, source)));
      expect(seen.size).toBe(40);
    }
  });
});

describe('the randomness of fixed replies', () => {
  it('derives keys by HMAC-SHA-256', () => {
    // RFC 4231, test case 2.
    const hmac = new Hmac(new TextEncoder().encode('Jefe'));
    const tag = hmac.digest(new TextEncoder().encode('what do ya want for nothing?'));
    expect(Buffer.from(tag).toString('hex')).toBe(
      '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
    );
  });

  it('is the ChaCha20 stream, but for the words of the tag', () => {
    // RFC 8439, 2.3.2.
    const key = new Uint32Array(Uint8Array.from({ length: 32 }, (_, i) => i).buffer);
    const block = chachaBlock(key, 1, [0x09000000, 0x4a000000, 0]);
    expect([...block.subarray(0, 4)]).toEqual([0xe4e7f110, 0x15593bd1, 0x1fdd0f50, 0xc47120a3]);
    expect(block[15]).toBe(0x4e3c50a2);
    const reply = new FixedReply(key, [1, 2, 3]);
    const words = Array.from({ length: 30 }, () => reply.u32());
    const blocks = [0, 1, 2].map((counter) => chachaBlock(key, counter, [1, 2, 3]));
    expect(words).toEqual([...blocks[0]!.subarray(0, 13), ...blocks[1]!, blocks[2]![0]]);
    expect(reply.tag).toMatch(/^[\w-]{12}$/);
    const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const low = [...reply.tag].map((digit) => digits.indexOf(digit));
    for (const [i, word] of blocks[0]!.subarray(13).entries()) {
      const value = low.slice(4 * i, 4 * i + 4).reduce((sum, digit, at) => sum + digit * 64 ** at, 0);
      expect(value).toBe(word % 2 ** 24);
    }
  });

  it('separates contexts, words and occurrences', () => {
    const memo = new ReplyMemo(new Uint8Array(32), 0);
    const first = (source: RandomSource) => source.u32();
    const context = memo.context('t', 'c');
    const values = [
      first(context.word(1)),
      first(context.word(1, 1)),
      first(context.word(2)),
      first(context.text('1')),
      first(context.text('1', 1)),
      first(memo.context('t', 'd').word(1)),
      first(memo.context('tc', '').word(1)),
      first(new ReplyMemo(new Uint8Array(32), 1).context('t', 'c').word(1)),
    ];
    expect(new Set(values).size).toBe(values.length);
    expect(first(memo.context('t', 'c').word(1))).toBe(values[0]);
    const tags = [
      context.word(1),
      context.word(1, 1),
      context.word(2),
      context.text('1'),
      context.text('1', 1),
    ];
    expect(new Set(tags.map(({ tag }) => tag)).size).toBe(tags.length);
    expect(memo.context('t', 'c').word(1).tag).toBe(context.word(1).tag);
  });
});
