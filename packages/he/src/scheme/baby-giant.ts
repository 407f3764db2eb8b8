/** A baby-step giant-step split of a linear map: diagonal k is done as baby step `k mod babySteps` inside giant step `k - k mod babySteps`. */
export interface BabyGiantSplit {
  readonly babySteps: number;
  /** Rotations of the input, ascending, 0 included where it is used. */
  readonly babies: readonly number[];
  /** Rotations of the partial sums, ascending, 0 included where it is used. */
  readonly giants: readonly number[];
  /** Every rotation that needs a key. */
  readonly rotations: readonly number[];
}

/** A hoisted rotation costs about this part of a full one. */
const hoistedCost = 0.4;

function split(diagonals: readonly number[], babySteps: number): BabyGiantSplit {
  const sorted = (set: Set<number>): number[] => [...set].sort((a, b) => a - b);
  const babies = sorted(new Set(diagonals.map((k) => k % babySteps)));
  const giants = sorted(new Set(diagonals.map((k) => k - (k % babySteps))));
  const rotations = sorted(new Set([...babies, ...giants].filter((k) => k !== 0)));
  return { babySteps, babies, giants, rotations };
}

/**
 * Splits a set of diagonals. Halevi and Shoup, Faster homomorphic linear transformations in HElib (CRYPTO 2018), section 4.
 * @param diagonals indices, taken modulo `slots`.
 * @param babySteps a power of two; the cheapest when absent.
 */
export function splitBabyGiant(
  diagonals: readonly number[],
  slots: number,
  babySteps?: number,
): BabyGiantSplit {
  const indices = [...new Set(diagonals.map((k) => ((k % slots) + slots) % slots))];
  if (babySteps !== undefined) return split(indices, babySteps);
  let best = split(indices, slots);
  let bestCost = Number.POSITIVE_INFINITY;
  for (let steps = 1; steps <= slots; steps *= 2) {
    const candidate = split(indices, steps);
    const count = (of: readonly number[]) => of.filter((k) => k !== 0).length;
    const cost = hoistedCost * count(candidate.babies) + count(candidate.giants);
    if (cost < bestCost) {
      best = candidate;
      bestCost = cost;
    }
  }
  return best;
}
