import { SottoError } from '@sotto/base';
import type { Tokenizer } from '@sotto/model';

export interface Prompt {
  /** BOS and the public part. */
  readonly publicTokens: readonly number[];
  readonly privateTokens: readonly number[];
}

/**
 * Splits a prompt into tokens, each part by itself: were they tokenized together, the public tokens could depend on private
 * text. One space is between the
 * parts, whether the tokenizer puts one in front of a text or not.
 *
 * @throws `PROMPT_PRIVATE_EMPTY` and the tokenizer's errors.
 */
export function tokenizePrompt(tokenizer: Tokenizer, publicText: string, privateText: string): Prompt {
  const publicTokens = tokenizer.encode(publicText.trimEnd(), { bos: true });
  const bare = privateText.startsWith(' ') ? privateText.slice(1) : privateText;
  const trimmed = tokenizer.frontSpace || publicText.trim() === '' ? bare : ` ${bare}`;
  const privateTokens = trimmed.trim() === '' ? [] : tokenizer.encode(trimmed, { bos: false });
  if (privateTokens.length === 0) {
    throw new SottoError('The private part is empty.', {
      code: 'PROMPT_PRIVATE_EMPTY',
      fix: 'Put at least one word into the private part; a prompt without one needs no encryption.',
    });
  }
  return { publicTokens, privateTokens };
}

/** Turns tokens into text piece by piece; characters of several byte tokens appear when they are complete. */
export class TextAssembler {
  readonly #decoder = new TextDecoder();
  readonly #tokenizer: Tokenizer;

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
  }

  push(token: number): string {
    return this.#decoder.decode(this.#tokenizer.bytesOf(token), { stream: true });
  }
}
