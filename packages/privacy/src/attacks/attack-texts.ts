import type { RandomSource } from '../random/source.js';
import { fold, likeInput } from '../sanitizer.js';
import { classOf, drawFromClass } from '../text/classes.js';
import { type Piece, pieces } from '../text/segment.js';
import type { Channel } from './channel.js';

/** A text under attack: words of the vocabulary that an attacker wants to know, and what stands between them. */
export interface AttackText {
  /** Ids of the words, as they were written and as they were received. */
  readonly originals: readonly number[];
  readonly received: readonly number[];
  /** How each word was written, as far as the receiver sees its letter case. */
  readonly written: readonly string[];
  /** What stands in front of each word as received, and behind the last one: one entry more than words. */
  readonly between: readonly string[];
}

/** Ids of the words of a text that are in the vocabulary, -1 where another word stands: what a bigram model is trained on. */
export function wordIds(text: string, idOf: (word: string) => number): number[] {
  const ids: number[] = [];
  for (const { kind, text: piece } of pieces(text)) {
    if (kind !== 'public') ids.push(kind === 'word' ? idOf(fold(piece)) : -1);
  }
  return ids;
}

/**
 * Sanitizes a text once, word by word and each by itself. Words that are parts of contractions stay as they are and are not counted;
 * everything that is not in the vocabulary is drawn from its class, or from the vocabulary where no class is visible, as the sanitizer does.
 * @param words of the table
 * @param most words at most; the text ends there
 */
export function sanitizeForAttack(
  text: string,
  channel: Channel,
  words: readonly string[],
  idOf: (word: string) => number,
  source: RandomSource,
  most = Number.POSITIVE_INFINITY,
): AttackText {
  const list = [...pieces(text)];
  const originals: number[] = [];
  const received: number[] = [];
  const written: string[] = [];
  const between: string[] = [''];
  const unknown = (kind: Exclude<Piece['kind'], 'public'>, piece: string): string =>
    channel.sampleUnknown === null
      ? drawFromClass(classOf(kind, piece), source)
      : words[channel.sampleUnknown(source)]!;
  for (let i = 0; i < list.length && originals.length < most; i++) {
    const { kind, text: piece } = list[i]!;
    const contracted = list[i - 1]?.kind === 'word' || list[i + 1]?.kind === 'word';
    const id = kind === 'word' && !contracted ? idOf(fold(piece)) : -1;
    if (id >= 0) {
      originals.push(id);
      received.push(channel.sample(id, source));
      written.push(channel.sampleUnknown === null ? piece : piece.toLowerCase());
      between.push('');
      continue;
    }
    between[between.length - 1] += kind === 'public' || contracted ? piece : unknown(kind, piece);
  }
  return { originals, received, written, between };
}

/**
 * The text from its beginning up to word `end`, that one left out, with a word for each position.
 * @param wordAt id of the word to put at a position
 */
export function textWith(
  text: AttackText,
  words: readonly string[],
  end: number,
  wordAt: (position: number) => number,
): string {
  let out = '';
  for (let t = 0; t < end; t++) {
    out += text.between[t]! + likeInput(words[wordAt(t)]!, text.written[t]!);
  }
  return out;
}
