import { type Drafter, stepwise } from './drafter.js';

/** Longer endings are not looked for: they say nothing more. */
const LONGEST = 6;

/**
 * What followed the longest ending of the text, of at least `shortest` tokens, where it stood before; null when it never did.
 * Works without any model ("inference with reference", arXiv 2304.04487).
 */
export function repeated(tokens: readonly number[], shortest: number): number | null {
  for (let length = Math.min(LONGEST, tokens.length - 1); length >= shortest; length--) {
    const ending = tokens.length - length;
    // The latest place first: a text repeats what it said last.
    for (let from = ending - 1; from >= 0; from--) {
      let same = 0;
      while (same < length && tokens[from + same] === tokens[ending + same]) same++;
      if (same === length) return tokens[from + length]!;
    }
  }
  return null;
}

/** Drafts what prompt and answer have said before. */
export const ngramDrafter = (): Drafter => stepwise('ngram', (tokens) => repeated(tokens, 1));
