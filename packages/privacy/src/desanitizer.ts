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

/** A substitute and all that it may stand for. */
interface Entry {
  /** {@link fold}ed. */
  readonly substitute: string;
  /** Words in front that must agree. */
  readonly wordsInFront: number;
  readonly places: Place[];
  /** Whether the places are complete: in order, those in clear among them. */
  ready: boolean;
  /** Whether they hold different words. */
  several: boolean;
  /** The place whose word was put back last; -1 before any. */
  last: number;
}

interface Match {
  readonly length: number;
  readonly entry: Entry;
}

/** Words in front of a place that are compared at most, and UTF-16 units that they may take. */
const WORDS_IN_FRONT = 4;
const UNITS_IN_FRONT = 200;
/** What was read is forgotten, but for its end, when it is longer. */
const TAIL_UNITS = 4096;

const ASCII = /^[\0-\x7f]*$/;

function foldedUnit(unit: number): number {
  if (unit < 128) return unit >= 65 && unit <= 90 ? unit + 32 : unit;
  const lower = String.fromCharCode(unit).toLowerCase();
  return lower.length === 1 ? lower.charCodeAt(0) : unit;
}

/** Lower case unit by unit, where that keeps the length, so that positions and beginnings stay the same. */
function fold(text: string): string {
  if (ASCII.test(text)) return text.toLowerCase();
  let out = '';
  for (let i = 0; i < text.length; i++) out += String.fromCharCode(foldedUnit(text.charCodeAt(i)));
  return out;
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
  readonly #sent: string;
  /** {@link fold}ed, when first needed. */
  #folded: string | null = null;
  readonly #substitutions: readonly Substitution[];
  readonly #entries = new Map<string, Entry>();
  /** Entries by the first unit of the substitute, the longest first. */
  readonly #beginnings = new Map<number, Entry[]>();
  #held = '';
  /** End of what was read, as it came. */
  #tail = '';
  /** Whether the last emitted code point is a word character. */
  #afterWord = false;
  #restored = 0;
  #byPlace = 0;
  #decoder: TextDecoder | null = null;

  /**
   * @param substitutions places of the sent text, in order
   * @param sent all that was sent, words in clear included
   */
  constructor(substitutions: readonly Substitution[], sent: string) {
    this.#sent = sent;
    this.#substitutions = substitutions;
    for (const { original, substitute, at, wordsInFront = 0 } of substitutions) {
      if (substitute === '') continue;
      const key = fold(substitute);
      let entry = this.#entries.get(key);
      if (entry === undefined) {
        entry = { substitute: key, wordsInFront, places: [], ready: false, several: false, last: -1 };
        this.#entries.set(key, entry);
        const unit = key.charCodeAt(0);
        const first = this.#beginnings.get(unit);
        if (first === undefined) this.#beginnings.set(unit, [entry]);
        else first.push(entry);
      }
      entry.places.push({ original, at });
    }
    for (const list of this.#beginnings.values()) {
      if (list.length > 1) list.sort((a, b) => b.substitute.length - a.substitute.length);
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
    this.#held += typeof part === 'string' ? part : this.#decode(part);
    return this.#advance(false);
  }

  /** The rest. The object may then be used for another text. */
  finish(): string {
    this.#held += this.#decoder?.decode() ?? '';
    const out = this.#advance(true);
    this.#afterWord = false;
    this.#tail = '';
    for (const entry of this.#entries.values()) entry.last = -1;
    return out;
  }

  /** The whole text at once. */
  restore(text: string): string {
    return this.push(text) + this.finish();
  }

  #decode(bytes: Uint8Array): string {
    this.#decoder ??= new TextDecoder('utf-8');
    return this.#decoder.decode(bytes, { stream: true });
  }

  #advance(ended: boolean): string {
    const text = this.#held;
    let out = '';
    let at = 0;
    while (at < text.length) {
      if (this.#afterWord) {
        const from = at;
        while (at < text.length && isPlainWord(text.charCodeAt(at))) at++;
        if (at > from) {
          out += text.slice(from, at);
          continue;
        }
      }
      const found = this.#insideWord(text, at) ? null : this.#match(text, at, ended);
      if (found === 'wait') break;
      if (found !== null) {
        const matched = text.slice(at, at + found.length);
        const original = this.#originalOf(found.entry, text, at);
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
    this.#tail += text.slice(0, at);
    if (this.#tail.length > TAIL_UNITS) this.#tail = this.#tail.slice(-UNITS_IN_FRONT);
    return out;
  }

  /** The word behind a substitute at a position; null where it was sent as it is, or is not the one that was sent. */
  #originalOf(entry: Entry, text: string, at: number): string | null {
    if (!entry.ready) this.#complete(entry);
    const { places, several, wordsInFront } = entry;
    if (!several && wordsInFront === 0) return places[0]!.original;
    const before = (this.#tail + text.slice(0, at)).slice(-UNITS_IN_FRONT);
    let [most, chosen] = [-1, -1];
    places.forEach((place, i) => {
      const agreement = commonWords(before, before.length, this.#sent, place.at);
      // Of those that agree equally, the first one behind the place of last time; without such a one the first.
      const next = agreement === most && chosen <= entry.last && i > entry.last;
      if (agreement > most || next) [most, chosen] = [agreement, i];
    });
    if (most < wordsInFront) return null;
    entry.last = chosen;
    if (several) this.#byPlace++;
    return places[chosen]!.original;
  }

  /** Adds the places of the sent text that have a substitute where nothing was replaced. */
  #complete(entry: Entry): void {
    const { substitute, places } = entry;
    this.#folded ??= fold(this.#sent);
    const sent = this.#folded;
    const known = places.length;
    let inPlaces = 0;
    for (let at = sent.indexOf(substitute); at >= 0; at = sent.indexOf(substitute, at + 1)) {
      // Places are in order.
      while (inPlaces < known && places[inPlaces]!.at < at) inPlaces++;
      const replaced = inPlaces < known && places[inPlaces]!.at === at;
      if (!replaced && standsAlone(sent, at, at + substitute.length) && !this.#isReplaced(at)) {
        places.push({ original: null, at });
      }
    }
    if (places.length > known) places.sort((a, b) => a.at - b.at);
    if (places.length > 1) {
      unifySpelling(places);
      entry.several = places.some(({ original }) => original !== places[0]!.original);
    }
    entry.ready = true;
  }

  #isReplaced(position: number): boolean {
    return this.#substitutions.some(
      ({ at, substitute }) => position >= at && position < at + substitute.length,
    );
  }

  #insideWord(text: string, at: number): boolean {
    return this.#afterWord && isWordCharacter(text.codePointAt(at)!);
  }

  /** The longest substitute at a position that ends at a word's end; `wait` when more text may change the answer. */
  #match(text: string, at: number, ended: boolean): Match | 'wait' | null {
    const entries = this.#beginnings.get(foldedUnit(text.charCodeAt(at)));
    if (entries === undefined) return null;
    for (const entry of entries) {
      const { length } = entry.substitute;
      const end = at + length;
      const there = fold(text.slice(at, end));
      if (end > text.length) {
        if (!ended && entry.substitute.startsWith(there)) return 'wait';
        continue;
      }
      if (there !== entry.substitute) continue;
      const next = text.codePointAt(end);
      const unsure = next === undefined || (end + 1 === text.length && next >= 0xd800 && next < 0xdc00);
      if (unsure && !ended) return 'wait';
      if (next === undefined || !endsInWord(there) || !isWordCharacter(next)) return { length, entry };
    }
    return null;
  }
}

function isPlainWord(unit: number): boolean {
  return (
    (unit >= 97 && unit <= 122) || (unit >= 65 && unit <= 90) || (unit >= 48 && unit <= 57) || unit === 95
  );
}

/** Whether a part of a text is no part of a longer word. */
function standsAlone(text: string, start: number, end: number): boolean {
  const before =
    endsInWord(text.slice(Math.max(0, start - 2), start)) && isWordCharacter(text.codePointAt(start)!);
  const behind =
    end < text.length && endsInWord(text.slice(start, end)) && isWordCharacter(text.codePointAt(end)!);
  return !before && !behind;
}

const hasWordAt = (text: string, at: number): boolean => at >= 0 && isWordCharacter(text.charCodeAt(at));

/** How many of the last words of `a` before `atA` and of `b` before `atB` are the same, letter case aside. */
function commonWords(a: string, atA: number, b: string, atB: number): number {
  let i = atA - 1;
  let j = atB - 1;
  for (let count = 0; count < WORDS_IN_FRONT; count++) {
    while (i >= 0 && !hasWordAt(a, i)) i--;
    while (j >= 0 && !hasWordAt(b, j)) j--;
    if (i < 0 || j < 0) return count;
    while (
      hasWordAt(a, i) &&
      hasWordAt(b, j) &&
      foldedUnit(a.charCodeAt(i)) === foldedUnit(b.charCodeAt(j))
    ) {
      i--;
      j--;
    }
    if (hasWordAt(a, i) || hasWordAt(b, j)) return count;
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
