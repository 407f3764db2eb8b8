import { ByteReader, ByteWriter, SottoError } from '@sotto/base';
import { type Drafter, stepwise } from './drafter.js';
import { repeated } from './ngram.js';

/** Endings of up to this many tokens are told apart. */
const LONGEST = 6;
/** An ending seen less often than this is no guide. */
const LEAST_SEEN = 2;
/** A repetition this long in the text itself is a better guide than the table. */
const OWN_WORDS = 4;
const MAGIC = 0x54415244;
const LARGEST_TOKEN = 2 ** 16 - 1;

const keyOf = (tokens: readonly number[]) => tokens.join(' ');

/** The likeliest next token after the endings that a model's own texts have: a guess without any arithmetic. */
export class DraftTable {
  /** Digest of the model that wrote the texts. */
  readonly modelDigest: string;
  readonly #next: ReadonlyMap<string, number>;

  private constructor(modelDigest: string, next: ReadonlyMap<string, number>) {
    this.modelDigest = modelDigest;
    this.#next = next;
  }

  /** Endings that it knows. */
  get size(): number {
    return this.#next.size;
  }

  /**
   * Counts texts (token ids). Endings that say what a shorter one says are left out.
   *
   * @throws SottoError `DRAFT_TABLE_INVALID` for token ids beyond 16 bits.
   */
  static count(modelDigest: string, texts: readonly (readonly number[])[]): DraftTable {
    if (texts.some((text) => text.some((token) => token > LARGEST_TOKEN))) {
      throw new SottoError('The vocabulary is too large for a table of drafts.', {
        code: 'DRAFT_TABLE_INVALID',
        facts: { largest: LARGEST_TOKEN },
        fix: 'Draft with --draft ngram or --draft model.',
      });
    }
    const counts = new Map<string, Map<number, number>>();
    for (const text of texts) {
      for (let at = 1; at < text.length; at++) {
        for (let length = 1; length <= Math.min(LONGEST, at); length++) {
          const key = keyOf(text.slice(at - length, at));
          const followers = counts.get(key) ?? new Map<number, number>();
          counts.set(key, followers.set(text[at]!, (followers.get(text[at]!) ?? 0) + 1));
        }
      }
    }
    const next = new Map<string, number>();
    const byLength = [...counts].map(([key, followers]) => ({
      context: key.split(' ').map(Number),
      followers,
    }));
    byLength.sort((a, b) => a.context.length - b.context.length);
    for (const { context, followers } of byLength) {
      const seen = [...followers.values()].reduce((sum, count) => sum + count, 0);
      if (seen < LEAST_SEEN) continue;
      const [best] = [...followers].reduce((a, b) => (b[1] > a[1] ? b : a));
      if (lookUp(next, context.slice(1)) !== best) next.set(keyOf(context), best);
    }
    return new DraftTable(modelDigest, next);
  }

  /** The likeliest token after the longest known ending; null when none is known. */
  after(tokens: readonly number[]): number | null {
    return lookUp(this.#next, tokens.slice(-LONGEST));
  }

  write(): Uint8Array {
    const writer = new ByteWriter().u32(MAGIC).u32(this.#next.size).u32(this.modelDigest.length);
    writer.bytes(new TextEncoder().encode(this.modelDigest));
    for (const [key, next] of this.#next) {
      const context = key.split(' ').map(Number);
      writer.u8(context.length);
      for (const token of [...context, next]) writer.u16(token);
    }
    return writer.finish();
  }

  /** @throws SottoError `DRAFT_TABLE_INVALID`, `DATA_TRUNCATED`, `DATA_TRAILING_BYTES`. */
  static read(bytes: Uint8Array): DraftTable {
    const reader = new ByteReader(bytes, 'table of drafts');
    if (reader.u32() !== MAGIC) {
      throw new SottoError('This is not a table of drafts.', {
        code: 'DRAFT_TABLE_INVALID',
        fix: 'Make one with scripts/make-draft-table.mjs, or draft with --draft ngram.',
      });
    }
    const size = reader.u32();
    const modelDigest = new TextDecoder().decode(reader.bytes(reader.u32()));
    const next = new Map<string, number>();
    for (let i = 0; i < size; i++) {
      const context = Array.from({ length: reader.u8() }, () => reader.u16());
      next.set(keyOf(context), reader.u16());
    }
    reader.end();
    return new DraftTable(modelDigest, next);
  }
}

function lookUp(next: ReadonlyMap<string, number>, ending: readonly number[]): number | null {
  for (let from = 0; from < ending.length; from++) {
    const token = next.get(keyOf(ending.slice(from)));
    if (token !== undefined) return token;
  }
  return null;
}

/** Drafts from the text itself where it repeats itself at length, from the table elsewhere. */
export const tableDrafter = (table: DraftTable): Drafter =>
  stepwise('table', (tokens) => repeated(tokens, OWN_WORDS) ?? table.after(tokens) ?? repeated(tokens, 1));
