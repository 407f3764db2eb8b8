import { ByteReader, SottoError } from '@sotto/base';

export const UNKNOWN_TOKEN = 0;
export const BOS_TOKEN = 1;
export const EOS_TOKEN = 2;
const FIRST_BYTE_TOKEN = 3;
const MAX_PIECE_BYTES = 256;

interface Piece {
  readonly bytes: Uint8Array;
  readonly score: number;
}

/** Bytes as a string with one UTF-16 unit a byte: a map key that keeps invalid UTF-8 apart. */
function keyOf(bytes: Uint8Array): string {
  let key = '';
  for (const byte of bytes) key += String.fromCharCode(byte);
  return key;
}

/**
 * Byte-pair tokenizer of llama2.c and sentencepiece-like vocabularies. Ids 0, 1, 2 are unknown, BOS, EOS; when ids 3..258 are
 * the pieces `<0x00>`..`<0xFF>`, a character without a piece falls back to its bytes.
 */
export class Tokenizer {
  readonly #pieces: readonly Piece[];
  readonly #ids = new Map<string, number>();
  /** Characters outside the vocabulary become byte tokens; without it they are an error. */
  readonly byteFallback: boolean;

  constructor(pieces: readonly Piece[]) {
    this.#pieces = pieces;
    pieces.forEach((piece, id) => {
      const key = keyOf(piece.bytes);
      if (id > EOS_TOKEN && !this.#ids.has(key)) this.#ids.set(key, id);
    });
    this.byteFallback = pieces.length >= FIRST_BYTE_TOKEN + 256;
    for (let byte = 0; byte < 256 && this.byteFallback; byte++) {
      const name = `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
      this.byteFallback = keyOf(pieces[FIRST_BYTE_TOKEN + byte]!.bytes) === name;
    }
  }

  get vocabSize(): number {
    return this.#pieces.length;
  }

  /**
   * Token ids of `text`. A space is put in front of a non-empty text, as sentencepiece does; merging takes the pair with the
   * highest score first, the leftmost of equals.
   *
   * @param options.bos put BOS in front (default true).
   * @throws SottoError `TOKENIZER_CHARACTER_UNKNOWN` when a character has no piece and there is no byte fallback.
   */
  encode(text: string, options: { bos?: boolean } = {}): number[] {
    const tokens = options.bos === false ? [] : [BOS_TOKEN];
    if (text === '') return tokens;
    const ids: number[] = [];
    const encoder = new TextEncoder();
    for (const character of ` ${text}`) {
      const bytes = encoder.encode(character);
      const id = this.#ids.get(keyOf(bytes));
      if (id !== undefined) ids.push(id);
      else if (this.byteFallback) ids.push(...Array.from(bytes, (byte) => byte + FIRST_BYTE_TOKEN));
      else {
        throw new SottoError('A character of the text is not in the vocabulary of the model.', {
          code: 'TOKENIZER_CHARACTER_UNKNOWN',
          facts: { position: ids.length - 1 },
          fix: 'Remove or replace the character at this position.',
        });
      }
    }
    for (;;) {
      let bestScore = Number.NEGATIVE_INFINITY;
      let bestId = -1;
      let bestAt = -1;
      for (let i = 0; i + 1 < ids.length; i++) {
        const joined = keyOf(this.#pieces[ids[i]!]!.bytes) + keyOf(this.#pieces[ids[i + 1]!]!.bytes);
        const id = this.#ids.get(joined);
        if (id !== undefined && this.#pieces[id]!.score > bestScore) {
          bestScore = this.#pieces[id]!.score;
          bestId = id;
          bestAt = i;
        }
      }
      if (bestAt < 0) return [...tokens, ...ids];
      ids.splice(bestAt, 2, bestId);
    }
  }

  /** Bytes that a token stands for. BOS and EOS stand for none. Error `TOKEN_OUT_OF_RANGE`. */
  bytesOf(token: number): Uint8Array {
    const piece = this.#pieces[token];
    if (piece === undefined) {
      throw new SottoError('A token is not in the vocabulary.', {
        code: 'TOKEN_OUT_OF_RANGE',
        facts: { vocabSize: this.vocabSize },
        fix: 'Use the tokenizer that belongs to the model.',
      });
    }
    if (token === BOS_TOKEN || token === EOS_TOKEN) return new Uint8Array(0);
    if (this.byteFallback && token >= FIRST_BYTE_TOKEN && token < FIRST_BYTE_TOKEN + 256) {
      return Uint8Array.of(token - FIRST_BYTE_TOKEN);
    }
    return piece.bytes;
  }

  /** Text of tokens. The space that {@link encode} puts in front is taken off after BOS; invalid UTF-8 becomes U+FFFD. */
  decode(tokens: readonly number[]): string {
    const bytes: number[] = [];
    tokens.forEach((token, i) => {
      const piece = this.bytesOf(token);
      const skip = i > 0 && tokens[i - 1] === BOS_TOKEN && piece[0] === 0x20 ? 1 : 0;
      bytes.push(...piece.subarray(skip));
    });
    return new TextDecoder().decode(Uint8Array.from(bytes));
  }
}

/**
 * Reads the tokenizer file of llama2.c: int32 longest piece, then for each of `vocabSize` pieces float32 score, int32 length,
 * bytes.
 *
 * @throws SottoError `DATA_TRUNCATED`, `DATA_TRAILING_BYTES`, `TOKENIZER_INVALID`.
 */
export function readTokenizer(bytes: Uint8Array, vocabSize: number): Tokenizer {
  const reader = new ByteReader(bytes, 'tokenizer file');
  const longest = reader.i32();
  const pieces: Piece[] = [];
  for (let id = 0; id < vocabSize; id++) {
    const score = reader.f32();
    const length = reader.i32();
    // The special pieces may be longer than the stated longest one.
    if (!Number.isFinite(score) || length < 0 || length > MAX_PIECE_BYTES) invalid(id, length);
    pieces.push({ score, bytes: reader.bytes(length).slice() });
  }
  reader.end();
  if (longest < 1 || longest > MAX_PIECE_BYTES) invalid(-1, longest);
  return new Tokenizer(pieces);
}

/**
 * Reads a text vocabulary: one line a piece, piece TAB score, the line number is the id, U+2581 stands for a space.
 *
 * @throws SottoError `TOKENIZER_INVALID`.
 */
export function readTextVocabulary(text: string): Tokenizer {
  const lines = text.split('\n');
  if (lines[lines.length - 1] === '') lines.pop();
  const encoder = new TextEncoder();
  return new Tokenizer(
    lines.map((line, id) => {
      const at = line.lastIndexOf('\t');
      const score = Number(line.slice(at + 1));
      if (at < 1 || !Number.isFinite(score)) invalid(id, line.length);
      return { bytes: encoder.encode(line.slice(0, at).replaceAll('\u2581', ' ')), score };
    }),
  );
}

function invalid(id: number, length: number): never {
  throw new SottoError('The tokenizer file holds an impossible piece.', {
    code: 'TOKENIZER_INVALID',
    facts: { id, length },
    fix: 'Use the tokenizer file that belongs to the model.',
  });
}
