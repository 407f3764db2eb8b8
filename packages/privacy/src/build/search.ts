import { tableBayesSuccess } from '../attacks/inference.js';
import { wordPrior } from '../attacks/statistics.js';
import type { SanitizerTable } from '../table/table.js';
import { buildStaircase, groupWords, type StaircaseOptions } from './staircase.js';
import type { WordVectors } from './vectors.js';

/** A block size with a number of near words, and what it costs and gives. */
export interface Shape {
  readonly k: number;
  readonly m: number;
  /** Best guess without context under a Zipf prior. */
  readonly attackSuccess: number;
  /** Expected squared distance of word and substitute under the same prior; smaller is more useful. */
  readonly distortion: number;
}

/** Expected squared distance of word and substitute in the coordinates of the blocks. */
function distortion(
  table: SanitizerTable,
  rows: Float64Array,
  dimension: number,
  prior: Float64Array,
): number {
  let expected = 0;
  for (const { members, weights } of table.blocks) {
    if (weights.kind !== 'staircase') continue;
    const k = members.length;
    const total = weights.near * table.high + (k - weights.near) * table.low;
    for (let x = 0; x < k; x++) {
      let [all, near] = [0, 0];
      const isNear = new Set(weights.support.subarray(x * weights.near, (x + 1) * weights.near));
      for (let y = 0; y < k; y++) {
        let square = 0;
        const [from, to] = [members[x]! * dimension, members[y]! * dimension];
        for (let d = 0; d < dimension; d++) square += (rows[from + d]! - rows[to + d]!) ** 2;
        all += square;
        if (isNear.has(y)) near += square;
      }
      expected += (prior[members[x]!]! * (table.low * (all - near) + table.high * near)) / total;
    }
  }
  return expected;
}

/**
 * Tries block sizes and numbers of near words at one epsilon and sorts what stays within an attack success by usefulness, best first.
 * For tables of the block notion.
 * @param mostSuccess largest attack success under a Zipf prior, e.g. 0.12
 */
export function searchShapes(
  vectors: WordVectors,
  options: Omit<StaircaseOptions, 'k' | 'm' | 'notion'>,
  shapes: readonly (readonly [k: number, m: number])[],
  mostSuccess: number,
): Shape[] {
  const prior = wordPrior(vectors.words.length, 'zipf');
  const found: Shape[] = [];
  for (const k of new Set(shapes.map(([size]) => size))) {
    const groups = groupWords(vectors, { ...options, k });
    for (const [size, m] of shapes) {
      if (size !== k) continue;
      const table = buildStaircase(vectors, { ...options, notion: 'ldp-within-block', k, m }, groups);
      const attackSuccess = tableBayesSuccess(table, prior);
      if (attackSuccess > mostSuccess) continue;
      const { rows, dimension } = groups.similarity;
      found.push({ k, m, attackSuccess, distortion: distortion(table, rows, dimension, prior) });
    }
  }
  return found.sort((a, b) => a.distortion - b.distortion);
}
