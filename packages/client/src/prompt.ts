import { SottoError } from '@sotto/base';
import { encodeChat, type Tokenizer } from '@sotto/model';

export interface Prompt {
  /** BOS and the public part. */
  readonly publicTokens: readonly number[];
  readonly privateTokens: readonly number[];
}

/** What a person says, before it is put into tokens. */
export interface PromptTexts {
  /** Goes to the server in clear. */
  readonly publicText?: string | undefined;
  /** Leaves this process encrypted only. */
  readonly privateText: string;
  /** System message of a conversation, in clear; the template's own when absent. */
  readonly system?: string | undefined;
  /** Continue the text instead of answering it by the chat template of the model; so does a model without a template. */
  readonly raw?: boolean | undefined;
}

/** A model that only continues texts was given a system message. */
export const systemUnused = () =>
  new SottoError('A text that is continued has no system message.', {
    code: 'PROMPT_SYSTEM_UNUSED',
    fix: 'Leave the system message out, put it into the public part, or use a model with a chat template.',
  });

/**
 * Tokens of a message in clear: by the chat template of the model, or as a text to continue where that is wished or there is no template.
 *
 * @param bos whether a text to continue begins with BOS; as the tokenizer does it when absent
 * @throws `PROMPT_SYSTEM_UNUSED`, `CHAT_TEMPLATE_INVALID` and the tokenizer's errors.
 */
export function messageTokens(
  tokenizer: Tokenizer,
  text: string,
  options: Pick<PromptTexts, 'system' | 'raw'> & { readonly bos?: boolean } = {},
): number[] {
  const { system, raw = false, bos } = options;
  if (!raw && tokenizer.chatTemplate !== null) {
    return encodeChat(tokenizer, [
      ...(system === undefined ? [] : [{ role: 'system' as const, content: system }]),
      { role: 'user', content: text },
    ]);
  }
  if (system !== undefined) throw systemUnused();
  return tokenizer.encode(text, bos === undefined ? {} : { bos });
}

/**
 * Splits a prompt into tokens, each part by itself: were they tokenized together, the public tokens could depend on private
 * text. One space is between the parts, whether the tokenizer puts one in front of a text or not.
 *
 * For a chat model, public and private part are one message of the user. The template's text in front of it is public; its text
 * behind it stands behind private tokens and is encrypted with them, though everybody knows it.
 *
 * @throws `PROMPT_PRIVATE_EMPTY`, `PROMPT_SYSTEM_UNUSED`, `CHAT_TEMPLATE_INVALID` and the tokenizer's errors.
 */
export function tokenizePrompt(tokenizer: Tokenizer, texts: PromptTexts): Prompt {
  const { publicText = '', privateText, system, raw = false } = texts;
  const before = publicText.trimEnd();
  const bare = privateText.startsWith(' ') ? privateText.slice(1) : privateText;
  const spaced = tokenizer.frontSpace || before === '' ? bare : ` ${bare}`;
  const privateTokens = spaced.trim() === '' ? [] : tokenizer.encode(spaced, { bos: false });
  if (privateTokens.length === 0) {
    throw new SottoError('The private part is empty.', {
      code: 'PROMPT_PRIVATE_EMPTY',
      fix: 'Put at least one word into the private part; a prompt without one needs no encryption.',
    });
  }
  const template = raw ? null : tokenizer.chatTemplate;
  if (template === null) {
    if (system !== undefined) throw systemUnused();
    return { publicTokens: tokenizer.encode(before, { bos: true }), privateTokens };
  }
  const frame = template.frame(system === undefined ? ['user'] : ['system', 'user']);
  const [head = '', between = ''] = frame;
  const written = (text: string) =>
    text === '' ? [] : tokenizer.encode(text, { bos: false, special: true });
  const said = (text: string) => (text === '' ? [] : tokenizer.encode(text, { bos: false }));
  const publicTokens =
    system === undefined
      ? [...written(head), ...said(before)]
      : [...written(head), ...said(system), ...written(between), ...said(before)];
  // The first position is a sink of the attention: it is never private.
  const begins = publicTokens.length > 0 && (!tokenizer.addsBos || publicTokens[0] === tokenizer.bosToken);
  return {
    publicTokens: begins ? publicTokens : [tokenizer.bosToken, ...publicTokens],
    privateTokens: [...privateTokens, ...written(frame.at(-1)!)],
  };
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
