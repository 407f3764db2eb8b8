import { Template } from '@huggingface/jinja';
import { SottoError } from '@sotto/base';

const MAX_TEMPLATE_CHARACTERS = 65536;
const MAX_FRAME_CHARACTERS = 262144;

function invalid(reason: string, cause?: unknown): never {
  throw new SottoError(`The chat template of the model cannot be used: ${reason}.`, {
    code: 'CHAT_TEMPLATE_INVALID',
    fix: 'Ask for the continuation of a text instead (--raw).',
    cause,
  });
}

/** How a model wants conversations to be written: a Jinja template that comes with its tokenizer. */
export class ChatTemplate {
  readonly #template: Template;
  readonly #variables: Readonly<Record<string, string>>;

  /** @param variables `bos_token`, `eos_token`. @throws `CHAT_TEMPLATE_INVALID`. */
  constructor(source: string, variables: Readonly<Record<string, string>> = {}) {
    if (source.length > MAX_TEMPLATE_CHARACTERS) invalid('it is too long');
    this.#variables = variables;
    try {
      this.#template = new Template(source);
    } catch (error) {
      invalid('it has an error', error);
    }
  }

  /**
   * The text around the contents of messages with these roles, up to where the answer begins: one part before each content and
   * one after the last. The contents themselves never reach the template.
   *
   * @throws `CHAT_TEMPLATE_INVALID` where the template refuses the roles, or drops or reorders contents.
   */
  frame(roles: readonly string[]): string[] {
    // Private-use characters with a number between them: no template writes them, trims them or looks into them.
    const mark = (i: number) => `\u{e000}${i}\u{e001}`;
    let text: string;
    try {
      text = this.#template.render({
        messages: roles.map((role, i) => ({ role, content: mark(i) })),
        add_generation_prompt: true,
        ...this.#variables,
      });
    } catch (error) {
      invalid('it does not take this conversation', error);
    }
    if (text.length > MAX_FRAME_CHARACTERS) invalid('what it writes is too long');
    const parts: string[] = [];
    let at = 0;
    roles.forEach((_, i) => {
      const found = text.indexOf(mark(i), at);
      if (found < 0) invalid('it leaves a message out');
      parts.push(text.slice(at, found));
      at = found + mark(i).length;
    });
    parts.push(text.slice(at));
    if (parts.some((part) => /[\u{e000}\u{e001}]/u.test(part))) invalid('it writes a message twice');
    return parts;
  }
}
