import type { Mechanism } from '../mechanisms/mechanism.js';
import { type Behind, mechanismChannel } from './channel.js';

/**
 * Bigram model with interpolated Kneser-Ney smoothing (Kneser and Ney 1995): absolute discounting, backing off to the number of different
 * words that a word follows.
 */
export class BigramModel {
  readonly #pairs = new Map<number, Map<number, number>>();
  readonly #totals = new Map<number, number>();
  readonly #followed: Float64Array;
  readonly #occurrences: Float64Array;
  #length = 0;
  #pairTypes = 0;
  readonly #discount: number;
  readonly #size: number;

  /** @param sentences word ids; -1 cuts a sentence */
  constructor(sentences: Iterable<readonly number[]>, vocabularySize: number, discount = 0.75) {
    this.#discount = discount;
    this.#size = vocabularySize;
    this.#followed = new Float64Array(vocabularySize);
    this.#occurrences = new Float64Array(vocabularySize);
    for (const sentence of sentences) {
      let before = -1;
      for (const word of sentence) {
        if (word >= 0) this.#count(before, word);
        before = word;
      }
    }
  }

  #count(before: number, word: number): void {
    let row = this.#pairs.get(before);
    if (row === undefined) {
      row = new Map();
      this.#pairs.set(before, row);
    }
    const known = row.get(word) ?? 0;
    row.set(word, known + 1);
    this.#totals.set(before, (this.#totals.get(before) ?? 0) + 1);
    this.#occurrences[word]!++;
    this.#length++;
    if (known === 0) {
      this.#followed[word]!++;
      this.#pairTypes++;
    }
  }

  /** P(word) by the number of its occurrences, one half added; of use where nothing is known of the words before. */
  frequency(word: number): number {
    return (this.#occurrences[word]! + 0.5) / (this.#length + 0.5 * this.#size);
  }

  /** P(word | before); `before` -1 is the start of a sentence or an unknown word. */
  probability(before: number, word: number): number {
    const lower = (this.#followed[word]! + 0.5) / (this.#pairTypes + 0.5 * this.#size);
    const row = this.#pairs.get(before);
    if (row === undefined) return lower;
    const total = this.#totals.get(before)!;
    const reserved = (this.#discount * row.size) / total;
    return Math.max(0, (row.get(word) ?? 0) - this.#discount) / total + reserved * lower;
  }
}

/** Guesses for every position of a sanitized sentence. */
export interface HmmGuess {
  /** Most probable word at each position (forward-backward). */
  readonly marginal: number[];
  /** Most probable sentence (Viterbi). */
  readonly path: number[];
}

/** {@link hmmDecode} of outputs of a mechanism with public groups. @param outputs word ids as received */
export function hmmGuess(mechanism: Mechanism, model: BigramModel, outputs: readonly number[]): HmmGuess {
  const { behind } = mechanismChannel(mechanism);
  return hmmDecode(outputs.map(behind), model);
}

/**
 * The best reconstruction under a bigram model: hidden words, transitions by the model, emissions as given.
 * @param positions for each position the words that may be behind its output, with the chance of the output on each
 */
export function hmmDecode(positions: readonly Behind[], model: BigramModel): HmmGuess {
  const states = positions.map(({ words }) => words);
  const emissions = positions.map(({ chances }) => chances);
  const transition = (t: number, from: number, to: number): number =>
    model.probability(t === 0 ? -1 : states[t - 1]![from]!, states[t]![to]!);
  const width = (t: number) => (t === 0 ? 1 : states[t - 1]!.length);
  const forward: Float64Array[] = [];
  const best: Float64Array[] = [];
  const back: Uint16Array[] = [];
  positions.forEach((_, t) => {
    const k = states[t]!.length;
    const [alpha, delta, pointer] = [new Float64Array(k), new Float64Array(k), new Uint16Array(k)];
    for (let to = 0; to < k; to++) {
      for (let from = 0; from < width(t); from++) {
        const step = transition(t, from, to) * emissions[t]![to]!;
        alpha[to]! += (t === 0 ? 1 : forward[t - 1]![from]!) * step;
        const score = (t === 0 ? 1 : best[t - 1]![from]!) * step;
        if (score > delta[to]!) [delta[to], pointer[to]] = [score, from];
      }
    }
    forward.push(normalised(alpha));
    best.push(normalised(delta));
    back.push(pointer);
  });
  const marginal: number[] = [];
  const path: number[] = [];
  const last = positions.length - 1;
  let beta = new Float64Array(last < 0 ? 0 : states[last]!.length).fill(1);
  let at = last < 0 ? 0 : largest(best[last]!);
  for (let t = last; t >= 0; t--) {
    marginal[t] = states[t]![largest(forward[t]!.map((value, x) => value * beta[x]!))]!;
    path[t] = states[t]![at]!;
    at = back[t]![at]!;
    if (t === 0) break;
    const next = new Float64Array(states[t - 1]!.length);
    for (let from = 0; from < next.length; from++) {
      for (let to = 0; to < states[t]!.length; to++) {
        next[from]! += transition(t, from, to) * emissions[t]![to]! * beta[to]!;
      }
    }
    beta = normalised(next);
  }
  return { marginal, path };
}

function normalised(values: Float64Array): Float64Array<ArrayBuffer> {
  const total = values.reduce((sum, value) => sum + value, 0);
  return Float64Array.from(values, (value) => (total > 0 ? value / total : 1 / values.length));
}

function largest(values: Float64Array): number {
  let at = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[at]!) at = i;
  return at;
}
