import { expLowerBound, largestFractionBelow, parseEpsilon, type Ratio } from '../exact/ratio.js';
import { type RandomSource, uniformBelow } from '../random/source.js';

/**
 * Report-noisy-max with a proof on integers: utilities are integers in 0..R, the noise is geometric, P(Z >= z) = t^z with a rational t, and
 * ties are broken by fresh random words.
 *
 * Fix all noise and tie words but those of y. On x, y wins iff Z_y >= z* for some z* (or z* + 1, by the tie word, independent of x). On x'
 * every utility moves by at most R, so y wins as soon as Z_y >= z* + 2R; and P(Z >= z + 2R) = t^(2R) P(Z >= z). Hence epsilon =
 * 2R ln(1/t), and 1/t is the largest fraction with (1/t)^(2R) <= e^epsilon.
 */
export class ExactNoisyMax {
  /** 1/t. */
  readonly step: Ratio;
  /** e^epsilon as it is: (1/t)^(2R). */
  readonly ratio: Ratio;
  readonly range: number;

  /**
   * @param epsilon decimal text
   * @param range R, 1 .. 255
   */
  constructor(epsilon: string, range: number) {
    const parsed = parseEpsilon(epsilon);
    const exponent = BigInt(2 * range);
    const step = expLowerBound({ numerator: parsed.numerator, denominator: parsed.denominator * exponent });
    this.step = largestFractionBelow(step, 1n << 20n);
    this.ratio = {
      numerator: this.step.numerator ** exponent,
      denominator: this.step.denominator ** exponent,
    };
    this.range = range;
  }

  /** Index of the winner among integer utilities in 0..R. */
  sample(utilities: Uint8Array, source: RandomSource): number {
    const [keep, of] = [Number(this.step.denominator), Number(this.step.numerator)];
    let best = -1;
    let bestScore = -1;
    let bestTie = [0, 0];
    utilities.forEach((utility, y) => {
      let score = utility;
      while (uniformBelow(source, of) < keep) score++;
      const tie = [source.u32(), source.u32()];
      const wins =
        score > bestScore ||
        (score === bestScore && (tie[0]! > bestTie[0]! || (tie[0] === bestTie[0] && tie[1]! > bestTie[1]!)));
      if (wins) [best, bestScore, bestTie] = [y, score, tie];
    });
    return best;
  }

  /** Probabilities of the winners in floating point, with ideal tie-breaking; the noise is summed until it is below 1e-15. */
  probabilities(utilities: Uint8Array): Float64Array {
    const t = Number(this.step.denominator) / Number(this.step.numerator);
    const last = Math.ceil(-35 / Math.log(t)) + this.range;
    const out = new Float64Array(utilities.length);
    const atLeast = (z: number) => (z <= 0 ? 1 : t ** z);
    for (let score = 0; score <= last; score++) {
      // P(score of j < s) and P(score of j = s).
      const below = Float64Array.from(utilities, (utility) => 1 - atLeast(score - utility));
      const equal = Float64Array.from(
        utilities,
        (utility) => atLeast(score - utility) * (score < utility ? 0 : 1 - t),
      );
      for (let y = 0; y < utilities.length; y++) {
        if (equal[y] === 0) continue;
        // Number of rivals that tie: coefficients of the product of (below + equal * v).
        let ties = [1];
        for (let j = 0; j < utilities.length; j++) {
          if (j === y) continue;
          const next = new Array<number>(ties.length + 1).fill(0);
          ties.forEach((value, r) => {
            next[r]! += value * below[j]!;
            next[r + 1]! += value * equal[j]!;
          });
          ties = next;
        }
        ties.forEach((value, r) => {
          out[y]! += (equal[y]! * value) / (r + 1);
        });
      }
    }
    return out;
  }
}
