import { type Mechanism, tableMechanism } from '../mechanisms/mechanism.js';
import type { RandomSource } from '../random/source.js';
import { TableSampler } from '../table/sampler.js';
import { expandBlock, rowSum, type SanitizerTable } from '../table/table.js';

/** The words that may be behind an output, and how likely each of them gives it. */
export interface Behind {
  readonly words: Uint32Array;
  /** P(output | word), above 0. */
  readonly chances: Float64Array;
}

/** A sanitizer of words as its receiver sees it. */
export interface Channel {
  /** What becomes of a word. */
  sample(word: number, source: RandomSource): number;
  /** What becomes of a word that is not in the vocabulary; null where it goes to a visible class, and letter case is visible too. */
  readonly sampleUnknown: ((source: RandomSource) => number) | null;
  behind(output: number): Behind;
}

/** A mechanism with public groups: the words behind an output are those of its group. */
export function mechanismChannel(mechanism: Mechanism): Channel {
  const groupOf = new Map<number, Uint32Array>();
  for (const group of mechanism.groups) for (const word of group) groupOf.set(word, group);
  const known = new Map<number, Behind>();
  const behind = (output: number): Behind => {
    const made = known.get(output);
    if (made !== undefined) return made;
    const chances = Array.from(groupOf.get(output)!, (word) => {
      const { outputs, probabilities } = mechanism.row(word);
      return { word, chance: probabilities[outputs.indexOf(output)] ?? 0 };
    }).filter(({ chance }) => chance > 0);
    const found = {
      words: Uint32Array.from(chances, ({ word }) => word),
      chances: Float64Array.from(chances, ({ chance }) => chance),
    };
    known.set(output, found);
    return found;
  };
  return { sample: (word, source) => mechanism.sample(word, source), sampleUnknown: null, behind };
}

/** A table of either notion. Under the whole-vocabulary notion every word may be behind every output. */
export function tableChannel(table: SanitizerTable): Channel {
  const { stage } = table;
  if (stage === null) return mechanismChannel(tableMechanism(table));
  const sampler = new TableSampler(table);
  const { near, high, low, support } = stage;
  const stageTotal = near * high + (table.blocks.length - near) * low;
  const behind = (output: number): Behind => {
    const own = sampler.blockOf(output);
    const members = table.blocks[own]!.members.length;
    const words = Uint32Array.from(table.words, (_, id) => id);
    const chances = new Float64Array(words.length);
    table.blocks.forEach((block, from) => {
      const isNear = support.subarray(from * near, (from + 1) * near).includes(own);
      const share = (isNear ? high : low) / stageTotal;
      if (from !== own) {
        for (const word of block.members) chances[word] = share / members;
        return;
      }
      const rows = expandBlock(table, block);
      const y = sampler.positionOf(output);
      block.members.forEach((word, x) => {
        chances[word] = (share * rows[x * members + y]!) / rowSum(rows, members, x);
      });
    });
    return { words, chances };
  };
  return {
    sample: (word, source) => sampler.draw(word, source),
    sampleUnknown: (source) => sampler.draw(-1, source),
    behind,
  };
}
