import type { RandomSource } from '../random/source.js';
import { clopperPearson } from './statistics.js';

/** What draws say about epsilon, whatever the table says. */
export interface Audit {
  /** With the stated confidence, epsilon is at least this. */
  readonly epsilonAtLeast: number;
  readonly confidence: number;
  readonly draws: number;
  /** Output, likely and unlikely input behind the bound. */
  readonly pair: readonly [output: number, likely: number, unlikely: number];
}

/**
 * Lower bound on epsilon from samples, over every pair of inputs of a group and every output: Clopper-Pearson intervals of all
 * probabilities, with the error shared among them (Bonferroni), and the largest ln(low / high).
 * @param sample one draw for an input; must be the code that is used in earnest
 */
export function audit(
  group: Uint32Array,
  sample: (input: number, source: RandomSource) => number,
  source: RandomSource,
  draws: number,
  confidence = 0.95,
): Audit {
  const each = Math.floor(draws / group.length);
  const counts = Array.from(group, (input) => {
    const found = new Map<number, number>();
    for (let i = 0; i < each; i++) {
      const output = sample(input, source);
      found.set(output, (found.get(output) ?? 0) + 1);
    }
    return found;
  });
  const outputs = [...new Set(counts.flatMap((found) => [...found.keys()]))];
  const alpha = (2 * (1 - confidence)) / (2 * outputs.length * group.length);
  let epsilonAtLeast = 0;
  let pair: Audit['pair'] = [outputs[0]!, group[0]!, group[0]!];
  for (const output of outputs) {
    // The largest count gives the largest lower bound, the smallest the smallest upper one.
    let [most, least] = [0, 0];
    counts.forEach((found, x) => {
      if ((found.get(output) ?? 0) > (counts[most]!.get(output) ?? 0)) most = x;
      if ((found.get(output) ?? 0) < (counts[least]!.get(output) ?? 0)) least = x;
    });
    const low = clopperPearson(counts[most]!.get(output) ?? 0, each, alpha).low;
    const high = clopperPearson(counts[least]!.get(output) ?? 0, each, alpha).high;
    const bound = low > 0 ? Math.log(low / high) : 0;
    if (bound > epsilonAtLeast) {
      epsilonAtLeast = bound;
      pair = [output, group[most]!, group[least]!];
    }
  }
  return { epsilonAtLeast, confidence, draws: each * group.length, pair };
}
