import { randomBytes, SottoError } from '@sotto/base';
import { Hmac, PrfSource, type RandomSource } from './random/source.js';

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

/** Randomness by word: HMAC-SHA-256 down to the context and for texts, ChaCha20 for word ids. */
export class MemoContext {
  readonly #key: Uint32Array;
  readonly #hmac: Hmac;

  /** @param key 32 bytes */
  constructor(key: Uint8Array) {
    this.#key = asWords(key);
    this.#hmac = new Hmac(key);
  }

  /** The stream that belongs to a word of the vocabulary; `occurrence` separates repetitions that shall be independent. */
  word(id: number, occurrence = 0): RandomSource {
    return new PrfSource(this.#key, [0, id, occurrence]);
  }

  /** What a ledger knows a reply by: 72 bits in base64, which say nothing without the key. */
  wordTag(id: number, occurrence = 0): string {
    return tagOf(new PrfSource(this.#key, [2, id, occurrence]));
  }

  textTag(text: string, occurrence = 0): string {
    return tagOf(
      new PrfSource(asWords(this.#hmac.digest(new TextEncoder().encode(text))), [3, 0, occurrence]),
    );
  }

  /** The stream that belongs to any other piece of text. */
  text(text: string, occurrence = 0): RandomSource {
    return new PrfSource(asWords(this.#hmac.digest(new TextEncoder().encode(text))), [1, 0, occurrence]);
  }
}

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

function tagOf(source: RandomSource): string {
  let tag = '';
  for (let i = 0; i < 3; i++) {
    const value = source.u32();
    for (let shift = 0; shift < 24; shift += 6) tag += BASE64[(value >>> shift) & 63];
  }
  return tag;
}

function asWords(bytes: Uint8Array): Uint32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Uint32Array.from({ length: 8 }, (_, i) => view.getUint32(4 * i, true));
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
