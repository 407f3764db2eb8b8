import { SottoError } from '@sotto/base';
import type { CkksEvaluator } from '../../ckks/index.js';
import type { Ciphertext } from '../../rlwe/index.js';
import type { Refresher } from '../../scheme/evaluator.js';
import { type ExactShape, exactShape, type RefreshShape, servesShape } from '../../scheme/refresh-shape.js';
import { type BootstrapOptions, type BootstrapPlan, planBootstrap } from './plan.js';
import { ciphertextSteps } from './raise.js';
import { bootstrapNew, type CompiledBootstrap, compileBootstrap, releaseBootstrap } from './stages.js';

/**
 * Non-interactive refresh. Needs the keys of {@link bootstrapKeyList} in the evaluator when it is made; encodes its matrices then.
 *
 * Precision does not depend on the data: about 21 bits rms of a component of magnitude up to 1, limited by the sine's
 * (2 pi z / ratio)^2 / 6 relative. Components up to 16 come through with an absolute error growing as their cube; beyond
 * ratio/4 they wrap.
 */
export class Bootstrapper implements Refresher<Ciphertext> {
  readonly plan: BootstrapPlan;
  readonly outputLevel: number;
  readonly inputLevel: number;
  readonly range = 1;
  count = 0;
  readonly #evaluator: CkksEvaluator;
  readonly #compiled: CompiledBootstrap<Ciphertext>;

  /** @throws SottoError `HE_NO_BOOTSTRAP`, `HE_SLOT_COUNT`, `HE_KEY_MISSING`. */
  constructor(evaluator: CkksEvaluator, options: BootstrapOptions = {}) {
    this.plan = planBootstrap(evaluator.context.params, options);
    this.outputLevel = this.plan.outputLevel;
    this.inputLevel = this.plan.levels.bottomLevel;
    this.#evaluator = evaluator;
    this.#compiled = compileBootstrap(evaluator, this.plan, ciphertextSteps(evaluator, this.plan));
  }

  /** What it keeps of the slots. */
  get shape(): ExactShape {
    return { period: this.plan.slots, real: this.plan.realOnly };
  }

  /** The encoded matrices, for running single stages. */
  get compiled(): CompiledBootstrap<Ciphertext> {
    return this.#compiled;
  }

  /** As {@link refresh}, at once. @param realOnly the slots are real: half the EvalMod work unless they are packed. */
  refreshNew(a: Ciphertext, realOnly = this.plan.realOnly): Ciphertext {
    if (a.level < this.inputLevel) {
      throw new SottoError('The ciphertext is too low to be refreshed.', {
        code: 'HE_LEVEL_EXHAUSTED',
        facts: { level: a.level, inputLevel: this.inputLevel },
        fix: 'Refresh one operation earlier.',
      });
    }
    const out = bootstrapNew(this.#evaluator, a, this.#compiled, realOnly);
    this.count++;
    return out;
  }

  /**
   * The same slots at {@link outputLevel}. Computes before it returns; the input is not freed.
   * @param shape of the slots; that of this bootstrapping when absent.
   * @throws SottoError `HE_LEVEL_EXHAUSTED` below {@link inputLevel}, `HE_REFRESH_SHAPE` when it would lose a part of the slots.
   */
  async refresh(a: Ciphertext, shape?: RefreshShape): Promise<Ciphertext> {
    const wanted = shape === undefined ? this.shape : exactShape(shape, this.plan.params.maxSlots);
    if (!servesShape(this.shape, wanted)) {
      throw new SottoError('This bootstrapping would lose a part of the slots.', {
        code: 'HE_REFRESH_SHAPE',
        facts: { ...wanted, slots: this.plan.slots, realOnly: this.plan.realOnly },
        fix: 'Use a bootstrapping for more slots, or for complex ones.',
      });
    }
    return this.refreshNew(a, wanted.real);
  }

  /** Frees the encoded matrices. */
  release(): void {
    releaseBootstrap(this.#evaluator, this.#compiled);
  }
}
