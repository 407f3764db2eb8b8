import { compareRatios, logUpperBound, type Ratio, reduced } from '../exact/ratio.js';
import { expandBlock, placeWords, rowSum, type SanitizerTable } from './table.js';

/** An output with the two inputs whose probabilities of giving it differ most. Words, or null for "any other block" and "unknown word". */
export interface WorstPair {
  readonly output: string;
  readonly likely: string | null;
  readonly unlikely: string | null;
}

/** What a program found out about a table. */
export interface Certificate {
  /** True when every pair of inputs and every output satisfies the claimed ratio. */
  readonly holds: boolean;
  /** The largest ratio P(y|x) / P(y|x') over everything; null when some output is possible on one input and not on another. */
  readonly worst: Ratio | null;
  /** ln of `worst`, rounded up; Infinity when null. */
  readonly epsilon: number;
  readonly pair: WorstPair;
  /** Number of inequalities P(y|x) <= ratio P(y|x') that the result covers. */
  readonly inequalities: number;
}

interface Extreme {
  /** Probability as a fraction. */
  readonly numerator: bigint;
  readonly denominator: bigint;
  readonly input: string | null;
}

/**
 * Checks a table against its claim with integers only, from the weights alone. For every output the largest and the smallest
 * probability over the inputs are found by exact comparison; their quotient bounds every pair of inputs.
 * @throws `TABLE_STRUCTURE`
 */
export function certify(table: SanitizerTable): Certificate {
  placeWords(table);
  const worst = new WorstRatio(table);
  let inequalities = 0;
  const count = table.blocks.length;
  const stage = table.notion === 'ldp-whole-vocabulary' ? new StageExtremes(table) : null;
  for (let b = 0; b < count; b++) {
    const block = table.blocks[b]!;
    const k = block.members.length;
    const rows = expandBlock(table, block);
    const sums = Array.from({ length: k }, (_, x) => rowSum(rows, k, x));
    const equalSums = sums.every((sum) => sum === sums[0]);
    for (let y = 0; y < k; y++) {
      const [low, high] = columnExtremes(rows, sums, k, y, equalSums);
      const within = [low, high].map(
        (x): Extreme => ({
          numerator: BigInt(rows[x * k + y]!),
          denominator: BigInt(sums[x]!),
          input: table.words[block.members[x]!]!,
        }),
      );
      const output = table.words[block.members[y]!]!;
      worst.offer(output, stage === null ? within : stage.extremes(b, k, within));
      inequalities += stage === null ? k * (k - 1) : (table.words.length + 1) * table.words.length;
    }
  }
  return worst.certificate(inequalities);
}

/** Inputs with the smallest and the largest share W[x][y] / sum[x]. */
function columnExtremes(
  rows: Uint32Array,
  sums: readonly number[],
  k: number,
  y: number,
  equalSums: boolean,
): [number, number] {
  let low = 0;
  let high = 0;
  for (let x = 1; x < k; x++) {
    if (equalSums) {
      if (rows[x * k + y]! < rows[low * k + y]!) low = x;
      if (rows[x * k + y]! > rows[high * k + y]!) high = x;
    } else {
      if (shareDifference(rows, sums, k, y, x, low) < 0n) low = x;
      if (shareDifference(rows, sums, k, y, x, high) > 0n) high = x;
    }
  }
  return [low, high];
}

function shareDifference(
  rows: Uint32Array,
  sums: readonly number[],
  k: number,
  y: number,
  x: number,
  other: number,
): bigint {
  return BigInt(rows[x * k + y]!) * BigInt(sums[other]!) - BigInt(rows[other * k + y]!) * BigInt(sums[x]!);
}

/** Adds the draw of the block to the probabilities of the words of a block. */
class StageExtremes {
  readonly #own: Ratio[] = [];
  /** Least and largest probability with which another block draws this one. */
  readonly #others: Ratio[][] = [];
  readonly #blocks: bigint;

  constructor(table: SanitizerTable) {
    const count = table.blocks.length;
    const stage = table.stage;
    if (stage === null) throw new Error('a whole-vocabulary table has a block stage');
    this.#blocks = BigInt(count);
    const weights = new Uint32Array(count);
    const fromOthers: (Ratio[] | undefined)[] = new Array(count);
    for (let from = 0; from < count; from++) {
      weights.fill(stage.low);
      for (let j = 0; j < stage.near; j++) weights[stage.support[from * stage.near + j]!] = stage.high;
      let sum = 0n;
      for (const weight of weights) sum += BigInt(weight);
      for (let to = 0; to < count; to++) {
        const share: Ratio = { numerator: BigInt(weights[to]!), denominator: sum };
        if (to === from) this.#own[to] = share;
        else {
          const known = fromOthers[to];
          if (known === undefined) fromOthers[to] = [share, share];
          else if (compareRatios(share, known[0]!) < 0) known[0] = share;
          else if (compareRatios(share, known[1]!) > 0) known[1] = share;
        }
      }
    }
    for (let to = 0; to < count; to++) this.#others[to] = fromOthers[to] ?? [];
  }

  /** Every probability that may be the largest or the smallest for an output of block `b`. */
  extremes(b: number, k: number, within: readonly Extreme[]): Extreme[] {
    const size = BigInt(k);
    const own = this.#own[b]!;
    return [
      ...within.map(({ numerator, denominator, input }) => ({
        numerator: numerator * own.numerator,
        denominator: denominator * own.denominator,
        input,
      })),
      ...this.#others[b]!.map(({ numerator, denominator }) => ({
        numerator,
        denominator: denominator * size,
        input: null,
      })),
      { numerator: 1n, denominator: this.#blocks * size, input: null },
    ];
  }
}

/** Keeps the worst output seen so far. */
class WorstRatio {
  readonly #claimed: Ratio;
  #worst: Ratio = { numerator: 1n, denominator: 1n };
  #infinite = false;
  #pair: WorstPair;

  constructor(table: SanitizerTable) {
    this.#claimed = table.claimed;
    const first = table.words[0] ?? '';
    this.#pair = { output: first, likely: first, unlikely: first };
  }

  offer(output: string, shares: readonly Extreme[]): void {
    if (this.#infinite) return;
    let low = shares[0]!;
    let high = shares[0]!;
    for (const share of shares) {
      if (compareRatios(share, low) < 0) low = share;
      if (compareRatios(share, high) > 0) high = share;
    }
    if (high.numerator === 0n) return;
    const pair = { output, likely: high.input, unlikely: low.input };
    if (low.numerator === 0n) {
      this.#infinite = true;
      this.#pair = pair;
      return;
    }
    const ratio = {
      numerator: high.numerator * low.denominator,
      denominator: high.denominator * low.numerator,
    };
    if (compareRatios(ratio, this.#worst) > 0) {
      this.#worst = reduced(ratio.numerator, ratio.denominator);
      this.#pair = pair;
    }
  }

  certificate(inequalities: number): Certificate {
    return {
      holds: !this.#infinite && compareRatios(this.#worst, this.#claimed) <= 0,
      worst: this.#infinite ? null : this.#worst,
      epsilon: this.#infinite ? Number.POSITIVE_INFINITY : logUpperBound(this.#worst),
      pair: this.#pair,
      inequalities,
    };
  }
}
