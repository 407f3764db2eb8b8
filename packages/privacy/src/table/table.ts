import { SottoError } from '@sotto/base';
import type { Ratio } from '../exact/ratio.js';

/**
 * What a table promises.
 * - `ldp-within-block`: two words of the same block are indistinguishable up to the ratio; which block a word is in is public.
 * - `ldp-whole-vocabulary`: any two words, known or unknown, are indistinguishable up to the ratio; the block is drawn too.
 */
export type Notion = 'ldp-within-block' | 'ldp-whole-vocabulary';

/** Output weights of a block of k words, as integers; row x, divided by its sum, is the distribution of outputs on input x. */
export type BlockWeights =
  /** `support` holds, for each of the k words, the positions of its `near` outputs of high weight; all others weigh low. */
  | { readonly kind: 'staircase'; readonly near: number; readonly support: Uint16Array }
  /** k x k weights, row by row. */
  | { readonly kind: 'dense'; readonly rows: Uint32Array };

export interface Block {
  /** Word ids; a position in this list is a position in rows and columns of the weights. */
  readonly members: Uint32Array;
  readonly weights: BlockWeights;
}

/** The draw of the output's block from the input's block, for the whole-vocabulary notion. */
export interface BlockStage {
  readonly high: number;
  readonly low: number;
  /** How many blocks have high weight; the own block is one of them. */
  readonly near: number;
  /** For each block the ids of its near blocks. */
  readonly support: Uint32Array;
}

/**
 * A sanitizer as data: nothing but integers decides what is drawn.
 *
 * On a word of the vocabulary, `ldp-within-block` draws an output of its block by its row. `ldp-whole-vocabulary` first draws a block
 * by {@link BlockStage}; the own block answers by the word's row, any other block uniformly; an unknown word gets a uniform block and a
 * uniform word of it.
 */
export interface SanitizerTable {
  readonly name: string;
  /** Where words, vectors and coordinates came from, for people. */
  readonly provenance: string;
  readonly notion: Notion;
  /** e^epsilon that the file claims; a checker compares it with the weights. */
  readonly claimed: Ratio;
  /** Weights of near and far outputs in staircase blocks. */
  readonly high: number;
  readonly low: number;
  /** Nominal block size and number of near outputs. */
  readonly k: number;
  readonly m: number;
  /** Most frequent first. */
  readonly words: readonly string[];
  /** Words with a smaller id are common: no block mixes common words with others. */
  readonly commonWords: number;
  readonly blocks: readonly Block[];
  readonly stage: BlockStage | null;
}

/** The k x k weights of a block, row by row. */
export function expandBlock(table: SanitizerTable, block: Block): Uint32Array {
  if (block.weights.kind === 'dense') return block.weights.rows;
  const k = block.members.length;
  const { near, support } = block.weights;
  const rows = new Uint32Array(k * k).fill(table.low);
  for (let x = 0; x < k; x++)
    for (let j = 0; j < near; j++) rows[x * k + support[x * near + j]!] = table.high;
  return rows;
}

/** Sum of one row; exact, because k is below 2^16 and weights below 2^32. */
export function rowSum(rows: Uint32Array, k: number, x: number): number {
  let sum = 0;
  for (let y = 0; y < k; y++) sum += rows[x * k + y]!;
  return sum;
}

/** Block and position of every word. */
export interface WordPlaces {
  readonly block: Uint32Array;
  readonly position: Uint16Array;
}

/** @throws `TABLE_STRUCTURE` when a word lies in no block or in two. */
export function placeWords(table: SanitizerTable): WordPlaces {
  const block = new Uint32Array(table.words.length).fill(0xffffffff);
  const position = new Uint16Array(table.words.length);
  table.blocks.forEach(({ members }, b) => {
    members.forEach((word, at) => {
      if (word >= block.length || block[word] !== 0xffffffff)
        structureError('a word is in two blocks, or unknown', b);
      block[word] = b;
      position[word] = at;
    });
  });
  const lost = block.indexOf(0xffffffff);
  if (lost >= 0) structureError('a word is in no block', lost);
  return { block, position };
}

export function structureError(reason: string, at: number): never {
  throw new SottoError('The sanitizer table is not well formed.', {
    code: 'TABLE_STRUCTURE',
    facts: { reason, at },
    fix: 'Build or fetch the table again.',
  });
}
