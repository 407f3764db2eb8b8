import { randomBytes, SottoError, toHex } from '@sotto/base';
import { Hmac, PrfSource, type RandomSource } from './random/source.js';

/**
 * Replies that do not change: the randomness for a word is HMAC(key, epoch, context, word), so that sending the same text again, however
 * often, shows nothing new (RAPPOR's permanent response, Erlingsson et al. 2014). Only the key is kept, no words.
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

  /** The stream that belongs to a word in a context; `occurrence` separates repetitions that shall be independent. */
  source(tableDigest: string, context: string, word: string, occurrence = 0): RandomSource {
    return new PrfSource(
      this.#hmac,
      encodeParts([tableDigest, String(this.epoch), context, word, String(occurrence)]),
    );
  }

  /** A name for (epoch, context, word) that tells nobody without the key which word it is. */
  tag(tableDigest: string, context: string, word: string, occurrence = 0): string {
    const parts = encodeParts(['tag', tableDigest, String(this.epoch), context, word, String(occurrence)]);
    return toHex(this.#hmac.digest(parts).subarray(0, 12));
  }
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
