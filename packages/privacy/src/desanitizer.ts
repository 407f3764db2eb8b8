import { endsInWord, isWordCharacter } from './text/word-character.js';

/** One place of a sent text where a substitute stands for a word of the user. */
export interface Substitution {
  readonly original: string;
  readonly substitute: string;
  /** Where the substitute begins in the sent text, in UTF-16 units. */
  readonly at: number;
  /**
   * Any text may have this substitute by itself: it gives way only where at least so many words in front of it are those of the sent text.
   * Absent: anywhere.
   */
  readonly wordsInFront?: number;
}

/** What stands at one place of the sent text; null for a word that was sent as it is. */
interface Place {
  readonly original: string | null;
  readonly at: number;
}

interface Entry {
  readonly places: Place[];
  /** Words in front that must agree. */
  readonly wordsInFront: number;
  /** The place whose word was put back last; -1 before any. */
  last: number;
}

interface TrieNode {
  readonly next: Map<string, TrieNode>;
  /** What the path to here may stand for; null inside a longer substitute. */
  entry: Entry | null;
}

interface Match {
  readonly length: number;
  readonly entry: Entry;
}

/** Words in front of a place that are compared at most, and UTF-16 units that they may take. */
const WORDS_IN_FRONT = 4;
const UNITS_IN_FRONT = 200;

/** Lower case where that keeps the length, so that positions stay the same. */
function folded(unit: string): string {
  const lower = unit.toLowerCase();
  return lower.length === unit.length ? lower : unit;
}

/**
 * Puts the user's own words back where their substitutes occur as whole words, whatever their letter case. One pass from left to right,
 * the longest substitute first.
 *
 * A substitute that any text may have (`wordsInFront`) gives way only where it follows the same words as in the sent text.
 *
 * A substitute may stand for several words: the lot may fall on it twice, and the sent text may have it in clear too. The receiver could
 * not tell them apart, so which one an answer means is decided by place: the words in front of it in the answer are compared with those in
 * front of each place of the sent text, and where that leaves several, they follow each other as they did in the sent text. So a text that
 * comes back as it was sent is restored without mistaking one for another; in a free answer such a word may be the wrong one of the two.
 *
 * As a stream it holds back only what may still become a substitute, and its output does not depend on how the text is cut.
 */
export class Desanitizer {
  readonly #root: TrieNode = { next: new Map(), entry: null };
  readonly #sent: string;
  readonly #entries: Entry[] = [];
  #held = '';
  /** End of what was read, as it came. */
  #tail = '';
  /** Whether the last emitted code point is a word character. */
  #afterWord = false;
  #restored = 0;
  #byPlace = 0;
  readonly #decoder = new TextDecoder('utf-8');

  /**
   * @param substitutions places of the sent text, in any order
   * @param sent all that was sent, words in clear included
   */
  constructor(substitutions: Iterable<Substitution>, sent: string) {
    this.#sent = sent;
    for (const { original, substitute, at, wordsInFront = 0 } of substitutions) {
      if (substitute === '') continue;
      let node = this.#root;
      for (const unit of substitute.split('')) {
        const key = folded(unit);
        let next = node.next.get(key);
        if (next === undefined) {
          next = { next: new Map(), entry: null };
          node.next.set(key, next);
        }
        node = next;
      }
      if (node.entry === null) {
        node.entry = { places: [], wordsInFront, last: -1 };
        this.#entries.push(node.entry);
      }
      node.entry.places.push({ original, at });
    }
    this.#addClearPlaces();
    for (const entry of this.#entries) {
      entry.places.sort((a, b) => a.at - b.at);
      unifySpelling(entry.places);
    }
  }

  /** Substitutes that gave way to words of the user so far. */
  get restored(): number {
    return this.#restored;
  }

  /** Substitutes so far that stood for several words, so that one was chosen by place. */
  get chosenByPlace(): number {
    return this.#byPlace;
  }

  /** The next part of the text, as a string or as UTF-8 bytes cut anywhere; returns what is decided. */
  push(part: string | Uint8Array): string {
    this.#held += typeof part === 'string' ? part : this.#decoder.decode(part, { stream: true });
    return this.#advance(false);
  }

  /** The rest. The object may then be used for another text. */
  finish(): string {
    this.#held += this.#decoder.decode();
    const out = this.#advance(true);
    this.#afterWord = false;
    this.#tail = '';
    for (const entry of this.#entries) entry.last = -1;
    return out;
  }

  /** The whole text at once. */
  restore(text: string): string {
    return this.push(text) + this.finish();
  }

  /** Substitutes that the sent text also has where nothing was replaced. */
  #addClearPlaces(): void {
    const replaced = new Set(this.#entries.flatMap(({ places }) => places.map(({ at }) => at)));
    const text = this.#sent;
    for (let at = 0; at < text.length; ) {
      const found = this.#insideWord(text, at) ? null : (this.#match(text, at, true) as Match | null);
      if (found !== null && !replaced.has(at)) {
        found.entry.places.push({ original: null, at });
      }
      const code = text.codePointAt(at)!;
      const length = found?.length ?? (code < 0x10000 ? 1 : 2);
      this.#afterWord = found === null ? isWordCharacter(code) : endsInWord(text.slice(at, at + length));
      at += length;
    }
    this.#afterWord = false;
  }

  #advance(ended: boolean): string {
    const text = this.#held;
    let out = '';
    let at = 0;
    while (at < text.length) {
      const found = this.#insideWord(text, at) ? null : this.#match(text, at, ended);
      if (found === 'wait') break;
      if (found !== null) {
        const matched = text.slice(at, at + found.length);
        const original = this.#originalOf(found.entry, text.slice(0, at));
        const back = original === null ? matched : likeCase(original, matched);
        if (back !== matched) this.#restored++;
        out += back;
        this.#afterWord = endsInWord(matched);
        at += found.length;
        continue;
      }
      const unit = text.charCodeAt(at);
      const high = unit >= 0xd800 && unit < 0xdc00;
      if (high && at + 1 === text.length && !ended) break;
      const code = text.codePointAt(at)!;
      const point = code < 0x10000 ? text[at]! : text.slice(at, at + 2);
      out += point;
      this.#afterWord = isWordCharacter(code);
      at += point.length;
    }
    this.#held = text.slice(at);
    this.#tail = (this.#tail + text.slice(0, at)).slice(-UNITS_IN_FRONT);
    return out;
  }

  /** The word behind a substitute that follows a text; null where it was sent as it is, or is not the one that was sent. */
  #originalOf(entry: Entry, text: string): string | null {
    const { places, wordsInFront } = entry;
    const first = places[0]!.original;
    const several = places.some(({ original }) => original !== first);
    if (!several && wordsInFront === 0) return first;
    const before = (this.#tail + text).slice(-UNITS_IN_FRONT);
    const agreement = places.map(({ at }) => commonWords(before, before.length, this.#sent, at));
    const most = Math.max(...agreement);
    if (most < wordsInFront) return null;
    const later = agreement.findIndex((value, i) => value === most && i > entry.last);
    entry.last = later >= 0 ? later : agreement.indexOf(most);
    if (several) this.#byPlace++;
    return places[entry.last]!.original;
  }

  #insideWord(text: string, at: number): boolean {
    return this.#afterWord && isWordCharacter(text.codePointAt(at)!);
  }

  /** The longest substitute at a position that ends at a word's end; `wait` when more text may change the answer. */
  #match(text: string, at: number, ended: boolean): Match | 'wait' | null {
    let node = this.#root;
    let best: Match | null = null;
    for (let i = at; ; i++) {
      if (node.entry !== null) {
        const next = text.codePointAt(i);
        const unsure = next === undefined || (i + 1 === text.length && next >= 0xd800 && next < 0xdc00);
        if (unsure && !ended) return 'wait';
        const inWord = i > at && endsInWord(text.slice(at, i));
        if (next === undefined || !inWord || !isWordCharacter(next)) {
          best = { length: i - at, entry: node.entry };
        }
      }
      if (node.next.size === 0) return best;
      if (i === text.length) return ended ? best : 'wait';
      const next = node.next.get(folded(text[i]!));
      if (next === undefined) return best;
      node = next;
    }
  }
}

/** How many of the last words of `a` before `atA` and of `b` before `atB` are the same, letter case aside. */
function commonWords(a: string, atA: number, b: string, atB: number): number {
  const word = (text: string, at: number) => at >= 0 && isWordCharacter(text.charCodeAt(at));
  let [i, j] = [atA - 1, atB - 1];
  for (let count = 0; count < WORDS_IN_FRONT; count++) {
    while (i >= 0 && !word(a, i)) i--;
    while (j >= 0 && !word(b, j)) j--;
    if (i < 0 || j < 0) return count;
    while (word(a, i) && word(b, j) && folded(a[i]!) === folded(b[j]!)) {
      i--;
      j--;
    }
    if (word(a, i) || word(b, j)) return count;
  }
  return WORDS_IN_FRONT;
}

/** One spelling for words that differ in letter case only: lower case, which {@link likeCase} fits, or else the commonest. */
function unifySpelling(places: Place[]): void {
  const spellings = new Map<string, Map<string, number>>();
  for (const { original } of places) {
    if (original === null) continue;
    const lower = original.toLowerCase();
    const counts = spellings.get(lower) ?? new Map<string, number>();
    spellings.set(lower, counts.set(original, (counts.get(original) ?? 0) + 1));
  }
  for (const [lower, counts] of spellings) {
    if (counts.size === 1) continue;
    const plain = [...counts.keys()].every((word) =>
      [lower, capitalised(lower), lower.toUpperCase()].includes(word),
    );
    const [commonest] = [...counts].sort((a, b) => b[1] - a[1])[0]!;
    const original = plain ? lower : commonest;
    places.forEach((place, i) => {
      if (place.original !== null && counts.has(place.original)) places[i] = { ...place, original };
    });
  }
}

const capitalised = (word: string) => word.slice(0, 1).toUpperCase() + word.slice(1);

/** The original, in the letter case of its substitute where it is itself in lower case. */
function likeCase(original: string, matched: string): string {
  if (original !== original.toLowerCase() || matched[0] === matched[0]!.toLowerCase()) return original;
  const capitals = original.length > 1 && matched.length > 1 && matched === matched.toUpperCase();
  return capitals ? original.toUpperCase() : capitalised(original);
}
