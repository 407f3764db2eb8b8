import { SottoError } from '@sotto/base';
import type { Refresher } from '../scheme/evaluator.js';
import { type ExactShape, exactShape, type RefreshShape } from '../scheme/refresh-shape.js';
import type { CleartextCiphertext } from './ciphertext.js';
import type { CleartextEvaluator } from './evaluator.js';
import { maxComponent, type Slots } from './vector.js';

export interface CleartextRefresherOptions {
  /** Level of refreshed ciphertexts; the evaluator's fresh level when absent. */
  readonly outputLevel?: number;
  /** Lowest level accepted; the evaluator's bottom level when absent. */
  readonly inputLevel?: number;
  /** Largest component refreshed within the stated precision. 1 when absent. */
  readonly range?: number;
  /** Noise of a component: standard deviation range * 2^-bits. Exact when absent (also when the evaluator is noiseless). */
  readonly bits?: number;
  /** A component beyond this is an escape. 16 times the range when absent. */
  readonly hardLimit?: number;
  /** What an escape does: an error, or only counted in `escapes`. */
  readonly onEscape?: 'error' | 'count';
  /** Ratio of modulus to message of a bootstrapping to imitate: its sine compresses a component z by (2 pi z/ratio)^2/6. */
  readonly messageRatio?: number;
}

/** Parts that a shape denies may be this large, relative to the range: rounding, and the noise of earlier refreshes times this. */
const SHAPE_TOLERANCE = 2 ** -16;
const SHAPE_NOISE_FACTOR = 2 ** 15;

/** Restores levels of simulated ciphertexts with the noise and the range trap of a real refresh. */
export class CleartextRefresher implements Refresher<CleartextCiphertext> {
  readonly outputLevel: number;
  readonly inputLevel: number;
  readonly range: number;
  readonly hardLimit: number;
  count = 0;
  /** Refreshes in which a component was beyond the hard limit. */
  escapes = 0;
  /** Largest component seen so far. */
  largest = 0;
  readonly #evaluator: CleartextEvaluator;
  readonly #bits: number;
  readonly #messageRatio: number;
  readonly #onEscape: 'error' | 'count';

  constructor(evaluator: CleartextEvaluator, options: CleartextRefresherOptions = {}) {
    this.#evaluator = evaluator;
    this.outputLevel = options.outputLevel ?? evaluator.levels.freshLevel;
    this.inputLevel = options.inputLevel ?? evaluator.levels.bottomLevel;
    this.range = options.range ?? 1;
    this.hardLimit = options.hardLimit ?? 16 * this.range;
    this.#bits = options.bits ?? Number.POSITIVE_INFINITY;
    this.#messageRatio = options.messageRatio ?? Number.POSITIVE_INFINITY;
    this.#onEscape = options.onEscape ?? 'error';
  }

  /**
   * @throws SottoError `HE_LEVEL_EXHAUSTED` below the input level, `HE_REFRESH_RANGE` beyond the hard limit, `HE_REFRESH_SHAPE` when
   * the slots have more than noise in what the shape denies.
   */
  async refresh(a: CleartextCiphertext, shape?: RefreshShape): Promise<CleartextCiphertext> {
    const exact = exactShape(shape, this.#evaluator.slots);
    if (a.level < this.inputLevel) {
      throw new SottoError('The ciphertext is too low to be refreshed.', {
        code: 'HE_LEVEL_EXHAUSTED',
        facts: { level: a.level, inputLevel: this.inputLevel },
        fix: 'Refresh one operation earlier.',
      });
    }
    const copy = this.#evaluator.copyNew(a);
    const largest = maxComponent(copy);
    this.largest = Math.max(this.largest, largest);
    if (!(largest <= this.hardLimit)) {
      this.escapes++;
      if (this.#onEscape === 'error') {
        this.#evaluator.release(copy);
        throw new SottoError('A value is outside the range that a refresh can carry.', {
          code: 'HE_REFRESH_RANGE',
          facts: { hardLimit: this.hardLimit, range: this.range },
          fix: 'Calibrate the circuit with wider guards, or refresh with a larger range.',
        });
      }
    }
    this.count++;
    const slots = { re: copy.re.slice(), im: copy.im?.slice() ?? null };
    this.#evaluator.release(copy);
    const values = this.#compress(this.#project(slots, exact));
    return this.#evaluator.refreshed(values, this.outputLevel, this.range * 2 ** -this.#bits);
  }

  /** What a refresh made for the shape keeps: the mean over the periods, of the real part alone. */
  #project({ re, im }: Slots, { period, real }: ExactShape): Slots {
    const limit = this.range * Math.max(SHAPE_TOLERANCE, SHAPE_NOISE_FACTOR * 2 ** -this.#bits);
    const mean = (part: Float64Array, name: string): Float64Array => {
      if (part.length <= period) return part;
      const out = new Float64Array(period);
      part.forEach((value, i) => {
        out[i % period] += (value * period) / part.length;
      });
      const deviation = part.reduce((most, value, i) => Math.max(most, Math.abs(value - out[i % period])), 0);
      if (!(deviation <= limit)) throw shapeError(`the ${name} part does not repeat`, { period, limit });
      return out;
    };
    if (real && im !== null && !im.every((value) => Math.abs(value) <= limit)) {
      throw shapeError('the imaginary part is not zero', { period, limit });
    }
    return { re: mean(re, 'real'), im: real || im === null ? null : mean(im, 'imaginary') };
  }

  #compress(values: Slots): Slots {
    if (!Number.isFinite(this.#messageRatio)) return values;
    const unit = (this.range * this.#messageRatio) / (2 * Math.PI);
    const sine = (v: Float64Array) => v.map((z) => unit * Math.sin(z / unit));
    return { re: sine(values.re), im: values.im === null ? null : sine(values.im) };
  }
}

function shapeError(what: string, facts: { period: number; limit: number }): SottoError {
  return new SottoError(`A refresh was promised slots of another shape: ${what}.`, {
    code: 'HE_REFRESH_SHAPE',
    facts,
    fix: 'Promise what the circuit really leaves in the slots.',
  });
}
