import { SottoError } from '@sotto/base';
import type { CkksEvaluator } from '../../ckks/index.js';
import type { EvaluationKey, KeySwitchPlan } from '../../rlwe/index.js';

/**
 * The cheapest key-switching plan for which every rotation has a key at `level`: sums over a decomposition must not mix plans.
 * @throws SottoError `HE_KEY_MISSING`, `HE_KEY_PLAN`.
 */
export function commonPlan(ev: CkksEvaluator, rotations: readonly number[], level: number): KeySwitchPlan {
  const idOf = (k: number) => ({ kind: 'galois', galois: ev.context.galoisOfRotation(k) }) as const;
  const first = ev.keys.get(idOf(rotations[0]), level);
  for (const k of rotations) ev.keys.get(idOf(k), level);
  const plans = [...ev.keys]
    .filter(
      ({ id, plan }) =>
        id.kind === 'galois' && id.galois === idOf(rotations[0]).galois && plan.maxLevel >= level,
    )
    .map(({ plan }) => plan)
    .sort((a, b) => a.maxLevel - b.maxLevel);
  const plan = plans.find((p) => rotations.every((k) => ev.keys.find(idOf(k), level, p) !== null));
  if (plan !== undefined) return plan;
  throw new SottoError('The rotation keys of one sum must share one key-switching plan.', {
    code: 'HE_KEY_PLAN',
    facts: { rotations: rotations.join(', '), level, maxLevel: first.maxLevel },
    fix: 'Make the keys as bootstrapKeyList says.',
  });
}

/** The key of a rotation that belongs to a plan. @throws SottoError `HE_KEY_MISSING`. */
export function keyOfPlan(
  ev: CkksEvaluator,
  rotation: number,
  level: number,
  plan: KeySwitchPlan,
): EvaluationKey {
  const id = { kind: 'galois', galois: ev.context.galoisOfRotation(rotation) } as const;
  return ev.keys.find(id, level, plan) ?? ev.keys.get(id, level);
}
