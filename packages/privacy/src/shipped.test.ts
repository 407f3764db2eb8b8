import { describe, expect, it } from 'vitest';
import { tableChannel } from './attacks/channel.js';
import { tableBayesSuccess } from './attacks/inference.js';
import { wordPrior } from './attacks/statistics.js';
import { keepCeiling } from './mechanisms/mechanism.js';
import { readShippedTable, shippedTables } from './shipped.js';
import { certify } from './table/certificate.js';
import { decodeTable, encodeTable, tableDigest } from './table/format.js';
import { keptShare } from './table/statistics.js';
import { expandBlock, rowSum } from './table/table.js';

describe('shipped tables', async () => {
  const tables = await shippedTables();

  it('offer both notions, with and without a lexicon', () => {
    expect(tables.map(({ name }) => name)).toEqual([
      'neutral-1',
      'neutral-3',
      'lexicon-1',
      'lexicon-3',
      'whole-10',
    ]);
  });

  it.each(tables)('$name is what it says', async ({ name, digest }) => {
    const bytes = await readShippedTable(name);
    const table = decodeTable(bytes);
    expect(tableDigest(bytes)).toBe(digest);
    expect(Buffer.compare(encodeTable(table), bytes)).toBe(0);
    expect(table.name).toBe(name);
    expect(table.words.length).toBe(20_000);
    const epsilon = Number(name.split('-')[1]);
    const certificate = certify(table);
    expect(certificate.holds).toBe(true);
    expect(certificate.epsilon).toBeLessThanOrEqual(epsilon + 1e-9);
    expect(certificate.epsilon).toBeGreaterThan(0.99 * epsilon);
    // What receipts say: a draw of each word for itself, by the rows of the mechanism or by the channel where the block is drawn too.
    const channel = tableChannel(table);
    let kept = 0;
    for (const word of [3, 500, 19_999]) {
      const { words, chances } = channel.behind(word);
      kept += chances[words.indexOf(word)]! / 3;
    }
    expect(keptShare(table) / kept).toBeCloseTo(1, 6);
    const success = tableBayesSuccess(table, wordPrior(table.words.length, 'zipf'));
    if (table.stage !== null) return;
    // The largest share of keeping a word, and blocks so even in frequency that guessing gains little on it.
    let keep = 0;
    for (const block of table.blocks) {
      const k = block.members.length;
      const rows = expandBlock(table, block);
      for (let x = 0; x < k; x++) keep = Math.max(keep, rows[x * k + x]! / rowSum(rows, k, x));
      expect(keep).toBeLessThanOrEqual(keepCeiling(epsilon, k));
    }
    expect(success).toBeLessThanOrEqual(1.3 * keep);
  });

  it('are known by name only', async () => {
    await expect(readShippedTable('../package')).rejects.toThrow(/TABLE_UNKNOWN/);
  });
});
