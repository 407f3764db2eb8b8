import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';
import { SottoError } from '@sotto/base';
import { bytesOfPiece } from './byte-level.js';
import { ChatTemplate } from './chat-template.js';
import {
  BOS_TOKEN,
  decodeBytes,
  type EncodeOptions,
  EOS_TOKEN,
  type Tokenizer,
  tokenOutOfRange,
} from './tokenizer.js';

const MAX_VOCABULARY = 1048576;

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special?: boolean;
}

type Json = Record<string, unknown>;

function invalid(reason: string, cause?: unknown): never {
  throw new SottoError(`The tokenizer cannot be used: ${reason}.`, {
    code: 'TOKENIZER_INVALID',
    fix: 'Use the tokenizer.json that belongs to the model.',
    cause,
  });
}

/** What a folder says about its tokenizer besides `tokenizer.json`. */
export interface TokenizerFacts {
  readonly bosToken?: number | undefined;
  readonly endTokens?: readonly number[] | undefined;
  /** Absent: what the post-processor of the tokenizer does. */
  readonly addsBos?: boolean | undefined;
  readonly chatTemplate?: string | undefined;
}

/** A tokenizer that `tokenizer.json` describes, through the library that reads such files. */
export class JsonTokenizer implements Tokenizer {
  readonly vocabSize: number;
  readonly bosToken: number;
  readonly endTokens: ReadonlySet<number>;
  readonly addsBos: boolean;
  readonly chatTemplate: ChatTemplate | null;
  readonly #pieces: (string | undefined)[];
  readonly #added: ReadonlyMap<number, AddedToken>;
  readonly #withSpecial: LibraryTokenizer;
  readonly #plain: LibraryTokenizer;
  readonly #byteLevel: boolean;
  readonly frontSpace: boolean;

  /**
   * @param json the parsed file.
   * @param vocabSize rows of the embedding table; ids beyond are refused.
   * @throws SottoError `TOKENIZER_INVALID`, `CHAT_TEMPLATE_INVALID`.
   */
  constructor(json: unknown, vocabSize: number, facts: TokenizerFacts = {}) {
    const tokenizer = json as Json;
    const model = tokenizer?.model as Json | undefined;
    const vocabulary = model?.vocab;
    if (typeof vocabulary !== 'object' || vocabulary === null) invalid('it has no vocabulary');
    const added = (tokenizer.added_tokens ?? []) as AddedToken[];
    const entries: [string, unknown][] = Array.isArray(vocabulary)
      ? vocabulary.map((entry, id) => [String((entry as unknown[])?.[0]), id])
      : Object.entries(vocabulary);
    if (!Array.isArray(added) || entries.length + added.length > MAX_VOCABULARY)
      invalid('its vocabulary is too large');
    this.vocabSize = vocabSize;
    this.#pieces = new Array(vocabSize);
    const put = (piece: unknown, id: unknown): void => {
      if (
        typeof piece !== 'string' ||
        !Number.isInteger(id) ||
        (id as number) < 0 ||
        (id as number) >= vocabSize
      )
        invalid('it has a piece that the model has no row for');
      this.#pieces[id as number] = piece as string;
    };
    for (const [piece, id] of entries) put(piece, id);
    for (const token of added) put(token?.content, token?.id);
    this.#added = new Map(added.map((token) => [token.id, token]));
    try {
      const config = { clean_up_tokenization_spaces: false };
      this.#withSpecial = new LibraryTokenizer(tokenizer, config);
      const plainAdded = added.filter(({ special }) => special !== true);
      this.#plain = new LibraryTokenizer({ ...tokenizer, added_tokens: plainAdded }, config);
      const text = JSON.stringify([tokenizer.decoder ?? null, tokenizer.pre_tokenizer ?? null]);
      this.#byteLevel = text.includes('"ByteLevel"');
      this.frontSpace = this.#startsWithSpace();
      const [first] = this.#withSpecial.encode('a', { add_special_tokens: true }).ids;
      const processed = first !== undefined && this.#added.get(first)?.special === true;
      this.bosToken = facts.bosToken ?? (processed ? first : BOS_TOKEN);
      this.addsBos = facts.addsBos ?? (processed && first === this.bosToken);
    } catch (error) {
      if (SottoError.is(error)) throw error;
      invalid('the library does not read it', error);
    }
    this.endTokens = new Set(facts.endTokens ?? [EOS_TOKEN]);
    for (const token of [this.bosToken, ...this.endTokens]) {
      if (!Number.isInteger(token) || token < 0 || token >= vocabSize)
        invalid('a special token is out of range');
    }
    const nameOf = (token: number | undefined) => (token === undefined ? '' : (this.#pieces[token] ?? ''));
    this.chatTemplate =
      facts.chatTemplate === undefined
        ? null
        : new ChatTemplate(facts.chatTemplate, {
            bos_token: nameOf(this.bosToken),
            eos_token: nameOf([...this.endTokens][0]),
          });
  }

  /** The vocabulary writes a space in front of a text, as sentencepiece does. */
  #startsWithSpace(): boolean {
    if (this.#byteLevel) return false;
    const [first] = this.#plain.encode('a', { add_special_tokens: false }).tokens;
    return first?.startsWith('\u2581') === true;
  }

  encode(text: string, options: EncodeOptions = {}): number[] {
    const tokens = (options.bos ?? this.addsBos) ? [this.bosToken] : [];
    if (text === '') return tokens;
    const library = options.special ? this.#withSpecial : this.#plain;
    let ids: readonly (number | undefined)[];
    try {
      ids = library.encode(text, { add_special_tokens: false }).ids;
    } catch {
      // Without the cause: a message of the library may repeat the text.
      throw new SottoError('The text cannot be tokenized.', {
        code: 'TOKENIZER_CHARACTER_UNKNOWN',
        fix: 'Remove unusual characters from the text.',
      });
    }
    for (const id of ids) {
      if (id === undefined) {
        throw new SottoError('A character of the text is not in the vocabulary of the model.', {
          code: 'TOKENIZER_CHARACTER_UNKNOWN',
          facts: { position: tokens.length },
          fix: 'Remove or replace the character.',
        });
      }
      tokens.push(id);
    }
    return tokens;
  }

  bytesOf(token: number): Uint8Array {
    if (!Number.isInteger(token) || token < 0 || token >= this.vocabSize) tokenOutOfRange(this.vocabSize);
    const piece = this.#pieces[token];
    const added = this.#added.get(token);
    if (piece === undefined || added?.special || this.endTokens.has(token)) return new Uint8Array(0);
    if (added) return new TextEncoder().encode(piece);
    if (this.#byteLevel) return bytesOfPiece(piece) ?? new TextEncoder().encode(piece);
    const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(piece);
    if (byte) return Uint8Array.of(Number.parseInt(byte[1]!, 16));
    return new TextEncoder().encode(piece.replaceAll('\u2581', ' '));
  }

  decode(tokens: readonly number[]): string {
    const text = decodeBytes(tokens.map((token) => this.bytesOf(token)));
    const fromStart = tokens[0] === this.bosToken;
    return this.frontSpace && fromStart && text.startsWith(' ') ? text.slice(1) : text;
  }
}

/**
 * Reads the tokenizer files of a usual folder.
 *
 * @param files contents of `tokenizer.json` and, where the folder has them, `tokenizer_config.json`, `config.json`,
 * `generation_config.json` and `chat_template.jinja`.
 * @throws SottoError `TOKENIZER_INVALID`, `CHAT_TEMPLATE_INVALID`.
 */
export function readTokenizerJson(
  files: {
    readonly tokenizer: string;
    readonly tokenizerConfig?: string | undefined;
    readonly config?: string | undefined;
    readonly generationConfig?: string | undefined;
    readonly chatTemplate?: string | undefined;
  },
  vocabSize: number,
): JsonTokenizer {
  const parse = (text: string | undefined, what: string): Json => {
    if (text === undefined) return {};
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      invalid(`${what} is no JSON`);
    }
    if (typeof value !== 'object' || value === null) invalid(`${what} is no JSON object`);
    return value as Json;
  };
  const tokenizer = parse(files.tokenizer, 'tokenizer.json');
  const own = parse(files.tokenizerConfig, 'tokenizer_config.json');
  const model = parse(files.config, 'config.json');
  const generation = parse(files.generationConfig, 'generation_config.json');
  const contentOf = (value: unknown): string | undefined =>
    typeof value === 'string' ? value : ((value as Json | null | undefined)?.content as string | undefined);
  const added = Array.isArray(tokenizer.added_tokens) ? (tokenizer.added_tokens as AddedToken[]) : [];
  const idOf = (value: unknown): number | undefined => {
    const name = contentOf(value);
    return name === undefined ? undefined : added.find((token) => token?.content === name)?.id;
  };
  const numbers = (value: unknown): number[] =>
    (Array.isArray(value) ? value : [value]).filter((entry): entry is number => Number.isInteger(entry));
  const endTokens = new Set([
    ...numbers(idOf(own.eos_token)),
    ...numbers(model.eos_token_id),
    ...numbers(generation.eos_token_id),
  ]);
  const template = files.chatTemplate ?? own.chat_template;
  return new JsonTokenizer(tokenizer, vocabSize, {
    bosToken: idOf(own.bos_token) ?? numbers(model.bos_token_id)[0],
    endTokens: endTokens.size > 0 ? [...endTokens] : undefined,
    addsBos: typeof own.add_bos_token === 'boolean' ? own.add_bos_token : undefined,
    chatTemplate: typeof template === 'string' ? template : undefined,
  });
}
