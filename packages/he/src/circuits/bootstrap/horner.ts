import { SottoError } from '@sotto/base';
import { type CkksEvaluator, commonPlan, keyOfPlan, rotated } from '../../ckks/index.js';
import { Ciphertext, type KeySwitchPlan, type OwnedPair } from '../../rlwe/index.js';
import type { LinearTransform } from '../../scheme/evaluator.js';
import { Diagonal } from './diagonal.js';
import type { BootstrapFactor } from './plan.js';

/** Diagonals g*babySteps + j of one giant step; null where a diagonal is zero. */
type GiantStep = readonly (Diagonal | null)[];

/**
 * A factor encoded for evaluation by Horner's rule. With S = R^stride, b baby steps and diagonals d_k,
 * M = sum_g S^(bg) (sum_j d'_(bg+j) S^j): the inner sums use b hoisted rotations of the input, the outer sum is evaluated from the
 * highest g down as acc = S^b(acc) + inner_g. So b keys serve any number of diagonals, where other giant steps need a key each;
 * the number of rotations is the same.
 */
export class HornerTransform implements LinearTransform {
  readonly level: number;
  readonly rotations: readonly number[];
  readonly stride: number;
  readonly babySteps: number;
  readonly scale: number;
  readonly plan: KeySwitchPlan;
  readonly giants: readonly GiantStep[];

  /** Encodes. Keys of `factor.rotations` that serve `factor.level` must be present and share a plan. */
  constructor(ev: CkksEvaluator, factor: BootstrapFactor) {
    const { context } = ev;
    const { level, stride, babySteps, count } = factor;
    this.level = level;
    this.rotations = factor.rotations;
    this.stride = stride;
    this.babySteps = babySteps;
    this.scale = context.level(level).plainScale;
    this.plan = commonPlan(ev, factor.rotations, level);
    const basis = ev.switcher.extendedBasis(context.levelBasis(level), this.plan);
    const giants: GiantStep[] = [];
    for (let g = 0; g * babySteps < count; g++) {
      const turn = -g * babySteps * stride;
      giants.push(
        Array.from({ length: babySteps }, (_, j) => {
          const diagonal = factor.matrix.diagonals.get((g * babySteps + j) * stride);
          if (diagonal === undefined) return null;
          const target = { level, scale: this.scale, basis };
          return new Diagonal(ev, rotated(diagonal, turn), target);
        }),
      );
    }
    this.giants = giants;
  }

  get sizeBytes(): number {
    return this.giants.flat().reduce((sum, diagonal) => sum + (diagonal?.sizeBytes ?? 0), 0);
  }

  release(): void {
    for (const diagonal of this.giants.flat()) diagonal?.release();
  }
}

/**
 * M a, at the level below. Babies and sums stay in the basis QP; a Horner step divides only its second polynomial by P; the last
 * division is merged with the rescale.
 * @throws SottoError `HE_LEVEL_MISMATCH`.
 */
export function hornerTransformNew(ev: CkksEvaluator, a: Ciphertext, t: HornerTransform): Ciphertext {
  const { context, switcher } = ev;
  const { ring } = context;
  const { level, plan, giants, stride, babySteps } = t;
  if (a.level !== level || a.basis !== context.levelBasis(level)) {
    throw new SottoError('The ciphertext is not at the level of this transform.', {
      code: 'HE_LEVEL_MISMATCH',
      facts: { left: a.level, right: level },
      fix: 'Bring it to the level with toLevel.',
    });
  }
  const qp = switcher.extendedBasis(a.basis, plan);
  const babies = babyRotations(ev, a, t);
  try {
    using sum = switcher.newPair(qp);
    using down = context.scratch(a.basis.size);
    for (let g = giants.length - 1; g >= 0; g--) {
      const used = giants[g].flatMap((diagonal, j) => (diagonal === null ? [] : [{ diagonal, j }]));
      const accumulate = g < giants.length - 1;
      if (accumulate) {
        const rotation = babySteps * stride;
        const galois = context.galoisOfRotation(rotation);
        ring.divideRound(down.at, a.basis, sum.c1, qp);
        using turned = switcher.switchNew(down.at, a.basis, keyOfPlan(ev, rotation, level, plan));
        ring.add(turned.c0, turned.c0, sum.c0, qp);
        ring.permute(sum.c0, turned.c0, galois, qp);
        ring.permute(sum.c1, turned.c1, galois, qp);
      }
      if (used.length === 0) continue;
      const pairs = used.map(({ j }) => babies[j]);
      for (const half of ['c0', 'c1'] as const) {
        ring.mulSum(
          sum[half],
          pairs.map((pair) => pair[half]),
          used.map(({ diagonal }) => diagonal.at),
          qp,
          accumulate,
          used.map(({ diagonal }) => diagonal.run),
        );
      }
    }
    const spec = context.level(level - 1);
    const out = new Ciphertext(context, level - 1, spec.scale);
    switcher.modDown(out.c0, out.c1, out.basis, sum);
    return out;
  } finally {
    for (const pair of babies) pair.release();
  }
}

/** P S^j a over QP for every baby step; one decomposition. */
function babyRotations(ev: CkksEvaluator, a: Ciphertext, t: HornerTransform): OwnedPair[] {
  const { context, switcher } = ev;
  const { plan, stride, level } = t;
  const qp = switcher.extendedBasis(a.basis, plan);
  const count = Math.max(...t.giants.map((step) => step.findLastIndex((diagonal) => diagonal !== null))) + 1;
  using digits = switcher.decompose(a.c1, a.basis, plan);
  using work = switcher.newPair(qp);
  return Array.from({ length: count }, (_, j) => {
    const pair = switcher.newPair(qp);
    if (j === 0) {
      switcher.timesP(pair.c0, a.c0, a.basis, plan);
      switcher.timesP(pair.c1, a.c1, a.basis, plan);
      return pair;
    }
    const galois = context.galoisOfRotation(j * stride);
    switcher.innerProduct(digits, keyOfPlan(ev, j * stride, level, plan), work);
    switcher.addTimesP(work.c0, a.c0, a.basis, plan);
    context.ring.permute(pair.c0, work.c0, galois, qp);
    context.ring.permute(pair.c1, work.c1, galois, qp);
    return pair;
  });
}
