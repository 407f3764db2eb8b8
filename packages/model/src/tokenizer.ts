import { SottoError } from '@sotto/base';
import type { ChatTemplate } from './chat-template.js';

/** The ids of llama2.c vocabularies, and what a tokenizer has that names no others. */
export const UNKNOWN_TOKEN = 0;
export const BOS_TOKEN = 1;
export const EOS_TOKEN = 2;

export interface EncodeOptions {
  /** Put BOS in front; absent: as the model was trained, see {@link Tokenizer.addsBos}. */
  readonly bos?: boolean;
  /**
   * Read the names of special tokens (`<|im_start|>`) in the text as these tokens. Only for text that a template made: in what
   * a person wrote they are characters like any others. Default false.
   */
  readonly special?: boolean;
}

/** Text to token ids and back, whatever the kind of vocabulary. */
export interface Tokenizer {
  readonly vocabSize: number;
  readonly bosToken: number;
  /** Tokens after which an answer is over. */
  readonly endTokens: ReadonlySet<number>;
  /** {@link encode} puts BOS in front unless told otherwise. */
  readonly addsBos: boolean;
  /** {@link encode} puts a space in front of a text, as sentencepiece does. */
  readonly frontSpace: boolean;
  /** How a conversation is written for this model; null for a model without conversations. */
  readonly chatTemplate: ChatTemplate | null;
  /** @throws SottoError `TOKENIZER_CHARACTER_UNKNOWN` for what the vocabulary cannot write. */
  encode(text: string, options?: EncodeOptions): number[];
  /** Bytes that a token stands for; special tokens stand for none. Error `TOKEN_OUT_OF_RANGE`. */
  bytesOf(token: number): Uint8Array;
  /** Text of tokens, without the space that {@link encode} puts in front; invalid UTF-8 becomes U+FFFD. */
  decode(tokens: readonly number[]): string;
}

export function tokenOutOfRange(vocabSize: number): never {
  throw new SottoError('A token is not in the vocabulary.', {
    code: 'TOKEN_OUT_OF_RANGE',
    facts: { vocabSize },
    fix: 'Use the tokenizer that belongs to the model.',
  });
}

/** Joins the bytes of pieces. */
export function decodeBytes(pieces: readonly Uint8Array[]): string {
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
}

/**
 * Tokens of a conversation written by the template of the model, up to where the assistant's answer begins. The contents are
 * encoded by themselves, so nothing in them can become a special token and no token depends on text of two parts.
 *
 * @throws `CHAT_TEMPLATE_MISSING`, `CHAT_TEMPLATE_INVALID`.
 */
export function encodeChat(tokenizer: Tokenizer, messages: readonly ChatMessage[]): number[] {
  if (!tokenizer.chatTemplate) {
    throw new SottoError('The model has no chat template.', {
      code: 'CHAT_TEMPLATE_MISSING',
      fix: 'Ask it for the continuation of a text instead (--raw).',
    });
  }
  const frame = tokenizer.chatTemplate.frame(messages.map(({ role }) => role));
  const tokens: number[] = [];
  frame.forEach((text, i) => {
    if (text !== '') tokens.push(...tokenizer.encode(text, { bos: false, special: true }));
    const content = messages[i]?.content ?? '';
    if (content !== '') tokens.push(...tokenizer.encode(content, { bos: false }));
  });
  return tokenizer.addsBos && tokens[0] !== tokenizer.bosToken ? [tokenizer.bosToken, ...tokens] : tokens;
}

export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}
