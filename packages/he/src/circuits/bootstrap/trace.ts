import type { CkksEvaluator } from '../../ckks/index.js';
import { Ciphertext } from '../../rlwe/index.js';
import { commonPlan, keyOfPlan } from './key-choice.js';

/**
 * x plus the sum of its rotations, for each list of `sums` in turn: the trace onto a subring as a product of sums. The rotations of a
 * list share a decomposition, and everything stays in the basis QP: between two lists only the second polynomial is divided by P,
 * at the end both. 0 levels. All rotations need keys of one plan at the level of `a`.
 * @throws SottoError `HE_KEY_MISSING`, `HE_KEY_PLAN`.
 */
export function traceNew(ev: CkksEvaluator, a: Ciphertext, sums: readonly (readonly number[])[]): Ciphertext {
  const { context, switcher } = ev;
  const { ring } = context;
  const { basis, level } = a;
  const plan = commonPlan(ev, sums.flat(), level);
  const qp = switcher.extendedBasis(basis, plan);
  using sum = switcher.newPair(qp);
  using before = switcher.newPair(qp);
  using work = switcher.newPair(qp);
  using down = context.scratch(basis.size);
  switcher.timesP(sum.c0, a.c0, basis, plan);
  switcher.timesP(sum.c1, a.c1, basis, plan);
  sums.forEach((rotations, i) => {
    if (i > 0) ring.divideRound(down.at, basis, sum.c1, qp);
    using digits = switcher.decompose(i === 0 ? a.c1 : down.at, basis, plan);
    ring.copy(before.c0, sum.c0, qp);
    for (const k of rotations) {
      const galois = context.galoisOfRotation(k);
      switcher.innerProduct(digits, keyOfPlan(ev, k, level, plan), work);
      ring.add(work.c0, work.c0, before.c0, qp);
      // The first polynomial of `before` is still needed; its second serves as room.
      for (const half of ['c0', 'c1'] as const) {
        ring.permute(before.c1, work[half], galois, qp);
        ring.add(sum[half], sum[half], before.c1, qp);
      }
    }
  });
  const out = new Ciphertext(context, level, a.scale);
  switcher.modDown(out.c0, out.c1, basis, sum);
  return out;
}
