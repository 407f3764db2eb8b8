import { SottoError } from '@sotto/base';
import type { CkksEvaluator } from '../../ckks/index.js';
import type { Ciphertext } from '../../rlwe/index.js';
import type { Refresher } from '../../scheme/evaluator.js';
import { exactShape, type RefreshShape, servesShape } from '../../scheme/refresh-shape.js';
import { Bootstrapper } from './bootstrapper.js';
import type { BootstrapOptions } from './plan.js';

/** Refreshes by the cheapest of several bootstrappings that keeps what the shape of a ciphertext promises. */
export class BootstrapRefresher implements Refresher<Ciphertext> {
  readonly bootstrappers: readonly Bootstrapper[];
  readonly outputLevel: number;
  readonly inputLevel: number;
  readonly range = 1;

  /**
   * Needs the keys of `bootstrapKeyList(params, all)`.
   * @param all from the most general to the cheapest.
   * @throws as {@link Bootstrapper}.
   */
  constructor(evaluator: CkksEvaluator, all: readonly BootstrapOptions[]) {
    this.bootstrappers = all.map((options) => new Bootstrapper(evaluator, options));
    this.outputLevel = this.bootstrappers[0].outputLevel;
    this.inputLevel = this.bootstrappers[0].inputLevel;
  }

  get count(): number {
    return this.bootstrappers.reduce((sum, { count }) => sum + count, 0);
  }

  /** @throws SottoError `HE_REFRESH_SHAPE` when no bootstrapping serves the shape, and those of {@link Bootstrapper.refresh}. */
  async refresh(a: Ciphertext, shape?: RefreshShape): Promise<Ciphertext> {
    const wanted = exactShape(shape, a.context.params.maxSlots);
    const chosen = this.bootstrappers.findLast(({ shape: offered }) => servesShape(offered, wanted));
    if (chosen === undefined) {
      throw new SottoError('No bootstrapping is prepared for slots of this shape.', {
        code: 'HE_REFRESH_SHAPE',
        facts: { ...wanted },
        fix: 'Prepare the bootstrappings that the plan names.',
      });
    }
    return chosen.refresh(a, wanted);
  }

  /** Frees the encoded matrices. */
  release(): void {
    for (const bootstrapper of this.bootstrappers) bootstrapper.release();
  }
}
