import type { Window } from '@sotto/protocol';
import type { Drafter } from './drafter.js';

/** How an answer is drafted. */
export interface Drafting {
  readonly drafter: Drafter;
  /** Rows of a pass, the certain ones included; as many as a block has when absent. */
  readonly rows?: number;
  /**
   * Every pass has the same number of rows, whether there are guesses for them or not: the server does not learn how many tokens
   * were drafted. How many it is told to keep it learns either way.
   */
  readonly fixed?: boolean;
}

/** What one pass asks. */
export interface DraftedBlock {
  /** Certain tokens, then guesses, then fillers. */
  readonly tokens: readonly number[];
  readonly certain: number;
  /** Guesses among them. */
  readonly drafted: number;
}

export interface BlockRequest {
  /** The whole text, BOS first. */
  readonly text: readonly number[];
  /** How many tokens at its end are certain and not yet at the server; at most a block. */
  readonly certain: number;
  readonly publicTokens: number;
  /** Answer tokens still wanted. */
  readonly wanted: number;
  readonly window: Window;
  /** The token may stand in an encrypted row. */
  readonly knows: (token: number) => boolean;
}

/** The next block: the certain tokens, and as many guesses as there are rows, room and use for. */
export function draftBlock(request: BlockRequest, drafting: Drafting | undefined): DraftedBlock {
  const { text, certain, publicTokens, wanted, window, knows } = request;
  const tokens = text.slice(text.length - certain);
  if (drafting === undefined) return { tokens, certain, drafted: 0 };
  const { drafter, fixed = false } = drafting;
  const rows = Math.min(window.blockRows, drafting.rows ?? window.blockRows);
  const room = Math.min(
    rows - certain,
    window.privateTokens - (text.length - publicTokens),
    window.positions - text.length,
  );
  if (room <= 0) return { tokens, certain, drafted: 0 };
  const guesses = drafter.draft(text, fixed ? room : Math.min(room, wanted - 1));
  const strange = guesses.findIndex((token) => !knows(token));
  const drafted = strange < 0 ? guesses.length : strange;
  tokens.push(...guesses.slice(0, drafted));
  // Fillers are the beginning of the text: no row of them leaves the calibrated ranges.
  const fillers = text.slice(1).filter(knows);
  for (let i = 0; fixed && tokens.length < certain + room; i++) tokens.push(fillers[i % fillers.length]!);
  return { tokens, certain, drafted };
}
