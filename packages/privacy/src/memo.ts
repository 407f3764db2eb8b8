import { randomBytes, SottoError } from '@sotto/base';
import { chachaBlock } from './random/chacha.js';
import { Hmac, type RandomSource } from './random/source.js';

/**
 * Replies that do not change: the randomness for a word is a pseudo-random function of key, epoch, context and word, so that sending the same
 * text again, however often, shows nothing new (RAPPOR's permanent response, Erlingsson et al. 2014). Only the key is kept, no words.
 *
 * The price: within an epoch and a context equal words get equal replies, which shows that they are equal. A new epoch draws anew and
 * must be paid for in the ledger.
 */
export class ReplyMemo {
  readonly epoch: number;
  readonly #hmac: Hmac;

  /** @param key 32 secret bytes of one user. @throws `MEMO_KEY` on another length. */
  constructor(key: Uint8Array, epoch: number) {
    if (key.length !== 32 || !Number.isInteger(epoch) || epoch < 0) {
      throw new SottoError('A reply memo needs a key of 32 bytes and an epoch.', {
        code: 'MEMO_KEY',
        facts: { keyBytes: key.length, epoch },
        fix: 'Make a key with ReplyMemo.newKey() and keep it.',
      });
    }
    this.epoch = epoch;
    this.#hmac = new Hmac(key);
  }

  static newKey(): Uint8Array {
    return randomBytes(32);
  }

  /** The replies of one table in one context, e.g. a conversation. */
  context(tableDigest: string, context: string): MemoContext {
    return new MemoContext(this.#hmac.digest(encodeParts([tableDigest, String(this.epoch), context])));
  }
}

/** Words of the first block of a reply's key stream that are drawn from; the other three make its tag. */
const DRAWN_WORDS = 13;

/** The randomness of one fixed reply, and the name that a ledger knows it by. */
export class FixedReply implements RandomSource {
  readonly #key: Uint32Array;
  readonly #nonce: readonly [number, number, number];
  readonly #first: Uint32Array;
  #block: Uint32Array;
  #length = DRAWN_WORDS;
  #at = 0;
  #counter = 1;

  constructor(key: Uint32Array, nonce: readonly [number, number, number]) {
    this.#key = key;
    this.#nonce = nonce;
    this.#first = chachaBlock(key, 0, nonce);
    this.#block = this.#first;
  }

  u32(): number {
    if (this.#at === this.#length) {
      this.#block = chachaBlock(this.#key, this.#counter++, this.#nonce);
      this.#length = this.#block.length;
      this.#at = 0;
    }
    return this.#block[this.#at++]!;
  }

  /** 72 bits in base64, which say nothing without the key: they are words of the key stream that nothing is drawn from. */
  get tag(): string {
    const [x, y, z] = [this.#first[13]!, this.#first[14]!, this.#first[15]!];
    return base64Of(x) + base64Of(y) + base64Of(z);
  }
}

const BASE64 = new TextEncoder().encode('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_');

/** The lower 24 bits. */
const base64Of = (value: number): string =>
  String.fromCharCode(
    BASE64[value & 63]!,
    BASE64[(value >>> 6) & 63]!,
    BASE64[(value >>> 12) & 63]!,
    BASE64[(value >>> 18) & 63]!,
  );

/** Fixed replies of a context: HMAC-SHA-256 down to the context and for texts, ChaCha20 for word ids. */
export class MemoContext {
  readonly #key: Uint8Array;
  readonly #words: Uint32Array;
  #hmac: Hmac | null = null;

  /** @param key 32 bytes */
  constructor(key: Uint8Array) {
    this.#key = key;
    this.#words = asWords(key);
  }

  /** The reply that belongs to a word of the vocabulary; `occurrence` separates repetitions that shall be independent. */
  word(id: number, occurrence = 0): FixedReply {
    return new FixedReply(this.#words, [0, id, occurrence]);
  }

  /** The reply that belongs to any other piece of text. */
  text(text: string, occurrence = 0): FixedReply {
    this.#hmac ??= new Hmac(this.#key);
    return new FixedReply(asWords(this.#hmac.digest(new TextEncoder().encode(text))), [1, 0, occurrence]);
  }
}

function asWords(bytes: Uint8Array): Uint32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const words = new Uint32Array(8);
  for (let i = 0; i < 8; i++) words[i] = view.getUint32(4 * i, true);
  return words;
}

/** Length-prefixed, so that no two lists give the same bytes. */
function encodeParts(parts: readonly string[]): Uint8Array {
  const encoder = new TextEncoder();
  const encoded = parts.map((part) => encoder.encode(part));
  const out = new Uint8Array(encoded.reduce((sum, { length }) => sum + 4 + length, 0));
  const view = new DataView(out.buffer);
  let at = 0;
  for (const bytes of encoded) {
    view.setUint32(at, bytes.length, true);
    out.set(bytes, at + 4);
    at += 4 + bytes.length;
  }
  return out;
}
