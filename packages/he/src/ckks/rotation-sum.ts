import { Ciphertext, type KeySwitchPlan } from '../rlwe/index.js';
import { type CkksCore, checkContext } from './core.js';
import { commonPlan, findCommonPlan, hasKey, keyOfPlan } from './key-choice.js';
import { addNew, copy } from './linear.js';
import { rotate } from './rotate.js';

/**
 * x plus the sum of its rotations, for each list of `sums` in turn. The rotations of a list share a decomposition, and everything
 * stays in the basis QP: between two lists only the second polynomial is divided by P, at the end both (double hoisting as in
 * Bossuat, Mouchet, Troncoso-Pastoriza, Hubaux 2021, section 4). 0 levels.
 * @throws SottoError `HE_KEY_MISSING`, `HE_KEY_PLAN` unless all rotations have keys of one plan.
 */
export function rotationSums(
  core: CkksCore,
  a: Ciphertext,
  sums: readonly (readonly number[])[],
  plan: KeySwitchPlan = commonPlan(core, sums.flat(), a.level),
): Ciphertext {
  checkContext(core, a);
  const { context, switcher } = core;
  const { ring } = context;
  const { basis, level } = a;
  const qp = switcher.extendedBasis(basis, plan);
  using sum = switcher.newPair(qp);
  using turned = switcher.newPair(qp);
  using down = context.scratch(basis.size);
  switcher.timesP(sum.c0, a.c0, basis, plan);
  switcher.timesP(sum.c1, a.c1, basis, plan);
  sums.forEach((rotations, i) => {
    if (i > 0) ring.divideRound(down.at, basis, sum.c1, qp);
    const source = i === 0 ? a.c1 : down.at;
    if (rotations.length === 1) {
      const [k] = rotations;
      using work = switcher.switchNew(source, basis, keyOfPlan(core, k, level, plan));
      ring.add(work.c0, work.c0, sum.c0, qp);
      addTurned(core, sum, work, turned, k);
      return;
    }
    using digits = switcher.decompose(source, basis, plan);
    using work = switcher.newPair(qp);
    using before = context.scratch(qp.size);
    ring.copy(before.at, sum.c0, qp);
    for (const k of rotations) {
      switcher.innerProduct(digits, keyOfPlan(core, k, level, plan), work);
      ring.add(work.c0, work.c0, before.at, qp);
      addTurned(core, sum, work, turned, k);
    }
  });
  const out = new Ciphertext(context, level, a.scale);
  switcher.modDown(out.c0, out.c1, basis, sum);
  return out;
}

type Pair = Parameters<CkksCore['switcher']['innerProduct']>[2];

/** sum += R^k work. */
function addTurned({ context }: CkksCore, sum: Pair, work: Pair, turned: Pair, k: number): void {
  const { ring } = context;
  const galois = context.galoisOfRotation(k);
  for (const half of ['c0', 'c1'] as const) {
    ring.permute(turned[half], work[half], galois, sum.basis);
    ring.add(sum[half], sum[half], turned[half], sum.basis);
  }
}

/**
 * a[i] + a[i + stride] + ... (`count` terms, a power of two). Two doublings share a decomposition where the key of three strides is at
 * hand. 0 levels.
 * @throws SottoError `HE_KEY_MISSING`
 */
export function sumOverStride(core: CkksCore, a: Ciphertext, count: number, stride: number): Ciphertext {
  checkContext(core, a);
  const steps = Array.from({ length: Math.log2(count) }, (_, i) => stride * 2 ** i);
  if (steps.length === 0) return copy(a);
  const plan = findCommonPlan(core, steps, a.level);
  if (plan === null) {
    let sum = copy(a);
    for (const k of steps) sum = addNew(core, sum, rotate(core, sum, k));
    return sum;
  }
  const sums: number[][] = [];
  for (let i = 0; i < steps.length; i++) {
    const [k, twice] = [steps[i], steps[i + 1]];
    const pair = twice !== undefined && hasKey(core, k + twice, a.level, plan);
    sums.push(pair ? [k, twice, k + twice] : [k]);
    if (pair) i++;
  }
  return rotationSums(core, a, sums, plan);
}
