import { SottoError } from '@sotto/base';
import type { Substitution } from './desanitizer.js';
import { logUpperBound } from './exact/ratio.js';
import type { Ledger } from './ledger/ledger.js';
import type { MemoContext, ReplyMemo } from './memo.js';
import { type RandomSource, SystemSource } from './random/source.js';
import { certify } from './table/certificate.js';
import { decodeTable, tableDigest } from './table/format.js';
import { TableSampler } from './table/sampler.js';
import { blockEntropyBits, blockSurpriseBits, keptShare } from './table/statistics.js';
import type { SanitizerTable } from './table/table.js';
import { classOf, drawFromClass, type FormatClass } from './text/classes.js';
import { checkedDetector } from './text/detector.js';
import { type Piece, pieces } from './text/segment.js';
import { findSensitive, type SensitiveDetector } from './text/sensitive.js';
import { endsInWord } from './text/word-character.js';

/** Which words are sanitized. Numbers, dates, addresses, ids, symbols and unknown words always are. */
export type Policy =
  | { readonly scope: 'every-word' }
  /** Common words of the table pass in clear, but for those of the user's list and what the detector finds. */
  | {
      readonly scope: 'sensitive-words';
      readonly userWords?: readonly string[];
      /** Default {@link findSensitive}. One that misses an obvious name, number or address is refused. */
      readonly detect?: SensitiveDetector;
    };

export interface SanitizerOptions {
  /** A table file; it is decoded and certified before anything else. */
  readonly tableBytes: Uint8Array;
  readonly policy?: Policy;
  readonly ledger: Ledger;
  /** The user's name in the ledger. */
  readonly user: string;
  /** Fixed replies; without it every call draws afresh, and repeating a text can average the noise out. */
  readonly memo?: ReplyMemo;
  /** With a memo: whether repetitions of a word within one text get the same reply (`same`, readable) or own ones. Default `same`. */
  readonly repetitions?: 'same' | 'independent';
}

/** What left, in terms a person can check. Epsilon is never given without its notion. */
export interface Receipt {
  readonly tableName: string;
  readonly tableDigest: string;
  readonly notion: string;
  /** What the notion does not cover here. */
  readonly caveats: readonly string[];
  readonly epsilonPerWord: number;
  /** The same without rounding, as the table claims and the certificate proves it: `ln(numerator/denominator)`. */
  readonly epsilonPerWordExact: string;
  /** Sum over the draws of this text. */
  readonly epsilonDocument: number;
  readonly draws: number;
  /** Draws that were paid for now; the others repeat replies that the receiver already has. */
  readonly newDraws: number;
  readonly piecesReplaced: number;
  /** Of the replaced pieces, those whose substitute is another text; the rest happened to draw themselves. */
  readonly piecesChanged: number;
  readonly wordsInClear: number;
  /** Entropy of the block of a word, in bits, under a Zipf prior: what the visible block tells. 0 for whole-vocabulary tables. */
  readonly blockBits: number;
  /** The same for this text: surprise of the blocks of all its drawn words, were words independent under the Zipf prior. */
  readonly blockBitsDocument: number;
}

/** Where the time of one call went, in milliseconds. */
export interface SanitizerTimes {
  /** Cutting, drawing and joining. */
  readonly sanitizeMs: number;
  /** Writing the ledger and waiting until it is durable. */
  readonly ledgerMs: number;
}

export interface Sanitized {
  readonly text: string;
  /** For the de-sanitizer, in order; secret, as they hold the user's words. */
  readonly substitutions: readonly Substitution[];
  readonly receipt: Receipt;
  readonly times: SanitizerTimes;
}

/** Letters of a word that stay visible under the block notion. */
export function likeInput(word: string, input: string): string {
  const unit = input.charCodeAt(0);
  if (unit >= 97 && unit <= 122) return word;
  if (input.length > 1 && input === input.toUpperCase() && input !== input.toLowerCase())
    return word.toUpperCase();
  const first = input[0]!;
  if (first !== first.toLowerCase()) return word.slice(0, 1).toUpperCase() + word.slice(1);
  return word;
}

/** Share of the vocabulary, by frequency, that any text has: 500 words of 20,000. */
const EVERYWHERE_SHARE = 1 / 40;
/**
 * Words in front that must agree before such a word, or a letter, of an answer is taken for a substitute, and the same for a number of one
 * digit: an answer uses them by itself, and putting originals in their place would garble it.
 */
const IN_FRONT_OF_COMMON = 2;
const IN_FRONT_OF_DIGIT = 1;

interface Draw {
  readonly piece: Piece;
  /** Key of the draw: pieces with equal keys get equal replies under a memo. */
  readonly key: string;
  readonly wordId: number;
  readonly occurrence: number;
}

interface Reply {
  readonly substitute: string;
  /** Of a fixed reply that costs epsilon: what the ledger knows it by. */
  readonly tag: string | null;
  /** {@link Substitution.wordsInFront}. */
  readonly wordsInFront: number;
}

/** Sanitizes text on the user's machine. */
export class Sanitizer {
  readonly table: SanitizerTable;
  readonly digest: string;
  readonly #sampler: TableSampler;
  readonly #policy: Policy;
  readonly #userWords: ReadonlySet<string>;
  /** Null where every word is sanitized. */
  readonly #detect: SensitiveDetector | null;
  readonly #ledger: Ledger;
  readonly #user: string;
  readonly #memo: ReplyMemo | undefined;
  readonly #independent: boolean;
  readonly #fresh = new SystemSource();
  readonly #perWord: number;
  readonly #blockBits: number;
  /** Words of the table that draw themselves, in 100. */
  readonly #keptOf100: string;
  /** Words of lower ids are so common that any text has them. */
  readonly #everywhere: number;
  /** Surprise of the block of each word in bits; null where the block is not visible. */
  readonly #surprise: Float64Array | null;

  /**
   * Fails closed: without a table whose certificate holds there is no sanitizer.
   * @throws `TABLE_UNCERTIFIED`, `MEMO_EPOCH`, `DETECTOR_BROKEN`, and the errors of `decodeTable`
   */
  constructor(options: SanitizerOptions) {
    this.table = decodeTable(options.tableBytes);
    this.digest = tableDigest(options.tableBytes);
    const certificate = certify(this.table);
    if (!certificate.holds) {
      throw new SottoError('The sanitizer table does not keep its claim.', {
        code: 'TABLE_UNCERTIFIED',
        facts: {
          table: this.table.name,
          claimed: logUpperBound(this.table.claimed),
          found: certificate.epsilon,
        },
        fix: 'Use a table that `certify` accepts.',
      });
    }
    this.#perWord = logUpperBound(this.table.claimed);
    this.#sampler = new TableSampler(this.table);
    this.#policy = options.policy ?? { scope: 'every-word' };
    const partial = this.#policy.scope === 'sensitive-words' ? this.#policy : null;
    this.#userWords = new Set((partial?.userWords ?? []).map(fold));
    this.#detect = partial === null ? null : checkedDetector(partial.detect ?? findSensitive);
    this.#ledger = options.ledger;
    this.#user = options.user;
    this.#memo = options.memo;
    this.#independent = options.repetitions === 'independent' || options.memo === undefined;
    this.#checkEpoch();
    this.#everywhere = Math.floor(this.table.words.length * EVERYWHERE_SHARE);
    const blocksShow = this.table.notion === 'ldp-within-block';
    this.#blockBits = blocksShow ? blockEntropyBits(this.table) : 0;
    this.#keptOf100 = (100 * keptShare(this.table)).toFixed(0);
    this.#surprise = blocksShow ? blockSurpriseBits(this.table) : null;
  }

  /**
   * Replaces words; pays in the ledger before it returns, so that nothing is returned that was not paid for.
   * @param context e.g. a conversation: replies repeat only within it
   * @param accept sees the sanitized text before it is paid for and throws to refuse it, e.g. because it is too long; the text must
   *   not leave from there
   * @throws `MEMO_EPOCH` after a rotation, `DETECTOR_BROKEN`, `BUDGET_SPENT` and the other errors of `Ledger.spend`
   */
  sanitize(text: string, context = '', accept: (sanitized: string) => void = () => {}): Sanitized {
    this.#checkEpoch();
    const startMs = performance.now();
    const { plan, wordsInClear } = this.#plan(text);
    const draws = plan.filter((item): item is Draw => typeof item !== 'string');
    const memo = this.#memo?.context(this.digest, context) ?? null;
    // Where equal words get equal replies, each is drawn once a text.
    const known = memo === null || this.#independent ? null : new Map<string, Reply>();
    const tags = new Set<string>();
    const substitutions: Substitution[] = [];
    const parts: string[] = [];
    let piecesChanged = 0;
    let [at, afterWord] = [0, false];
    for (const item of plan) {
      if (typeof item === 'string') {
        parts.push(item);
        at += item.length;
        afterWord = endsInWord(item);
        continue;
      }
      let reply = known?.get(item.piece.text);
      if (reply === undefined) {
        reply = this.#reply(item, memo);
        known?.set(item.piece.text, reply);
        if (reply.tag !== null) tags.add(reply.tag);
      }
      const { substitute, wordsInFront } = reply;
      if (afterWord && !/^(?:n?')/.test(substitute)) {
        parts.push(' ');
        at++;
      }
      parts.push(substitute);
      afterWord = true;
      if (item.piece.text !== substitute) piecesChanged++;
      substitutions.push({ original: item.piece.text, substitute, at, wordsInFront });
      at += substitute.length;
    }
    const sanitized = parts.join('');
    const sanitizeMs = performance.now() - startMs;
    accept(sanitized);
    const payMs = performance.now();
    const { costly, unpaid } = memo === null ? this.#payAll(draws) : this.#pay(tags);
    const ledgerMs = performance.now() - payMs;
    const perWord = this.#perWord;
    const { numerator, denominator } = this.table.claimed;
    return {
      text: sanitized,
      substitutions,
      receipt: {
        tableName: this.table.name,
        tableDigest: this.digest,
        notion: this.#notion(),
        caveats: this.#caveats(),
        epsilonPerWord: perWord,
        epsilonPerWordExact: `ln(${numerator}/${denominator})`,
        epsilonDocument: perWord * costly,
        draws: costly,
        newDraws: unpaid,
        piecesReplaced: draws.length,
        piecesChanged,
        wordsInClear,
        blockBits: this.#blockBits,
        blockBitsDocument: this.#documentBits(draws),
      },
      times: { sanitizeMs, ledgerMs },
    };
  }

  /** Pieces that stay, and draws in place of the others. */
  #plan(text: string): { plan: (string | Draw)[]; wordsInClear: number } {
    const plan: (string | Draw)[] = [];
    const seen = new Map<string, number>();
    const sensitive = this.#detect?.(text) ?? [];
    let [wordsInClear, start, span] = [0, 0, 0];
    for (const piece of pieces(text)) {
      const end = start + piece.text.length;
      while (span < sensitive.length && sensitive[span]!.end <= start) span++;
      const detected = span < sensitive.length && sensitive[span]!.start < end;
      start = end;
      if (piece.kind === 'public') {
        plan.push(piece.text);
        continue;
      }
      const folded = piece.kind === 'word' ? fold(piece.text) : '';
      const wordId = piece.kind === 'word' ? this.#sampler.idOf(folded) : -1;
      if (!detected && this.#passes(wordId, folded)) {
        wordsInClear++;
        plan.push(piece.text);
        continue;
      }
      const key = wordId >= 0 ? folded : piece.text;
      let occurrence = 0;
      if (this.#memo !== undefined && this.#independent) {
        occurrence = seen.get(key) ?? 0;
        seen.set(key, occurrence + 1);
      }
      plan.push({ piece, key, wordId, occurrence });
    }
    return { plan, wordsInClear };
  }

  #documentBits(draws: readonly Draw[]): number {
    let bits = 0;
    for (const { wordId } of draws) if (wordId >= 0) bits += this.#surprise?.[wordId] ?? 0;
    return bits;
  }

  #checkEpoch(): void {
    const epoch = this.#ledger.epoch(this.#user);
    if (this.#memo === undefined || this.#memo.epoch === epoch) return;
    throw new SottoError('Reply memo and ledger are in different epochs.', {
      code: 'MEMO_EPOCH',
      facts: { memo: this.#memo.epoch, ledger: epoch },
      fix: 'Make memo and sanitizer anew with the epoch of the ledger.',
    });
  }

  /** Fixed replies, and how many of them were not paid for before. */
  #pay(tags: ReadonlySet<string>): { costly: number; unpaid: number } {
    const fresh = [...tags].filter((tag) => !this.#ledger.isPaid(this.#user, tag));
    this.#spend(fresh.length, fresh);
    return { costly: tags.size, unpaid: fresh.length };
  }

  #payAll(draws: readonly Draw[]): { costly: number; unpaid: number } {
    const whole = this.table.stage !== null;
    const costly = whole ? draws.length : draws.filter(({ wordId }) => wordId >= 0).length;
    this.#spend(costly, []);
    return { costly, unpaid: costly };
  }

  #spend(count: number, tags: readonly string[]): void {
    this.#ledger.spend(this.#user, { table: this.digest, ratio: this.table.claimed, count }, tags);
  }

  #passes(wordId: number, folded: string): boolean {
    if (this.#policy.scope === 'every-word' || wordId < 0) return false;
    return wordId < this.table.commonWords && !this.#userWords.has(folded);
  }

  #reply({ piece, key, wordId, occurrence }: Draw, memo: MemoContext | null): Reply {
    const fixed =
      memo === null ? null : wordId >= 0 ? memo.word(wordId, occurrence) : memo.text(key, occurrence);
    const source: RandomSource = fixed ?? this.#fresh;
    // The whole-vocabulary notion shows neither class nor letter case.
    if (wordId < 0 && this.table.stage === null) {
      const kind = piece.kind as Exclude<Piece['kind'], 'public'>;
      const format = classOf(kind, piece.text);
      return { substitute: drawFromClass(format, source), tag: null, wordsInFront: inFrontOf(format) };
    }
    const id = this.#sampler.draw(wordId, source);
    const word = this.table.words[id]!;
    return {
      substitute: this.table.stage === null ? likeInput(word, piece.text) : word,
      tag: fixed?.tag ?? null,
      wordsInFront: id < this.#everywhere ? IN_FRONT_OF_COMMON : 0,
    };
  }

  #notion(): string {
    const among = this.#policy.scope === 'sensitive-words' ? ', among sensitive words only' : '';
    return `${this.#tableNotion()}${among}`;
  }

  #tableNotion(): string {
    return this.table.notion === 'ldp-within-block'
      ? 'local differential privacy within a public block of words; which block is visible'
      : 'local differential privacy over the whole vocabulary';
  }

  #caveats(): string[] {
    const caveats = [
      'length, spaces and punctuation are visible',
      `every word of the table may draw itself and leave as it is, common names such as John or Paris too: ${this.#keptOf100} in 100 do`,
    ];
    if (this.table.notion === 'ldp-within-block') {
      caveats.push(
        `the block of a word is visible: ${this.#blockBits.toFixed(1)} bits on average, at any epsilon`,
      );
      caveats.push(
        'letter case, and the class and shape of numbers, dates, addresses and unknown words are visible',
      );
    }
    if (this.#policy.scope === 'sensitive-words') {
      caveats.push(
        'common words are sent in clear unless the detector or your list has them: the promise holds among the words that are replaced only, ' +
          'and a word that stays was none of them',
      );
    }
    if (this.#memo === undefined)
      caveats.push('no reply memo: sending a text again costs again and helps an attacker average');
    else if (!this.#independent) caveats.push('equal words are visibly equal within a context');
    else caveats.push('equal words at equal counts are visibly equal across texts of a context');
    return caveats;
  }
}

function inFrontOf(format: FormatClass): number {
  if (format === 'number:0') return IN_FRONT_OF_DIGIT;
  return format === 'letter' || format === 'capital' ? IN_FRONT_OF_COMMON : 0;
}

/** The spelling that a vocabulary holds. */
export function fold(word: string): string {
  const lower = word.toLowerCase();
  return lower.includes('\u2019') ? lower.replaceAll('\u2019', "'") : lower;
}
