import { SottoError } from '@sotto/base';
import { argmax, finishLogits, type Tokenizer } from '@sotto/model';
import type { Window } from '@sotto/protocol';
import { ClearReference, type LogitsError } from './clear-reference.js';
import { type DraftedBlock, type Drafting, draftBlock } from './draft/block-plan.js';
import type { LocalModel } from './local-model.js';
import { type Prompt, TextAssembler } from './prompt.js';

export interface AnswerToken {
  readonly token: number;
  readonly text: string;
  readonly logits: Float64Array;
  /** Number of the encrypted pass that gave it, from 0; several tokens may come from one. */
  readonly pass: number;
  /** Time of the pass, the prefill included; 0 for a token that came with an earlier one. */
  readonly seconds: number;
  /** With a comparison: what the clear model chose, and how far the logits are off. */
  readonly clear?: { readonly token: number; readonly text: string; readonly error: LogitsError };
}

/** What drafting gave in one answer. */
export interface DraftCounts {
  /** Encrypted passes, those of the prompt included. */
  readonly passes: number;
  /** Guesses that passes have checked. */
  readonly drafted: number;
  /** Of them, tokens of the answer. */
  readonly accepted: number;
}

export interface AnswerRequest {
  readonly model: LocalModel;
  readonly prompt: Prompt;
  readonly maxTokens: number;
  readonly compare: boolean;
  readonly drafting: Drafting | undefined;
  /** When the question was asked. */
  readonly startMs: number;
  readonly window: Window;
  readonly knows: (token: number) => boolean;
  /** Runs rows from a position on, which drops what stood there, and gives their hidden rows. */
  readonly run: (tokens: readonly number[], position: number) => Promise<readonly Float64Array[]>;
}

const ends = (tokenizer: Tokenizer, token: number) =>
  tokenizer.endTokens.has(token) || token === tokenizer.bosToken;

/**
 * The answer to one prompt, greedily chosen. With a drafter, each pass also checks guesses of the tokens that follow; a guess is
 * taken when the encrypted model chooses the same token, so the answer is that of one pass a token.
 */
export class Answering {
  readonly #request: AnswerRequest;
  #passes = 0;
  #drafted = 0;
  #accepted = 0;

  constructor(request: AnswerRequest) {
    this.#request = request;
  }

  get counts(): DraftCounts {
    return { passes: this.#passes, drafted: this.#drafted, accepted: this.#accepted };
  }

  async *tokens(): AsyncGenerator<AnswerToken, void, undefined> {
    const { model, prompt, maxTokens, compare, window, knows, drafting } = this.#request;
    const { tokenizer, weights } = model;
    const text = [...prompt.publicTokens, ...prompt.privateTokens];
    const reference = compare ? new ClearReference(weights, text) : undefined;
    const assembler = new TextAssembler(tokenizer);
    const clearAssembler = new TextAssembler(tokenizer);
    const publicTokens = prompt.publicTokens.length;
    let { startMs } = this.#request;
    let position = await this.#prefill(text, publicTokens);
    for (let made = 0; made < maxTokens; ) {
      const wanted = maxTokens - made;
      const certain = text.length - position;
      const block = draftBlock({ text, certain, publicTokens, wanted, window, knows }, drafting);
      const { hidden, checked } = await this.#check(block, position);
      let seconds = (performance.now() - startMs) / 1000;
      for (let row = certain - 1; row < checked; row++) {
        const logits = finishLogits(weights, hidden[row]!);
        const token = argmax(logits);
        const clearToken = reference?.next();
        const clear =
          reference === undefined || clearToken === undefined
            ? {}
            : {
                clear: {
                  token: clearToken,
                  text: clearAssembler.push(clearToken),
                  error: reference.compare(logits),
                },
              };
        if (row >= certain && row < certain + block.drafted) this.#accepted++;
        yield {
          token,
          text: assembler.push(token),
          logits,
          pass: this.#passes - 1,
          seconds,
          ...clear,
        };
        seconds = 0;
        made++;
        if (ends(tokenizer, token) || made === maxTokens) return;
        if (clearToken !== undefined) reference!.advance(token, clearToken);
        text.push(token);
        if (row + 1 < checked && block.tokens[row + 1] !== token) break;
      }
      position = text.length - 1;
      startMs = performance.now();
    }
  }

  /** Sends all but the last block of the prompt; gives the position where that begins. */
  async #prefill(text: readonly number[], publicTokens: number): Promise<number> {
    const { window, run } = this.#request;
    let position = publicTokens;
    while (text.length - position > window.blockRows) {
      await run(text.slice(position, position + window.blockRows), position);
      this.#passes++;
      position += window.blockRows;
    }
    return position;
  }

  /** Runs a block; when a guess takes it out of the calibrated ranges, once more without guesses. */
  async #check(
    block: DraftedBlock,
    position: number,
  ): Promise<{ hidden: readonly Float64Array[]; checked: number }> {
    const { run } = this.#request;
    const { tokens, certain, drafted } = block;
    this.#drafted += drafted;
    try {
      this.#passes++;
      return { hidden: await run(tokens, position), checked: tokens.length };
    } catch (error) {
      const guessed = tokens.length > certain;
      if (!guessed || !SottoError.is(error) || error.code !== 'ENGINE_OUTPUT_ESCAPED') throw error;
      this.#passes++;
      return { hidden: await run(tokens.slice(0, certain), position), checked: certain };
    }
  }
}
