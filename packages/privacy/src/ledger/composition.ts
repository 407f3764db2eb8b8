import { logUpperBound, type Ratio } from '../exact/ratio.js';

/** A number of draws from one mechanism, as the ledger counts them. */
export interface Expense {
  /** Digest of the table that answered. */
  readonly table: string;
  /** e^epsilon of one draw. */
  readonly ratio: Ratio;
  /** Number of draws. */
  readonly count: number;
  /**
   * e^eta when the mechanism is eta-bounded-range (ln P(y|x)/P(y|x') varies by at most eta over y), as the exponential mechanism is with
   * eta = epsilon. Absent: 2 epsilon, which every epsilon-DP mechanism satisfies.
   */
  readonly range?: Ratio;
}

/** What draws add up to. */
export interface Total {
  /** Pure epsilon: the sum. */
  readonly epsilon: number;
  /** Zero-concentrated DP: the sum of min(epsilon^2 / 2, eta^2 / 8) over the draws. */
  readonly rho: number;
}

export const nothing: Total = { epsilon: 0, rho: 0 };

/**
 * Adds draws. Pure: epsilons add. zCDP: rhos add; an epsilon-DP draw has rho <= epsilon^2 / 2 (Bun and Steinke 2016, proposition 1.4), an
 * eta-bounded-range one eta^2 / 8 (Cesar and Rogers 2021, lemma 3.4). Rounded up.
 */
export function addExpense(total: Total, { ratio, count, range }: Expense): Total {
  const epsilon = logUpperBound(ratio);
  const eta = range === undefined ? 2 * epsilon : logUpperBound(range);
  const rho = Math.min(epsilon ** 2 / 2, eta ** 2 / 8);
  const up = 1 + 4 * Number.EPSILON;
  return { epsilon: (total.epsilon + count * epsilon) * up, rho: (total.rho + count * rho) * up };
}

/** Epsilon at a delta: the better of the pure sum and rho + 2 sqrt(rho ln(1/delta)) (Bun and Steinke 2016, proposition 1.3). */
export function epsilonAt(total: Total, delta: number): number {
  if (!(delta > 0)) return total.epsilon;
  return Math.min(total.epsilon, total.rho + 2 * Math.sqrt(total.rho * Math.log(1 / delta)));
}
