import { SottoError } from '@sotto/base';
import type { CkksEvaluator } from '../../ckks/index.js';
import type { Ciphertext } from '../../rlwe/index.js';
import type { Refresher } from '../../scheme/evaluator.js';
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

  /** The encoded matrices, for running single stages. */
  get compiled(): CompiledBootstrap<Ciphertext> {
    return this.#compiled;
  }

  /** As {@link refresh}, at once. */
  refreshNew(a: Ciphertext): Ciphertext {
    if (a.level < this.inputLevel) {
      throw new SottoError('The ciphertext is too low to be refreshed.', {
        code: 'HE_LEVEL_EXHAUSTED',
        facts: { level: a.level, inputLevel: this.inputLevel },
        fix: 'Refresh one operation earlier.',
      });
    }
    const out = bootstrapNew(this.#evaluator, a, this.#compiled);
    this.count++;
    return out;
  }

  /**
   * The same slots at {@link outputLevel}. Computes before it returns; the input is not freed.
   * @throws SottoError `HE_LEVEL_EXHAUSTED` below {@link inputLevel}.
   */
  async refresh(a: Ciphertext): Promise<Ciphertext> {
    return this.refreshNew(a);
  }

  /** Frees the encoded matrices. */
  release(): void {
    releaseBootstrap(this.#evaluator, this.#compiled);
  }
}
