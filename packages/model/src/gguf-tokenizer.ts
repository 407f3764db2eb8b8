import { SottoError } from '@sotto/base';
import { ChatTemplate } from './chat-template.js';
import type { GgufFile } from './gguf.js';
import { JsonTokenizer } from './library-tokenizer.js';
import { PieceTokenizer } from './piece-tokenizer.js';
import { shownName } from './tensor-store.js';
import type { Tokenizer } from './tokenizer.js';

/** Kinds of pieces as GGUF numbers them. */
const kinds = { unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 };

function invalid(reason: string, facts: Record<string, string | number> = {}): never {
  throw new SottoError(`The tokenizer in the GGUF file cannot be used: ${reason}.`, {
    code: 'TOKENIZER_INVALID',
    facts,
    fix: 'Give the tokenizer.json of the model by --tokenizer.',
  });
}

/** The pattern that GPT-2 splits text with. */
const gpt2Split = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
/** Llama 3: contractions in any case, digits by threes, line ends apart. */
const llama3Split =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
/** As Llama 3 with digits one by one. */
const qwen2Split = llama3Split.replace('{1,3}', '');

const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
const split = (pattern: string) => ({
  type: 'Split',
  pattern: { Regex: pattern },
  behavior: 'Isolated',
  invert: false,
});
const digits = { type: 'Digits', individual_digits: true };

/** How text is split before pairs merge, by the name in `tokenizer.ggml.pre`. */
const preTokenizers: Readonly<Record<string, readonly object[]>> = {
  'gpt-2': [split(gpt2Split), byteLevel],
  smollm: [digits, split(gpt2Split), byteLevel],
  'llama-bpe': [split(llama3Split), byteLevel],
  'smaug-bpe': [split(llama3Split), byteLevel],
  qwen2: [split(qwen2Split), byteLevel],
};

/** Control pieces that end an answer even where the metadata names another one. */
const endNames = new Set(['<|endoftext|>', '<|im_end|>', '<|eot_id|>', '<|end_of_text|>', '</s>']);

function strings(file: GgufFile, key: string, count?: number): string[] {
  const value = file.metadata.get(key);
  if (!Array.isArray(value) || value.some((entry) => typeof entry !== 'string'))
    invalid('it lacks a list of texts', { key });
  if (count !== undefined && value.length !== count) invalid('a list has the wrong length', { key });
  return value as string[];
}

function numbers(file: GgufFile, key: string, count: number): number[] | undefined {
  const value = file.metadata.get(key);
  if (value === undefined) return undefined;
  if (!Array.isArray(value) || value.length !== count || value.some((entry) => !Number.isFinite(entry)))
    invalid('a list has the wrong length or kind', { key });
  return value as number[];
}

function token(file: GgufFile, name: string, vocabSize: number): number | undefined {
  const value = file.metadata.get(`tokenizer.ggml.${name}_token_id`);
  if (value === undefined) return undefined;
  if (!Number.isInteger(value) || (value as number) < 0 || (value as number) >= vocabSize)
    invalid('a special token is out of range', { name });
  return value as number;
}

/**
 * The tokenizer that a GGUF file carries: byte-level pairs (`gpt2`) through the library that reads such vocabularies, or pieces
 * with scores (`llama`).
 *
 * @param vocabSize rows of the embedding table.
 * @throws SottoError `TOKENIZER_INVALID`, `CHAT_TEMPLATE_INVALID`.
 */
export function readGgufTokenizer(file: GgufFile, vocabSize: number): Tokenizer {
  const pieces = strings(file, 'tokenizer.ggml.tokens');
  if (pieces.length > vocabSize)
    invalid('it has pieces that the model has no row for', { pieces: pieces.length, vocabSize });
  const types = numbers(file, 'tokenizer.ggml.token_type', pieces.length) ?? pieces.map(() => 1);
  const bosToken = token(file, 'bos', vocabSize);
  const ends = ['eos', 'eot', 'eom'].map((name) => token(file, name, vocabSize));
  const named = pieces.flatMap((piece, id) =>
    types[id] === kinds.control && endNames.has(piece) ? [id] : [],
  );
  const endTokens = [...new Set([...ends.filter((end): end is number => end !== undefined), ...named])];
  const flag = (name: string): boolean | undefined => {
    const value = file.metadata.get(`tokenizer.ggml.${name}`);
    return typeof value === 'boolean' ? value : undefined;
  };
  const source = file.metadata.get('tokenizer.chat_template');
  const chatTemplate = typeof source === 'string' && source !== '' ? source : undefined;
  const kind = file.metadata.get('tokenizer.ggml.model');
  if (kind === 'gpt2') {
    const pre = String(file.metadata.get('tokenizer.ggml.pre') ?? 'gpt-2');
    if (!Object.hasOwn(preTokenizers, pre))
      invalid('its way of splitting text is not known', { pre: shownName(pre) });
    const added = pieces
      .map((content, id) => ({ id, content, kind: types[id]! }))
      .filter((piece) => [kinds.unknown, kinds.control, kinds.userDefined].includes(piece.kind))
      .map(({ id, content, kind }) => ({
        id,
        content,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: kind !== kinds.userDefined,
      }));
    const json = {
      version: '1.0',
      added_tokens: added,
      normalizer: null,
      pre_tokenizer: { type: 'Sequence', pretokenizers: preTokenizers[pre] },
      post_processor: null,
      decoder: byteLevel,
      model: {
        type: 'BPE',
        vocab: Object.fromEntries(pieces.map((piece, id) => [piece, id])),
        merges: strings(file, 'tokenizer.ggml.merges'),
        ignore_merges: pre === 'llama-bpe',
      },
    };
    return new JsonTokenizer(json, vocabSize, {
      bosToken,
      endTokens: endTokens.length > 0 ? endTokens : undefined,
      addsBos: flag('add_bos_token') ?? pre === 'llama-bpe',
      chatTemplate,
    });
  }
  if (kind === 'llama') {
    if (pieces.length !== vocabSize) invalid('it has another number of pieces than the model');
    const scores = numbers(file, 'tokenizer.ggml.scores', pieces.length);
    if (!scores) invalid('it has no scores');
    const encoder = new TextEncoder();
    const byteTokens = new Map<number, number>();
    const control = new Set<number>();
    pieces.forEach((piece, id) => {
      const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(piece);
      if (types[id] === kinds.byte && byte) byteTokens.set(id, Number.parseInt(byte[1]!, 16));
      if ([kinds.unknown, kinds.control, kinds.unused].includes(types[id]!)) control.add(id);
    });
    return new PieceTokenizer(
      pieces.map((piece, id) => ({
        bytes: encoder.encode(piece.replaceAll('\u2581', ' ')),
        score: scores[id]!,
      })),
      {
        ...(bosToken === undefined ? {} : { bosToken }),
        ...(endTokens.length === 0 ? {} : { endTokens }),
        addsBos: flag('add_bos_token') ?? true,
        frontSpace: flag('add_space_prefix') ?? true,
        control,
        byteTokens,
        chatTemplate: chatTemplate === undefined ? null : new ChatTemplate(chatTemplate),
      },
    );
  }
  return invalid('it is of another kind', { kind: shownName(String(kind)) });
}
