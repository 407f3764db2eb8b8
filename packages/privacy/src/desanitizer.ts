import { endsInWord, isWordCharacter } from './text/word-character.js';

/** The user's word behind a substitute. */
export interface Substitution {
  readonly original: string;
  readonly substitute: string;
}

interface TrieNode {
  readonly next: Map<string, TrieNode>;
  /** What to put in place of the path to here; null inside a longer substitute. */
  original: string | null;
}

/** Lower case where that keeps the length, so that positions stay the same. */
function folded(unit: string): string {
  const lower = unit.toLowerCase();
  return lower.length === unit.length ? lower : unit;
}

/**
 * Puts the user's own words back where their substitutes occur as whole words, whatever their letter case. One pass from left to right,
 * the longest substitute first. When several originals share a substitute, the first one given wins.
 *
 * As a stream it holds back only what may still become a substitute, and its output does not depend on how the text is cut.
 */
export class Desanitizer {
  readonly #root: TrieNode = { next: new Map(), original: null };
  #held = '';
  /** Whether the last emitted code point is a word character. */
  #afterWord = false;
  readonly #decoder = new TextDecoder('utf-8');

  constructor(substitutions: Iterable<Substitution>) {
    for (const { original, substitute } of substitutions) {
      let node = this.#root;
      for (const unit of substitute.split('')) {
        const key = folded(unit);
        let next = node.next.get(key);
        if (next === undefined) {
          next = { next: new Map(), original: null };
          node.next.set(key, next);
        }
        node = next;
      }
      if (node !== this.#root) node.original ??= original;
    }
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
    return out;
  }

  /** The whole text at once. */
  restore(text: string): string {
    return this.push(text) + this.finish();
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
        out += likeCase(found.original, matched);
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
    return out;
  }

  #insideWord(text: string, at: number): boolean {
    return this.#afterWord && isWordCharacter(text.codePointAt(at)!);
  }

  /** The longest substitute at a position that ends at a word's end; `wait` when more text may change the answer. */
  #match(text: string, at: number, ended: boolean): { length: number; original: string } | 'wait' | null {
    let node = this.#root;
    let best: { length: number; original: string } | null = null;
    for (let i = at; ; i++) {
      if (node.original !== null) {
        const next = text.codePointAt(i);
        const unsure = next === undefined || (i + 1 === text.length && next >= 0xd800 && next < 0xdc00);
        if (unsure && !ended) return 'wait';
        const inWord = i > at && endsInWord(text.slice(at, i));
        if (next === undefined || !inWord || !isWordCharacter(next)) {
          best = { length: i - at, original: node.original };
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

/** The original; with a capital first letter where the substitute had one and the original is all lower case. */
function likeCase(original: string, matched: string): string {
  const capital = matched[0] !== matched[0]!.toLowerCase();
  if (!capital || original !== original.toLowerCase()) return original;
  return original.slice(0, 1).toUpperCase() + original.slice(1);
}
