import {
  argmax,
  embedTokens,
  finishLogits,
  forwardRows,
  KvCache,
  type LlamaModel,
  type Tokenizer,
} from '@sotto/model';
import type { AttackModel } from '@sotto/privacy';

const WORD_AHEAD = /^[^\p{L}]*(\p{L}[\p{L}'\u2019]*)([^\p{L}'\u2019]|$)/u;
/** Tokens that a next word may have. */
const WORD_TOKENS = 8;

/**
 * A clear model as an attacker uses it. The path of tokens that was asked for last is kept with its keys, values and logits, so that
 * texts with a common beginning cost only what differs; a last token costs nothing.
 */
export class ScoringModel implements AttackModel {
  readonly #model: LlamaModel;
  readonly #tokenizer: Tokenizer;
  readonly #cache: KvCache;
  /** Tokens that went through the model, and ln P of every token behind each of them. */
  #path: number[] = [];
  #after: Float64Array[] = [];

  constructor(model: LlamaModel, tokenizer: Tokenizer) {
    this.#model = model;
    this.#tokenizer = tokenizer;
    this.#cache = new KvCache(model.config.layerCount);
  }

  /** @throws `CONTEXT_EXCEEDED`, `TOKENIZER_CHARACTER_UNKNOWN`. */
  logProbability(text: string): number {
    const tokens = this.#encode(text);
    this.#advance(tokens.slice(0, -1));
    let sum = 0;
    for (let i = 1; i < tokens.length; i++) sum += this.#after[i - 1]![tokens[i]!]!;
    return sum;
  }

  nextWord(text: string): string {
    const tokens = this.#encode(text);
    const made: number[] = [];
    for (let i = 0; i < WORD_TOKENS; i++) {
      this.#advance([...tokens, ...made]);
      const token = argmax(this.#after[tokens.length + made.length - 1]!);
      if (this.#tokenizer.endTokens.has(token) || token === this.#tokenizer.bosToken) break;
      made.push(token);
      const ahead = WORD_AHEAD.exec(this.#tokenizer.decode(made));
      if (ahead !== null && ahead[2] !== '') return ahead[1]!.toLowerCase();
    }
    return WORD_AHEAD.exec(this.#tokenizer.decode(made))?.[1]?.toLowerCase() ?? '';
  }

  #encode(text: string): number[] {
    const tokens = text === '' ? [] : this.#tokenizer.encode(text, { bos: false });
    return [this.#tokenizer.bosToken, ...tokens];
  }

  #advance(tokens: readonly number[]): void {
    let shared = 0;
    while (shared < this.#path.length && this.#path[shared] === tokens[shared]) shared++;
    this.#path.length = shared;
    this.#after.length = shared;
    for (const rows of [...this.#cache.keys, ...this.#cache.values]) rows.splice(shared);
    const rest = tokens.slice(shared);
    if (rest.length === 0) return;
    for (const row of forwardRows(this.#model, embedTokens(this.#model, rest), this.#cache)) {
      this.#after.push(logSoftmax(finishLogits(this.#model, row)));
    }
    this.#path.push(...rest);
  }
}

function logSoftmax(logits: Float64Array): Float64Array {
  let largest = Number.NEGATIVE_INFINITY;
  for (const value of logits) largest = Math.max(largest, value);
  let sum = 0;
  for (const value of logits) sum += Math.exp(value - largest);
  const total = largest + Math.log(sum);
  return logits.map((value) => value - total);
}
