import { type EvaluationKeyId, expandedKeyBytes, keySwitchPlan } from '../../rlwe/key-plan.js';
import type { Parameters } from '../../rlwe/parameters.js';
import { type BootstrapOptions, type BootstrapPlan, planBootstrap } from './plan.js';

/** An evaluation key that a bootstrapping needs, and the highest level at which it is used. */
export interface BootstrapKey {
  readonly id: EvaluationKeyId;
  readonly maxLevel: number;
}

/** Rotations at one level whose keys must share a plan. */
interface RotationGroup {
  readonly rotations: readonly number[];
  readonly level: number;
}

/** A key made for a higher level may stand in when it has at most this many special primes more: they make every use slower. */
const MOST_EXTRA_SPECIAL = 2;

/** The last products of EvalMod have a relinearisation key of their own: fewer digits for fewer primes. */
const LOW_EVAL_MOD_LEVELS = 3;

function galoisOf(rotation: number, n: number): number {
  const mask = 2 * n - 1;
  let result = 1;
  let power = 5;
  for (let k = ((rotation % (n / 2)) + n / 2) % (n / 2); k > 0; k >>= 1) {
    if (k & 1) result = Math.imul(result, power) & mask;
    power = Math.imul(power, power) & mask;
  }
  return result;
}

function groupsOf(plan: BootstrapPlan): RotationGroup[] {
  const { slotsToCoeffs, coeffsToSlots, trace, traceLevel, preRotation, packed, slots, outputLevel } = plan;
  const single = (rotation: number, level: number): RotationGroup => ({ rotations: [rotation], level });
  return [
    ...coeffsToSlots,
    ...(packed ? [single(slots, coeffsToSlots[0].level), single(slots, outputLevel)] : []),
    ...(trace.length > 0 ? [{ rotations: trace.flat(), level: traceLevel }] : []),
    ...slotsToCoeffs,
    ...(preRotation === 0 ? [] : [single(preRotation, slotsToCoeffs[0].level)]),
  ];
}

/**
 * The exact list of keys of one or several bootstrappings of a parameter set. The rotations of a sum share one key-switching plan; a
 * sum takes keys that are there for a higher level already when that needs fewer bytes.
 */
export function bootstrapKeys(...plans: readonly BootstrapPlan[]): BootstrapKey[] {
  const [{ params, levels }] = plans;
  const keys: BootstrapKey[] = [
    { id: { kind: 'denseToSparse' }, maxLevel: 0 },
    { id: { kind: 'sparseToDense' }, maxLevel: levels.top },
    { id: { kind: 'relin' }, maxLevel: levels.evalModTop },
    { id: { kind: 'relin' }, maxLevel: levels.residualTop + LOW_EVAL_MOD_LEVELS },
    { id: { kind: 'galois', galois: 2 * params.n - 1 }, maxLevel: levels.evalModTop },
  ];
  const known = new Set<string>();
  const nameOf = (galois: number, maxLevel: number): string => `${galois}/${maxLevel}`;
  const bytesOf = (level: number): number => expandedKeyBytes(params, keySwitchPlan(params, level));
  const specialOf = (level: number): number => keySwitchPlan(params, level).special.length;
  const made = new Set<number>();
  for (const { rotations, level } of plans.flatMap(groupsOf)) {
    const elements = [...new Set(rotations.map((k) => galoisOf(k, params.n)))].filter((g) => g !== 1);
    const missing = (at: number) => elements.filter((galois) => !known.has(nameOf(galois, at)));
    const most = specialOf(level) + MOST_EXTRA_SPECIAL;
    const [maxLevel] = [level, ...made]
      .filter((at) => at >= level && specialOf(at) <= most)
      .map((at) => ({ at, bytes: missing(at).length * bytesOf(at) }))
      .sort((a, b) => a.bytes - b.bytes || a.at - b.at)
      .map(({ at }) => at);
    for (const galois of missing(maxLevel)) {
      known.add(nameOf(galois, maxLevel));
      keys.push({ id: { kind: 'galois', galois }, maxLevel });
    }
    made.add(maxLevel);
  }
  return keys;
}

/** {@link bootstrapKeys} of {@link planBootstrap}. @param all one bootstrapping or several. */
export function bootstrapKeyList(
  params: Parameters,
  all: BootstrapOptions | readonly BootstrapOptions[] = {},
): BootstrapKey[] {
  const list = Array.isArray(all) ? all : [all];
  return bootstrapKeys(...list.map((options: BootstrapOptions) => planBootstrap(params, options)));
}
