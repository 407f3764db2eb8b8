import { SottoError } from '@sotto/base';
import type { EvaluationKey, KeySwitchPlan } from '../rlwe/index.js';
import type { CkksCore } from './core.js';

type Keys = Pick<CkksCore, 'context' | 'keys'>;

const idOf = ({ context }: Keys, rotation: number) =>
  ({ kind: 'galois', galois: context.galoisOfRotation(rotation) }) as const;

/** As {@link commonPlan}, or null. */
export function findCommonPlan(
  core: Keys,
  rotations: readonly number[],
  level: number,
): KeySwitchPlan | null {
  const first = idOf(core, rotations[0]);
  const plans = [...core.keys]
    .filter(({ id, plan }) => id.kind === 'galois' && id.galois === first.galois && plan.maxLevel >= level)
    .map(({ plan }) => plan)
    .sort((a, b) => a.maxLevel - b.maxLevel);
  return plans.find((plan) => rotations.every((k) => hasKey(core, k, level, plan))) ?? null;
}

/**
 * The cheapest key-switching plan for which every rotation has a key at `level`: sums over one decomposition must not mix plans.
 * @throws SottoError `HE_KEY_MISSING`, `HE_KEY_PLAN`.
 */
export function commonPlan(core: Keys, rotations: readonly number[], level: number): KeySwitchPlan {
  const plan = findCommonPlan(core, rotations, level);
  if (plan !== null) return plan;
  const [{ maxLevel }] = rotations.map((k) => core.keys.get(idOf(core, k), level));
  throw new SottoError('The rotation keys of one sum must share one key-switching plan.', {
    code: 'HE_KEY_PLAN',
    facts: { rotations: rotations.join(', '), level, maxLevel },
    fix: 'Make the keys of one sum for one level.',
  });
}

export function hasKey(core: Keys, rotation: number, level: number, plan: KeySwitchPlan): boolean {
  return core.keys.find(idOf(core, rotation), level, plan) !== null;
}

/** The key of a rotation that belongs to a plan. @throws SottoError `HE_KEY_MISSING`. */
export function keyOfPlan(core: Keys, rotation: number, level: number, plan: KeySwitchPlan): EvaluationKey {
  const id = idOf(core, rotation);
  return core.keys.find(id, level, plan) ?? core.keys.get(id, level);
}
