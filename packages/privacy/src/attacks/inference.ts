import { nearestIndices } from '../build/cluster.js';
import type { WordVectors } from '../build/vectors.js';
import { type Mechanism, tableMechanism } from '../mechanisms/mechanism.js';
import type { RandomSource } from '../random/source.js';
import { expandBlock, rowSum, type SanitizerTable } from '../table/table.js';
import { clopperPearson, type Rate } from './statistics.js';

/**
 * Success of the best guess without context: sum over outputs of the largest prior(x) P(y|x). Exact; nobody does better on single words.
 * The block counts as known where it is visible.
 */
export function bayesSuccess(mechanism: Mechanism, prior: Float64Array): number {
  let success = 0;
  const best = new Float64Array(prior.length);
  for (const group of mechanism.groups) {
    best.fill(0);
    for (const input of group) {
      const { outputs, probabilities } = mechanism.row(input);
      const share = prior[input]!;
      for (let j = 0; j < outputs.length; j++) {
        const joint = share * probabilities[j]!;
        if (joint > best[outputs[j]!]!) best[outputs[j]!] = joint;
      }
    }
    for (const value of best) success += value;
  }
  return success;
}

/** {@link bayesSuccess} of a table of either notion, from its weights. */
export function tableBayesSuccess(table: SanitizerTable, prior: Float64Array): number {
  const stage = table.stage;
  const count = table.blocks.length;
  const likeliest = table.blocks.map(({ members }) =>
    members.reduce((best, id) => Math.max(best, prior[id]!), 0),
  );
  const stageTotal = stage === null ? 1 : stage.near * stage.high + (count - stage.near) * stage.low;
  // For every block the best joint probability with which a word of another block draws it.
  const foreign = new Float64Array(count);
  if (stage !== null) {
    const share = new Float64Array(count);
    for (let from = 0; from < count; from++) {
      share.fill(stage.low / stageTotal);
      for (let j = 0; j < stage.near; j++)
        share[stage.support[from * stage.near + j]!] = stage.high / stageTotal;
      for (let to = 0; to < count; to++) {
        if (to !== from) foreign[to] = Math.max(foreign[to]!, likeliest[from]! * share[to]!);
      }
    }
  }
  const own = stage === null ? 1 : stage.high / stageTotal;
  let success = 0;
  table.blocks.forEach((block, b) => {
    const k = block.members.length;
    const rows = expandBlock(table, block);
    const sums = Array.from({ length: k }, (_, x) => rowSum(rows, k, x));
    for (let y = 0; y < k; y++) {
      let best = foreign[b]! / k;
      for (let x = 0; x < k; x++) {
        best = Math.max(best, (own * prior[block.members[x]!]! * rows[x * k + y]!) / sums[x]!);
      }
      success += best;
    }
  });
  return success;
}

/** Expected share of words that stay as they are. */
export function keepRate(mechanism: Mechanism, prior: Float64Array): number {
  let sum = 0;
  for (const group of mechanism.groups) {
    for (const input of group) {
      const { outputs, probabilities } = mechanism.row(input);
      const at = outputs.indexOf(input);
      if (at >= 0) sum += prior[input]! * probabilities[at]!;
    }
  }
  return sum;
}

/** Embedding inversion: the word is among the K words nearest to what was received. Exact. */
export function inversionSuccess(
  mechanism: Mechanism,
  vectors: WordVectors,
  prior: Float64Array,
  guesses: number,
): number {
  const near = new Map<number, ReadonlySet<number>>();
  const { dimension, values, words } = vectors;
  const nearest = (word: number): ReadonlySet<number> => {
    let known = near.get(word);
    if (known === undefined) {
      const distances = Float64Array.from(words, (_, other) => {
        let sum = 0;
        for (let d = 0; d < dimension; d++)
          sum += (values[word * dimension + d]! - values[other * dimension + d]!) ** 2;
        return other === word ? -1 : sum;
      });
      known = new Set(nearestIndices(distances, guesses));
      near.set(word, known);
    }
    return known;
  };
  let success = 0;
  for (const group of mechanism.groups) {
    for (const input of group) {
      const { outputs, probabilities } = mechanism.row(input);
      outputs.forEach((output, j) => {
        if (nearest(output).has(input)) success += prior[input]! * probabilities[j]!;
      });
    }
  }
  return success;
}

/** Blocks of a table all of whose words have vectors: word ids, and ids of the same words among the vectors. */
export function vectorBlocks(
  table: SanitizerTable,
  vectors: WordVectors,
): { readonly members: Uint32Array; readonly vectorIds: Uint32Array }[] {
  const ids = new Map(vectors.words.map((word, id) => [word, id]));
  return table.blocks
    .map(({ members }) => ({
      members,
      vectorIds: Int32Array.from(members, (member) => ids.get(table.words[member]!) ?? -1),
    }))
    .filter(({ vectorIds }) => vectorIds.every((id) => id >= 0))
    .map(({ members, vectorIds }) => ({ members, vectorIds: Uint32Array.from(vectorIds) }));
}

/**
 * Embedding inversion by somebody who sees the block: the word is among the K words of the block nearest to what was received. Exact,
 * all words alike, over the blocks that have vectors; one success for each K, or null without such blocks.
 */
export function blockInversionSuccess(
  mechanism: Mechanism,
  table: SanitizerTable,
  vectors: WordVectors,
  guesses: readonly number[],
): number[] | null {
  const blocks = vectorBlocks(table, vectors);
  if (blocks.length === 0) return null;
  const { dimension, values } = vectors;
  const success = guesses.map(() => 0);
  let words = 0;
  for (const { members, vectorIds } of blocks) {
    const nearest = Array.from(vectorIds, (from, at) => {
      const distances = Float64Array.from(vectorIds, (to, other) => {
        let sum = 0;
        for (let d = 0; d < dimension; d++)
          sum += (values[from * dimension + d]! - values[to * dimension + d]!) ** 2;
        return other === at ? -1 : sum;
      });
      return nearestIndices(distances, distances.length);
    });
    const positionOf = new Map(Array.from(members, (member, at) => [member, at]));
    members.forEach((input, x) => {
      words++;
      const { outputs, probabilities } = mechanism.row(input);
      outputs.forEach((output, j) => {
        const rank = nearest[positionOf.get(output)!]!.indexOf(x);
        guesses.forEach((most, g) => {
          if (rank < most) success[g]! += probabilities[j]!;
        });
      });
    });
  }
  return success.map((sum) => sum / words);
}

/**
 * Sending embeddings instead of words: the receiver looks up the nearest row of the public table. Share of words it finds; 1 unless two
 * words have the same vector, so vectors hide nothing.
 * @param received one vector a word, as it travels
 */
export function wireSuccess(
  vectors: WordVectors,
  words: readonly number[],
  received: readonly Float32Array[],
): number {
  const { dimension, values } = vectors;
  const count = vectors.words.length;
  let hits = 0;
  words.forEach((word, i) => {
    const distances = Float64Array.from({ length: count }, (_, other) => {
      let sum = 0;
      for (let d = 0; d < dimension; d++) sum += (received[i]![d]! - values[other * dimension + d]!) ** 2;
      return sum;
    });
    if (nearestIndices(distances, 1)[0] === word) hits++;
  });
  return words.length === 0 ? 0 : hits / words.length;
}

/**
 * Replay: the same word is sanitized again and again and the likelihoods multiply. Success after each number of repetitions.
 * @param reply what the receiver sees of `input` at the given repetition
 */
export function replaySuccess(
  mechanism: Mechanism,
  prior: Float64Array,
  reply: (input: number, repetition: number) => number,
  options: {
    readonly repetitions: readonly number[];
    readonly trials: number;
    readonly source: RandomSource;
  },
): Rate[] {
  const most = Math.max(...options.repetitions);
  const hits = new Map(options.repetitions.map((r) => [r, 0]));
  const cumulative = prior.slice();
  for (let i = 1; i < cumulative.length; i++) cumulative[i]! += cumulative[i - 1]!;
  const groupOf: Uint32Array[] = [];
  for (const group of mechanism.groups) for (const word of group) groupOf[word] = group;
  for (let trial = 0; trial < options.trials; trial++) {
    const target = options.source.u32() / 2 ** 32;
    const input = Math.min(
      prior.length - 1,
      cumulative.findIndex((value) => value > target),
    );
    const group = groupOf[input]!;
    const columns = logColumns(mechanism, group);
    const score = Float64Array.from(group, (word) => Math.log(prior[word]!));
    // A receiver knows a repeated reply for what it is: only new information counts.
    const seen = new Set<number>();
    for (let r = 1; r <= most; r++) {
      const output = reply(input, r);
      seen.add(output);
      const column = columns(output);
      for (let x = 0; x < column.length; x++) score[x]! += column[x]!;
      if (hits.has(r)) {
        const scores = seen.size === 1 ? firstScores(column, group, prior) : score;
        let best = 0;
        for (let x = 1; x < group.length; x++) if (scores[x]! > scores[best]!) best = x;
        if (group[best] === input) hits.set(r, hits.get(r)! + 1);
      }
    }
  }
  return options.repetitions.map((r) => clopperPearson(hits.get(r)!, options.trials));
}

/** For an output, ln of its probability on each input of a group; computed once an output. */
function logColumns(mechanism: Mechanism, group: Uint32Array): (output: number) => Float64Array {
  const rows = Array.from(group, (word) => mechanism.row(word));
  const known = new Map<number, Float64Array>();
  return (output) => {
    let column = known.get(output);
    if (column === undefined) {
      column = Float64Array.from(rows, ({ outputs, probabilities }) =>
        Math.log(probabilities[outputs.indexOf(output)] ?? 0),
      );
      known.set(output, column);
    }
    return column;
  };
}

/** Scores when all replies were the same: with a memo that is one draw, not many. */
function firstScores(column: Float64Array, group: Uint32Array, prior: Float64Array): Float64Array {
  return column.map((value, x) => Math.log(prior[group[x]!]!) + value);
}

/** What an attribute of words (say, their sentiment) loses to whoever sees block and output. Exact success of the best guess. */
export interface AttributeLeak {
  /** Always guessing the commonest value. */
  readonly blind: number;
  /** From the visible block alone: what leaks at any epsilon, even 0. */
  readonly fromBlock: number;
  /** From block and output. */
  readonly fromOutput: number;
  /** From the word itself: 1, for the scale. */
  readonly values: number;
}

/** @param labels value of the attribute for every word, or -1 to leave the word out */
export function attributeLeak(mechanism: Mechanism, prior: Float64Array, labels: Int32Array): AttributeLeak {
  const values = labels.reduce((most, label) => Math.max(most, label), -1) + 1;
  const total = new Float64Array(values);
  let mass = 0;
  let fromBlock = 0;
  let fromOutput = 0;
  for (const group of mechanism.groups) {
    const inBlock = new Float64Array(values);
    const atOutput = new Map<number, Float64Array>();
    for (const input of group) {
      const label = labels[input]!;
      if (label < 0) continue;
      const weight = prior[input]!;
      mass += weight;
      total[label]! += weight;
      inBlock[label]! += weight;
      const { outputs, probabilities } = mechanism.row(input);
      outputs.forEach((output, j) => {
        let column = atOutput.get(output);
        if (column === undefined) {
          column = new Float64Array(values);
          atOutput.set(output, column);
        }
        column[label]! += weight * probabilities[j]!;
      });
    }
    fromBlock += Math.max(0, ...inBlock);
    for (const column of atOutput.values()) fromOutput += Math.max(...column);
  }
  return {
    blind: Math.max(...total) / mass,
    fromBlock: fromBlock / mass,
    fromOutput: fromOutput / mass,
    values,
  };
}

/**
 * {@link attributeLeak} of a table of either notion, from its weights. Where the block is drawn too, nothing is known before the output:
 * `fromBlock` is then blind guessing.
 */
export function tableAttributeLeak(
  table: SanitizerTable,
  mechanism: Mechanism | null,
  prior: Float64Array,
  labels: Int32Array,
): AttributeLeak {
  if (table.stage === null) return attributeLeak(mechanism ?? tableMechanism(table), prior, labels);
  const { near, high, low, support } = table.stage;
  const count = table.blocks.length;
  const stageTotal = near * high + (count - near) * low;
  const values = labels.reduce((most, label) => Math.max(most, label), -1) + 1;
  const total = new Float64Array(values);
  // Mass of each value that another block's words send into a block.
  const foreign = Array.from({ length: count }, () => new Float64Array(values));
  const inBlock = table.blocks.map(({ members }) => {
    const mass = new Float64Array(values);
    for (const id of members) if (labels[id]! >= 0) mass[labels[id]!]! += prior[id]!;
    return mass;
  });
  inBlock.forEach((mass, from) => {
    if (mass.every((value) => value === 0)) return;
    mass.forEach((value, label) => {
      total[label]! += value;
    });
    const share = new Float64Array(count).fill(low / stageTotal);
    for (let j = 0; j < near; j++) share[support[from * near + j]!] = high / stageTotal;
    for (let to = 0; to < count; to++) {
      if (to === from) continue;
      mass.forEach((value, label) => {
        foreign[to]![label]! += value * share[to]!;
      });
    }
  });
  let fromOutput = 0;
  table.blocks.forEach((block, b) => {
    const k = block.members.length;
    const rows = expandBlock(table, block);
    const columns = Array.from({ length: k }, () => foreign[b]!.map((value) => value / k));
    for (let x = 0; x < k; x++) {
      const id = block.members[x]!;
      if (labels[id]! < 0) continue;
      const weight = (prior[id]! * high) / stageTotal / rowSum(rows, k, x);
      for (let y = 0; y < k; y++) columns[y]![labels[id]!]! += weight * rows[x * k + y]!;
    }
    for (const column of columns) fromOutput += Math.max(...column);
  });
  const mass = total.reduce((sum, value) => sum + value, 0);
  const blind = Math.max(...total) / mass;
  return { blind, fromBlock: blind, fromOutput: fromOutput / mass, values };
}
