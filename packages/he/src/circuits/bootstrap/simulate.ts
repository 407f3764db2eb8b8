import type { CleartextCiphertext } from '../../cleartext/ciphertext.js';
import type { CleartextEvaluator } from '../../cleartext/evaluator.js';
import { GaussianSource } from '../../cleartext/noise.js';
import { applyMatrix } from '../linear/index.js';
import { decodingFactors } from './dft.js';
import type { BootstrapPlan } from './plan.js';
import type { BootstrapSteps } from './stages.js';

/**
 * The cleartext twin of the steps that are no circuit. Raising adds random multiples I of q0 to the coefficients, distributed as under an ephemeral
 * secret of the plan's weight, and moves to the highest level.
 * @param seed of the simulation.
 */
export function simulatedSteps(
  ev: CleartextEvaluator,
  plan: BootstrapPlan,
  seed = 7,
): BootstrapSteps<CleartextCiphertext> {
  const { levels, params } = plan;
  const source = new GaussianSource(seed);
  const all = params.maxSlots;
  const stages = decodingFactors(all, new Array<number>(Math.log2(all)).fill(1));
  const integers = (): Float64Array =>
    Float64Array.from({ length: all }, () => {
      let sum = 0;
      for (let i = 0; i <= levels.ephemeralWeight; i++) sum += source.uniform() - 0.5;
      return Math.round(sum);
    });
  const raise = (low: CleartextCiphertext): CleartextCiphertext => {
    const { re, im } = ev.toSlots(low);
    const overflow = stages.reduce((x, stage) => applyMatrix(stage, x, all), {
      re: integers(),
      im: integers(),
    });
    const ratio = 2 ** -levels.logMessageRatio;
    const values = {
      re: re.map((v, i) => (v * ratio + overflow.re[i]) / levels.range),
      im: im.map((v, i) => (v * ratio + overflow.im[i]) / levels.range),
    };
    const { noise, scale } = ev.levels;
    const std = noise === null ? 0 : (1.5 * noise.rescaleStd * noise.slotFactor) / scale[levels.top];
    return ev.refreshed(values, levels.top, std);
  }; // The evaluator applies the factor of that level itself.
  return {
    raise,
    relabel: (square) => square,
    compile: ({ matrix, level, stride, babySteps }) =>
      ev.compileTransform(matrix, { level, babySteps: stride * babySteps }),
    transform: (x, factor) => ev.transformNew(x, factor),
    release: (factor) => ev.releaseTransform(factor),
    trace: (x, sums) =>
      sums.reduce((sum, ks) => ev.rotateManyNew(sum, ks).reduce((a, b) => ev.addNew(a, b), sum), x),
  };
}
