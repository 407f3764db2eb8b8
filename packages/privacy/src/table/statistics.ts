import { expandBlock, rowSum, type SanitizerTable } from './table.js';

/** Share of the words of a table that draw themselves, all words alike. */
export function keptShare(table: SanitizerTable): number {
  const { stage, blocks } = table;
  const own =
    stage === null ? 1 : stage.high / (stage.near * stage.high + (blocks.length - stage.near) * stage.low);
  let sum = 0;
  for (const block of blocks) {
    const k = block.members.length;
    const rows = expandBlock(table, block);
    for (let x = 0; x < k; x++) sum += rows[x * k + x]! / rowSum(rows, k, x);
  }
  return (own * sum) / table.words.length;
}

/** -log2 of the share of each word's block when words follow Zipf's law, P(rank) ~ 1 / (rank + 10). */
export function blockSurpriseBits(table: SanitizerTable): Float64Array {
  let total = 0;
  for (let rank = 0; rank < table.words.length; rank++) total += 1 / (rank + 11);
  const bits = new Float64Array(table.words.length);
  for (const { members } of table.blocks) {
    let share = 0;
    for (const id of members) share += 1 / ((id + 11) * total);
    for (const id of members) bits[id] = -Math.log2(share);
  }
  return bits;
}

/** Entropy of the block of a word in bits when words follow Zipf's law, P(rank) ~ 1 / (rank + 10). */
export function blockEntropyBits(table: SanitizerTable): number {
  const surprise = blockSurpriseBits(table);
  let total = 0;
  let sum = 0;
  surprise.forEach((bits, rank) => {
    total += 1 / (rank + 11);
    sum += bits / (rank + 11);
  });
  return sum / total;
}
