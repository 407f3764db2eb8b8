import { SottoError } from '@sotto/base';
import type { Sanitized, Substitution } from '@sotto/privacy';

export interface SanitizedQuestion {
  /** Leaves this process as it is. */
  readonly publicText?: string | undefined;
  /** Leaves this process only after its words were replaced. */
  readonly privateText: string;
  /** Largest number of answer tokens. */
  readonly maxTokens: number;
  /** Fixed replies repeat within a context, e.g. a conversation; default one for all. */
  readonly context?: string;
  /** Continue the text instead of answering it by the chat template of the model; so does a model without a template. */
  readonly raw?: boolean | undefined;
  /** System message of a conversation; leaves this process as it is. */
  readonly system?: string | undefined;
}

/** The user's message: the public part, then the sanitized one. */
export const joinParts = (publicText: string, sanitized: string): string =>
  [publicText.trim(), sanitized].filter((part) => part !== '').join(' ');

/** Substitutions of a sanitized text by their places in a message that ends in it. */
export function placesIn(sent: string, { text, substitutions }: Sanitized): Substitution[] {
  const shift = sent.length - text.length;
  return substitutions.map(({ at, ...rest }) => ({ ...rest, at: at + shift }));
}

/** @throws `PROMPT_PRIVATE_EMPTY` */
export function requirePrivateText(text: string): void {
  if (text.trim() !== '') return;
  throw new SottoError('The private part is empty.', {
    code: 'PROMPT_PRIVATE_EMPTY',
    fix: 'Put at least one word into the private part; a prompt without one needs no sanitizer.',
  });
}

/** @throws `PROMPT_TOKENS` */
export function requireTokens(maxTokens: number): void {
  if (Number.isSafeInteger(maxTokens) && maxTokens >= 1) return;
  throw new SottoError('At least one answer token must be asked for.', {
    code: 'PROMPT_TOKENS',
    facts: { maxTokens },
    fix: 'Ask for 1 or more tokens.',
  });
}

/** What came is not what a protocol says. */
export const streamMismatch = (found: string) =>
  new SottoError('The stream of the answer is not what the protocol says.', {
    code: 'RESULT_MISMATCH',
    facts: { found },
    fix: 'Ask again; check that server and client speak the same protocol.',
  });
