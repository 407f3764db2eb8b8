import { type RandomSource, uniformBelow } from '../random/source.js';
import { expandBlock, placeWords, rowSum, type SanitizerTable, type WordPlaces } from './table.js';

/**
 * Position y with probability weights[y] / total, by a scan that always visits all k entries and never branches on them.
 * @param total sum of the k weights from `offset`, below 2^31
 */
export function drawWeighted(
  weights: Uint32Array,
  offset: number,
  k: number,
  total: number,
  source: RandomSource,
): number {
  const target = uniformBelow(source, total);
  let cumulative = 0;
  let index = 0;
  for (let y = 0; y < k; y++) {
    cumulative = (cumulative + weights[offset + y]!) | 0;
    // 1 while the running sum is at or below the target: the sign bit of cumulative - target - 1.
    index += (cumulative - target - 1) >>> 31;
  }
  return index;
}

interface ExpandedBlock {
  readonly k: number;
  readonly rows: Uint32Array;
  readonly totals: Float64Array;
}

/** Draws outputs of a table. Construct it only from tables that {@link certify} accepted. */
export class TableSampler {
  readonly table: SanitizerTable;
  readonly #places: WordPlaces;
  readonly #expanded: ExpandedBlock[] = [];
  readonly #stageRow: Uint32Array;
  readonly #stageTotal: number;
  readonly #ids: Map<string, number>;

  constructor(table: SanitizerTable) {
    this.table = table;
    this.#places = placeWords(table);
    this.#ids = new Map(table.words.map((word, id) => [word, id]));
    const stage = table.stage;
    this.#stageRow = new Uint32Array(stage === null ? 0 : table.blocks.length);
    this.#stageTotal =
      stage === null ? 0 : stage.near * stage.high + (table.blocks.length - stage.near) * stage.low;
  }

  /** Id of a word as it stands in the vocabulary (lower case), or -1. */
  idOf(word: string): number {
    return this.#ids.get(word) ?? -1;
  }

  blockOf(id: number): number {
    return this.#places.block[id]!;
  }

  positionOf(id: number): number {
    return this.#places.position[id]!;
  }

  /** Output word id for input word id; `-1`, an unknown word, is allowed under the whole-vocabulary notion only. */
  draw(id: number, source: RandomSource): number {
    if (this.table.stage === null) return this.#drawWithin(this.#places.block[id]!, id, source);
    if (id < 0) {
      const block = uniformBelow(source, this.table.blocks.length);
      return this.#uniform(block, source);
    }
    const own = this.#places.block[id]!;
    const block = this.#drawBlock(own, source);
    return block === own ? this.#drawWithin(own, id, source) : this.#uniform(block, source);
  }

  #drawBlock(own: number, source: RandomSource): number {
    const { near, high, low, support } = this.table.stage!;
    this.#stageRow.fill(low);
    for (let j = 0; j < near; j++) this.#stageRow[support[own * near + j]!] = high;
    return drawWeighted(this.#stageRow, 0, this.#stageRow.length, this.#stageTotal, source);
  }

  #uniform(block: number, source: RandomSource): number {
    const { members } = this.table.blocks[block]!;
    return members[uniformBelow(source, members.length)]!;
  }

  #drawWithin(block: number, id: number, source: RandomSource): number {
    const { k, rows, totals } = this.#expand(block);
    const x = this.#places.position[id]!;
    return this.table.blocks[block]!.members[drawWeighted(rows, x * k, k, totals[x]!, source)]!;
  }

  #expand(block: number): ExpandedBlock {
    const known = this.#expanded[block];
    if (known !== undefined) return known;
    const k = this.table.blocks[block]!.members.length;
    const rows = expandBlock(this.table, this.table.blocks[block]!);
    const totals = Float64Array.from({ length: k }, (_, x) => rowSum(rows, k, x));
    const made = { k, rows, totals };
    this.#expanded[block] = made;
    return made;
  }
}
