/**
 * Guesses how a text goes on. A guess costs nothing when it is right and little when it is wrong: the encrypted model checks all
 * guesses of a pass at once (Leviathan et al., arXiv 2211.17192, for greedy choice), and a wrong one never shows in the answer.
 */
export interface Drafter {
  readonly name: string;
  /**
   * @param tokens the whole text so far, BOS first.
   * @returns at most `count` next tokens, in order; fewer, or none, where it has no guess.
   */
  draft(tokens: readonly number[], count: number): readonly number[];
}

/** A drafter from a guess of one token; null ends the draft. */
export function stepwise(name: string, next: (tokens: readonly number[]) => number | null): Drafter {
  return {
    name,
    draft(tokens, count) {
      const text = [...tokens];
      while (text.length < tokens.length + count) {
        const token = next(text);
        if (token === null) break;
        text.push(token);
      }
      return text.slice(tokens.length);
    },
  };
}
