import type { RandomSource } from '../random/source.js';
import { TableSampler } from '../table/sampler.js';
import { expandBlock, rowSum, type SanitizerTable } from '../table/table.js';

/** Distribution of the output on one input; probabilities add up to 1. */
export interface Row {
  /** Output word ids, each once. */
  readonly outputs: Uint32Array;
  readonly probabilities: Float64Array;
}

/** A word sanitizer under test: certified tables and the published mechanisms they are compared with. */
export interface Mechanism {
  readonly name: string;
  /** What its authors promise; {@link judge} says what it keeps. */
  readonly promise: string;
  /** Inputs that are protected among each other. */
  readonly groups: readonly Uint32Array[];
  row(input: number): Row;
  sample(input: number, source: RandomSource): number;
}

/** What a check of every pair of inputs of every group found. */
export interface Verdict {
  /** Largest ln P(y|x) / P(y|x'); Infinity when some output is possible on one input of a group and not on another. */
  readonly epsilon: number;
  /** Output, likely input, unlikely input of the worst case. */
  readonly pair: readonly [output: number, likely: number, unlikely: number];
  /** Largest P(x|x), for comparison with the ceiling e^eps / (e^eps + k - 1). */
  readonly keep: number;
}

/**
 * Tabulates a mechanism and compares all rows of every group: the largest and the smallest probability of an output decide. Floating
 * point, so good to some 1e-9; integer tables have `certify`.
 * @param groups default: all of the mechanism
 */
export function judge(mechanism: Mechanism, groups: readonly Uint32Array[] = mechanism.groups): Verdict {
  let epsilon = 0;
  let keep = 0;
  let pair: Verdict['pair'] = [groups[0]![0]!, groups[0]![0]!, groups[0]![0]!];
  for (const group of groups) {
    const columns = new Map<number, { low: number; high: number; from: number; to: number; rows: number }>();
    group.forEach((input, at) => {
      const { outputs, probabilities } = mechanism.row(input);
      outputs.forEach((output, j) => {
        const p = probabilities[j]!;
        if (output === input) keep = Math.max(keep, p);
        const column = columns.get(output);
        if (column === undefined)
          columns.set(output, { low: p, high: p, from: input, to: input, rows: at === 0 ? 1 : -1 });
        else {
          if (column.rows > 0) column.rows++;
          if (p < column.low) [column.low, column.to] = [p, input];
          if (p > column.high) [column.high, column.from] = [p, input];
        }
      });
    });
    for (const [output, { low, high, from, to, rows }] of columns) {
      if (high === 0) continue;
      const everywhere = rows === group.length && low > 0;
      const ratio = everywhere ? Math.log(high / low) : Number.POSITIVE_INFINITY;
      if (ratio > epsilon) {
        epsilon = ratio;
        pair = [output, from, everywhere ? to : inputWithout(mechanism, group, output)];
      }
    }
    if (epsilon === Number.POSITIVE_INFINITY) break;
  }
  return { epsilon, pair, keep };
}

function inputWithout(mechanism: Mechanism, group: Uint32Array, output: number): number {
  return group.find((input) => {
    const { outputs, probabilities } = mechanism.row(input);
    const at = outputs.indexOf(output);
    return at < 0 || probabilities[at] === 0;
  })!;
}

/** The largest probability of keeping a word that epsilon-DP on k words allows with a uniform prior. */
export function keepCeiling(epsilon: number, k: number): number {
  return 1 / (1 + (k - 1) * Math.exp(-epsilon));
}

/** Position in a row, by the running sum, from 53 random bits. For baselines; certified tables draw with integers. */
export function drawFromRow({ outputs, probabilities }: Row, source: RandomSource): number {
  const target = ((source.u32() >>> 5) * 2 ** 26 + (source.u32() >>> 6)) / 2 ** 53;
  let sum = 0;
  for (let j = 0; j < outputs.length; j++) {
    sum += probabilities[j]!;
    if (target < sum) return outputs[j]!;
  }
  return outputs[outputs.length - 1]!;
}

/** Longer rows are made again each time: a whole vocabulary of them would not fit. */
const LONGEST_KEPT_ROW = 4096;

/** A mechanism from its rows. */
export function mechanismOf(
  name: string,
  promise: string,
  groups: readonly Uint32Array[],
  makeRow: (input: number) => Row,
): Mechanism {
  const rows: Row[] = [];
  const row = (input: number): Row => {
    const known = rows[input];
    if (known !== undefined) return known;
    const made = makeRow(input);
    if (made.outputs.length <= LONGEST_KEPT_ROW) rows[input] = made;
    return made;
  };
  return { name, promise, groups, row, sample: (input, source) => drawFromRow(row(input), source) };
}

/** A table of the block notion as a mechanism. */
export function tableMechanism(table: SanitizerTable): Mechanism {
  const sampler = new TableSampler(table);
  const places = mechanismOf(
    table.name,
    `certified: ${table.notion}`,
    table.blocks.map(({ members }) => members),
    (input) => {
      const block = table.blocks[sampler.blockOf(input)]!;
      const k = block.members.length;
      const rows = expandBlock(table, block);
      const x = sampler.positionOf(input);
      const total = rowSum(rows, k, x);
      return {
        outputs: block.members,
        probabilities: Float64Array.from({ length: k }, (_, y) => rows[x * k + y]! / total),
      };
    },
  );
  return { ...places, sample: (input, source) => sampler.draw(input, source) };
}
