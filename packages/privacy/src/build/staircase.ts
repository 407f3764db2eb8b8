import { SottoError } from '@sotto/base';
import {
  compareRatios,
  expLowerBound,
  largestFractionBelow,
  parseEpsilon,
  type Ratio,
} from '../exact/ratio.js';
import type { Block, BlockStage, Notion, SanitizerTable } from '../table/table.js';
import { balancedGroups, nearestIndices } from './cluster.js';
import { appendColumns, frequencyColumn, standardised, unitRows, type WordVectors } from './vectors.js';

/** A further coordinate by which words are put into blocks, for instance sentiment. */
export interface Coordinate {
  /** One value a word. */
  readonly values: Float64Array;
  readonly weight: number;
}

export interface StaircaseOptions {
  readonly name: string;
  readonly provenance: string;
  readonly notion: Notion;
  /** Decimal text, so that it is exact. */
  readonly epsilon: string;
  /** Block size; blocks hold k or, where the division leaves a rest, a few more. */
  readonly k: number;
  /** Number of near outputs, 1 .. k. */
  readonly m: number;
  /** Weight of the log-rank coordinate; 0 leaves it out. Default 0.5. */
  readonly frequencyWeight?: number;
  readonly coordinates?: readonly Coordinate[];
  /** Share of the most frequent words that get blocks of their own, 0 .. 1; default 0. */
  readonly commonShare?: number;
  /** Whole vocabulary only: how many blocks are near, the own one included; default 1. */
  readonly nearBlocks?: number;
  /** Whole vocabulary only: share of epsilon spent inside the block, as a decimal; default half of epsilon. */
  readonly epsilonWithin?: string;
}

/** 20 bits, or what keeps the sum of a row below 2^31. */
function largestLow(bound: Ratio, k: number): bigint {
  const ceiling = bound.numerator / bound.denominator + 1n;
  const fitting = (2n ** 31n - 1n) / (BigInt(k + k) * ceiling);
  return fitting < 2n ** 20n ? (fitting > 1n ? fitting : 1n) : 2n ** 20n;
}

/**
 * Builds a staircase table: of the words of a block, the m nearest to x (x included) weigh `high`, the others `low`, and high / low is
 * the largest fraction not above e^epsilon. As both sums of a row are equal for all x, the ratio of any two probabilities is at most
 * high / low. The vectors must be public: they must not depend on anybody's text, unless the table serves that text's owner alone.
 * The same input gives the same bytes on every platform.
 * @param divided what `groupWords` gave for the same vectors and options, to save its time
 * @throws `BUILD_INVALID`, `EPSILON_INVALID`
 */
export function buildStaircase(
  vectors: WordVectors,
  options: StaircaseOptions,
  divided?: WordGroups,
): SanitizerTable {
  const { k, m } = options;
  const count = vectors.words.length;
  if (
    !(Number.isInteger(k) && Number.isInteger(m) && m >= 1 && m <= k && k >= 2 && 2 * k <= 4096 && count >= k)
  ) {
    throw new SottoError('Block size and number of near words do not fit the vocabulary.', {
      code: 'BUILD_INVALID',
      facts: { k, m, words: count },
      fix: 'Choose 2 <= k <= 2048, 1 <= m <= k, and at least k words.',
    });
  }
  const whole = options.notion === 'ldp-whole-vocabulary';
  const bound = expLowerBound(parseEpsilon(options.epsilon));
  const withinBound = whole
    ? expLowerBound(parseEpsilon(options.epsilonWithin ?? String(Number(options.epsilon) / 2)))
    : bound;
  const within = largestFractionBelow(withinBound, largestLow(withinBound, k));
  const { similarity, placed, groups, commonWords } = divided ?? groupWords(vectors, options);
  const blocks = groups.map((members) => staircaseBlock(similarity.rows, similarity.dimension, members, m));
  const high = Number(within.numerator);
  const low = Number(within.denominator);
  const stage = whole
    ? blockStage(placed.rows, placed.dimension, groups, options, bound, { high, low })
    : null;
  return {
    name: options.name,
    provenance: options.provenance,
    notion: options.notion,
    claimed: stage === null ? within : stage.claimed,
    high,
    low,
    k,
    m,
    words: vectors.words,
    commonWords,
    blocks,
    stage: stage === null ? null : stage.stage,
  };
}

interface Points {
  readonly rows: Float64Array;
  readonly dimension: number;
}

/** The division of a vocabulary into blocks, which depends on k and the coordinates but not on epsilon and m. */
export interface WordGroups {
  /** Coordinates in which near words are near. */
  readonly similarity: Points;
  /** The same with the frequency coordinate, by which the blocks were made. */
  readonly placed: Points;
  readonly groups: readonly Uint32Array[];
  readonly commonWords: number;
}

/** Divides a vocabulary into blocks. */
export function groupWords(
  vectors: WordVectors,
  options: Pick<StaircaseOptions, 'k' | 'frequencyWeight' | 'coordinates' | 'commonShare'>,
): WordGroups {
  const { k } = options;
  const count = vectors.words.length;
  const coordinates = options.coordinates ?? [];
  const unit = unitRows(vectors);
  const similarity = appendColumns(
    unit,
    vectors.dimension,
    coordinates.map(({ values, weight }) => standardised(values, weight)),
  );
  const placed =
    (options.frequencyWeight ?? 0.5) > 0
      ? appendColumns(similarity.rows, similarity.dimension, [
          frequencyColumn(count, options.frequencyWeight ?? 0.5),
        ])
      : similarity;
  const common = Math.floor(count * (options.commonShare ?? 0));
  const bands = [
    [0, common],
    [common, count],
  ].filter(([from, to]) => to! > from!);
  const commonWords = bands.length === 2 && common >= k ? common : 0;
  const groups = (commonWords === 0 ? [[0, count]] : bands).flatMap(([from, to]) =>
    balancedGroups(
      placed.rows.subarray(from! * placed.dimension, to! * placed.dimension),
      placed.dimension,
      k,
    ).map((group) => group.map((id) => id + from!)),
  );
  return { similarity, placed, groups, commonWords };
}

/** Near words by squared distance, ties to the smaller position; the word itself is always its own nearest. */
function staircaseBlock(rows: Float64Array, dimension: number, members: Uint32Array, m: number): Block {
  const k = members.length;
  const support = new Uint16Array(k * m);
  const distances = new Float64Array(k);
  for (let x = 0; x < k; x++) {
    for (let y = 0; y < k; y++) {
      let sum = 0;
      const [at, to] = [members[x]! * dimension, members[y]! * dimension];
      for (let d = 0; d < dimension; d++) sum += (rows[at + d]! - rows[to + d]!) ** 2;
      distances[y] = x === y ? -1 : sum;
    }
    support.set(nearestIndices(distances, m), x * m);
  }
  return { members, weights: { kind: 'staircase', near: m, support } };
}

/** Weights of the block draw such that the two draws together stay within `bound`. */
function blockStage(
  rows: Float64Array,
  dimension: number,
  groups: readonly Uint32Array[],
  options: StaircaseOptions,
  bound: Ratio,
  within: { high: number; low: number },
): { stage: BlockStage; claimed: Ratio } {
  const count = groups.length;
  const near = Math.min(options.nearBlocks ?? 1, count);
  // In the own block the largest share exceeds the uniform one by high k / (m high + (k - m) low), the smallest falls short of it.
  let excess: Ratio = { numerator: 1n, denominator: 1n };
  for (const { length: k } of groups) {
    const total = options.m * within.high + (k - options.m) * within.low;
    const share = { numerator: BigInt(within.high) * BigInt(k), denominator: BigInt(total) };
    if (compareRatios(share, excess) > 0) excess = share;
  }
  const stageBound = {
    numerator: bound.numerator * excess.denominator,
    denominator: bound.denominator * excess.numerator,
  };
  if (stageBound.numerator < stageBound.denominator) {
    throw new SottoError('Nothing of epsilon is left for the draw of the block.', {
      code: 'BUILD_INVALID',
      facts: { epsilon: options.epsilon },
      fix: 'Give a smaller epsilonWithin.',
    });
  }
  // (count + near high/low) low < 2^31
  const perUnit = BigInt(count) + BigInt(near) * (stageBound.numerator / stageBound.denominator + 1n);
  const room = (2n ** 31n - 1n) / perUnit;
  const fraction = largestFractionBelow(stageBound, room < 1n ? 1n : room);
  const centres = new Float64Array(count * dimension);
  groups.forEach((ids, g) => {
    for (let d = 0; d < dimension; d++) {
      let sum = 0;
      for (const id of ids) sum += rows[id * dimension + d]!;
      centres[g * dimension + d] = sum / ids.length;
    }
  });
  const support = new Uint32Array(count * near);
  const distances = new Float64Array(count);
  for (let g = 0; g < count; g++) {
    for (let h = 0; h < count; h++) {
      let sum = 0;
      for (let d = 0; d < dimension; d++)
        sum += (centres[g * dimension + d]! - centres[h * dimension + d]!) ** 2;
      distances[h] = g === h ? -1 : sum;
    }
    support.set(nearestIndices(distances, near), g * near);
  }
  const stage = { high: Number(fraction.numerator), low: Number(fraction.denominator), near, support };
  const reach = {
    numerator: fraction.numerator * excess.numerator,
    denominator: fraction.denominator * excess.denominator,
  };
  const inside = { numerator: BigInt(within.high), denominator: BigInt(within.low) };
  return { stage, claimed: compareRatios(reach, inside) > 0 ? reach : inside };
}
