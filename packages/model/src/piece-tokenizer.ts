import { ByteReader, SottoError } from '@sotto/base';
import type { ChatTemplate } from './chat-template.js';
import {
  BOS_TOKEN,
  decodeBytes,
  type EncodeOptions,
  EOS_TOKEN,
  type Tokenizer,
  tokenOutOfRange,
  UNKNOWN_TOKEN,
} from './tokenizer.js';

const FIRST_BYTE_TOKEN = 3;
const MAX_PIECE_BYTES = 256;

/** One entry of a vocabulary; its id is its position. */
export interface Piece {
  readonly bytes: Uint8Array;
  readonly score: number;
}

/** What differs between vocabularies; what is absent is as in llama2.c. */
export interface PieceOptions {
  readonly bosToken?: number;
  readonly endTokens?: readonly number[];
  readonly addsBos?: boolean;
  /** Put a space in front of a text, as sentencepiece does. */
  readonly frontSpace?: boolean;
  /** Tokens that no text becomes, except their own name in the text of a template. */
  readonly control?: ReadonlySet<number>;
  /** The byte that a token stands for, by token. */
  readonly byteTokens?: ReadonlyMap<number, number>;
  readonly chatTemplate?: ChatTemplate | null;
}

/** Bytes as a string with one UTF-16 unit a byte: a map key that keeps invalid UTF-8 apart. */
function keyOf(bytes: Uint8Array): string {
  let key = '';
  for (const byte of bytes) key += String.fromCharCode(byte);
  return key;
}

/** The pieces `<0x00>`..`<0xFF>` where llama2.c has them, or none. */
function llama2cByteTokens(pieces: readonly Piece[]): ReadonlyMap<number, number> {
  const tokens = new Map<number, number>();
  for (let byte = 0; byte < 256; byte++) {
    const name = `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
    const piece = pieces[FIRST_BYTE_TOKEN + byte];
    if (piece === undefined || keyOf(piece.bytes) !== name) return new Map();
    tokens.set(FIRST_BYTE_TOKEN + byte, byte);
  }
  return tokens;
}

/** A pair of neighbours that may merge. */
interface Candidate {
  readonly score: number;
  readonly left: number;
  readonly right: number;
  readonly id: number;
  /** Ids when the pair was found: it is stale when one has changed. */
  readonly leftId: number;
  readonly rightId: number;
}

/** Highest score first, the leftmost of equals. */
const before = (a: Candidate, b: Candidate) => a.score > b.score || (a.score === b.score && a.left < b.left);

/** Binary heap of candidates. */
class CandidateHeap {
  readonly #items: Candidate[] = [];

  push(item: Candidate): void {
    const items = this.#items;
    let at = items.length;
    items.push(item);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(item, items[parent]!)) break;
      items[at] = items[parent]!;
      at = parent;
    }
    items[at] = item;
  }

  pop(): Candidate | undefined {
    const items = this.#items;
    const top = items[0];
    const last = items.pop();
    if (items.length === 0 || last === undefined) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && before(items[child + 1]!, items[child]!)) child++;
      if (!before(items[child]!, last)) break;
      items[at] = items[child]!;
      at = child;
    }
    items[at] = last;
    return top;
  }
}

/**
 * Byte-pair tokenizer of vocabularies whose pieces have scores: llama2.c, sentencepiece. A character without a piece becomes
 * its bytes where the vocabulary has a piece for every byte.
 */
export class PieceTokenizer implements Tokenizer {
  readonly bosToken: number;
  readonly endTokens: ReadonlySet<number>;
  readonly addsBos: boolean;
  readonly chatTemplate: ChatTemplate | null;
  readonly #pieces: readonly Piece[];
  readonly #ids = new Map<string, number>();
  readonly #control: ReadonlySet<number>;
  readonly #controlNames: RegExp | null;
  readonly #byteTokens: ReadonlyMap<number, number>;
  readonly #tokenOfByte = new Map<number, number>();
  readonly frontSpace: boolean;

  constructor(pieces: readonly Piece[], options: PieceOptions = {}) {
    this.#pieces = pieces;
    this.bosToken = options.bosToken ?? BOS_TOKEN;
    this.endTokens = new Set(options.endTokens ?? [EOS_TOKEN]);
    this.addsBos = options.addsBos ?? true;
    this.chatTemplate = options.chatTemplate ?? null;
    this.frontSpace = options.frontSpace ?? true;
    this.#control = options.control ?? new Set([UNKNOWN_TOKEN, BOS_TOKEN, EOS_TOKEN]);
    this.#byteTokens = options.byteTokens ?? llama2cByteTokens(pieces);
    for (const [token, byte] of this.#byteTokens) this.#tokenOfByte.set(byte, token);
    pieces.forEach((piece, id) => {
      const key = keyOf(piece.bytes);
      const taken = this.#control.has(id) || (options.byteTokens?.has(id) ?? false);
      if (!taken && key !== '' && !this.#ids.has(key)) this.#ids.set(key, id);
    });
    const decoder = new TextDecoder();
    const names = [...this.#control]
      .map((id) => decoder.decode(pieces[id]?.bytes ?? new Uint8Array(0)))
      .filter((name) => name !== '')
      .sort((a, b) => b.length - a.length)
      .map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
    this.#controlNames = names.length === 0 ? null : new RegExp(`(${names.join('|')})`, 'u');
  }

  get vocabSize(): number {
    return this.#pieces.length;
  }

  /** Characters outside the vocabulary become byte tokens; without it they are an error. */
  get byteFallback(): boolean {
    return this.#tokenOfByte.size === 256;
  }

  encode(text: string, options: EncodeOptions = {}): number[] {
    const tokens = (options.bos ?? this.addsBos) ? [this.bosToken] : [];
    if (text === '') return tokens;
    const parts = options.special && this.#controlNames ? text.split(this.#controlNames) : [text];
    parts.forEach((part, i) => {
      if (part === '') return;
      // split() puts what the pattern found at the odd places.
      if (i % 2 === 1) tokens.push(this.#controlToken(part));
      else for (const token of this.#encodePart(this.frontSpace ? ` ${part}` : part)) tokens.push(token);
    });
    return tokens;
  }

  #controlToken(name: string): number {
    const decoder = new TextDecoder();
    for (const id of this.#control) if (decoder.decode(this.#pieces[id]?.bytes) === name) return id;
    return UNKNOWN_TOKEN;
  }

  #encodePart(text: string): number[] {
    const ids: number[] = [];
    const encoder = new TextEncoder();
    for (const character of text) {
      const bytes = encoder.encode(character);
      const id = this.#ids.get(keyOf(bytes));
      if (id !== undefined) ids.push(id);
      else if (this.byteFallback) for (const byte of bytes) ids.push(this.#tokenOfByte.get(byte)!);
      else {
        throw new SottoError('A character of the text is not in the vocabulary of the model.', {
          code: 'TOKENIZER_CHARACTER_UNKNOWN',
          facts: { position: ids.length - (this.frontSpace ? 1 : 0) },
          fix: 'Remove or replace the character at this position.',
        });
      }
    }
    return this.#merge(ids);
  }

  /** Merges the pair with the highest score, the leftmost of equals, until no pair is a piece. */
  #merge(ids: number[]): number[] {
    const next = Int32Array.from(ids, (_, i) => (i + 1 < ids.length ? i + 1 : -1));
    const previous = Int32Array.from(ids, (_, i) => i - 1);
    const heap = new CandidateHeap();
    const consider = (left: number, right: number): void => {
      if (left < 0 || right < 0) return;
      const [leftId, rightId] = [ids[left]!, ids[right]!];
      const id = this.#ids.get(keyOf(this.#pieces[leftId]!.bytes) + keyOf(this.#pieces[rightId]!.bytes));
      if (id !== undefined) heap.push({ score: this.#pieces[id]!.score, left, right, id, leftId, rightId });
    };
    for (let i = 0; i + 1 < ids.length; i++) consider(i, i + 1);
    for (let best = heap.pop(); best !== undefined; best = heap.pop()) {
      const { left, right } = best;
      if (ids[left] !== best.leftId || ids[right] !== best.rightId || next[left] !== right) continue;
      ids[left] = best.id;
      ids[right] = -1;
      const after = next[right]!;
      next[left] = after;
      if (after >= 0) previous[after] = left;
      consider(previous[left]!, left);
      consider(left, after);
    }
    return ids.filter((id) => id >= 0);
  }

  bytesOf(token: number): Uint8Array {
    const piece = this.#pieces[token];
    if (piece === undefined) tokenOutOfRange(this.vocabSize);
    if (token === this.bosToken || this.endTokens.has(token)) return new Uint8Array(0);
    if (this.#control.has(token) && token !== UNKNOWN_TOKEN) return new Uint8Array(0);
    const byte = this.#byteTokens.get(token);
    return byte === undefined ? piece.bytes : Uint8Array.of(byte);
  }

  /** The space in front is taken off after BOS. */
  decode(tokens: readonly number[]): string {
    return decodeBytes(
      tokens.map((token, i) => {
        const piece = this.bytesOf(token);
        const first = this.frontSpace && i > 0 && tokens[i - 1] === this.bosToken;
        return first && piece[0] === 0x20 ? piece.subarray(1) : piece;
      }),
    );
  }
}

/**
 * Reads the tokenizer file of llama2.c: int32 longest piece, then for each of `vocabSize` pieces float32 score, int32 length,
 * bytes.
 *
 * @throws SottoError `DATA_TRUNCATED`, `DATA_TRAILING_BYTES`, `TOKENIZER_INVALID`.
 */
export function readTokenizer(bytes: Uint8Array, vocabSize: number): PieceTokenizer {
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
  return new PieceTokenizer(pieces);
}

/**
 * Reads a text vocabulary: one line a piece, piece TAB score, the line number is the id, U+2581 stands for a space.
 *
 * @throws SottoError `TOKENIZER_INVALID`.
 */
export function readTextVocabulary(text: string): PieceTokenizer {
  const lines = text.split('\n');
  if (lines[lines.length - 1] === '') lines.pop();
  const encoder = new TextEncoder();
  return new PieceTokenizer(
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
