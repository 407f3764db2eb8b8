import { SottoError } from '@sotto/base';
import { Ciphertext, type EvaluationKey, type KeySwitchPlan, type OwnedPair } from '../rlwe/index.js';
import { splitBabyGiant } from '../scheme/baby-giant.js';
import { levelMismatch, useAfterRelease } from '../scheme/errors.js';
import type { DiagonalMatrix, LinearTransform, SlotVector, TransformOptions } from '../scheme/evaluator.js';
import { type CkksCore, checkContext, landing } from './core.js';
import { loadAll, Plaintext } from './plaintext.js';

interface Term {
  readonly baby: number;
  readonly plain: Plaintext;
}

interface GiantStep {
  readonly rotation: number;
  readonly terms: readonly Term[];
}

/** Each diagonal rotated back by its giant step. */
export class CompiledTransform implements LinearTransform {
  readonly level: number;
  readonly rotations: readonly number[];
  readonly plan: KeySwitchPlan;
  readonly scale: number;
  readonly babies: readonly number[];
  #giants: readonly GiantStep[] | null;

  constructor(shape: {
    level: number;
    rotations: readonly number[];
    plan: KeySwitchPlan;
    scale: number;
    babies: readonly number[];
    giants: readonly GiantStep[];
  }) {
    this.level = shape.level;
    this.rotations = shape.rotations;
    this.plan = shape.plan;
    this.scale = shape.scale;
    this.babies = shape.babies;
    this.#giants = shape.giants;
  }

  /** @throws `HE_USE_AFTER_RELEASE` */
  get giants(): readonly GiantStep[] {
    if (this.#giants === null) throw useAfterRelease('transform');
    return this.#giants;
  }

  get sizeBytes(): number {
    return this.giants.reduce(
      (sum, { terms }) => terms.reduce((s, { plain }) => s + plain.sizeBytes, sum),
      0,
    );
  }

  release(): void {
    for (const { terms } of this.#giants ?? []) for (const { plain } of terms) plain.release();
    this.#giants = null;
  }
}

/**
 * Encodes the diagonals for baby-step giant-step evaluation (Halevi and Shoup 2018, section 4). They are over Q: double hoisting
 * (Bossuat, Mouchet, Troncoso-Pastoriza, Hubaux 2021, section 4) has them over QP and saves divisions by P in babies, but a map of 64
 * to 1,024 diagonals pays more for the rows of P in each of them, in memory, encoding and products. The keys decide the plan, so they must be
 * present already.
 * @throws `HE_KEY_MISSING`, and `HE_LEVEL_EXHAUSTED` at level 0.
 */
export function compileTransform(
  core: CkksCore,
  matrix: DiagonalMatrix,
  options: TransformOptions,
): CompiledTransform {
  const { context, encoder } = core;
  const { level } = options;
  const slots = context.params.maxSlots;
  const spec = context.level(level);
  landing(core, level, spec.scale);
  const modulo = (k: number) => ((k % slots) + slots) % slots;
  const split = splitBabyGiant([...matrix.diagonals.keys()], slots, options.babySteps);
  const plan = planOf(core, split.rotations, level);
  const giants = new Map<number, Term[]>();
  for (const [k, diagonal] of matrix.diagonals) {
    const baby = modulo(k) % split.babySteps;
    const rotation = modulo(k) - baby;
    const plain = new Plaintext(context, encoder, diagonal, {
      turn: -rotation,
      level,
      scale: spec.plainScale,
      purpose: 'product',
      form: core.plaintextForm,
    });
    giants.set(rotation, [...(giants.get(rotation) ?? []), { baby, plain }]);
  }
  return new CompiledTransform({
    level,
    rotations: split.rotations,
    plan,
    scale: spec.plainScale,
    babies: split.babies,
    giants: [...giants].sort(([a], [b]) => a - b).map(([rotation, terms]) => ({ rotation, terms })),
  });
}

/**
 * Babies are divided by P, so products with diagonals are over Q; giant steps are summed in QP, and one rescale ends it all. 1 level.
 */
export function transform(core: CkksCore, a: Ciphertext, t: CompiledTransform): Ciphertext {
  checkContext(core, a);
  if (a.level !== t.level) throw levelMismatch(a.level, t.level);
  const { context, switcher } = core;
  const { ring } = context;
  const { plan } = t;
  const q = a.basis;
  const to = landing(core, a.level, a.scale * t.scale);
  const qp = switcher.extendedBasis(q, plan);
  const babies = babySteps(core, a, t);
  try {
    using sum = switcher.newPair(qp);
    using inner = switcher.newPair(q);
    using turned = context.scratch(qp.size);
    ring.zero(sum.c0, qp);
    ring.zero(sum.c1, qp);
    for (const { rotation, terms } of t.giants) {
      using plains = loadAll(terms.map(({ plain }) => plain));
      const operands = terms.map(({ baby }) => babies.get(baby)!);
      for (const part of ['c0', 'c1'] as const) {
        ring.mulSum(
          inner[part],
          operands.map((pair) => pair[part]),
          plains.at,
          q,
          false,
        );
      }
      if (rotation === 0) {
        switcher.addTimesP(sum.c0, inner.c0, q, plan);
        switcher.addTimesP(sum.c1, inner.c1, q, plan);
        continue;
      }
      const galois = context.galoisOfRotation(rotation);
      using pair = switcher.switchNew(inner.c1, q, keyOf(core, rotation, t.level, plan));
      switcher.addTimesP(pair.c0, inner.c0, q, plan);
      for (const part of ['c0', 'c1'] as const) {
        ring.permute(turned.at, pair[part], galois, qp);
        ring.add(sum[part], sum[part], turned.at, qp);
      }
    }
    const out = new Ciphertext(context, to.level, to.scale);
    switcher.modDown(out.c0, out.c1, to.basis, sum);
    return out;
  } finally {
    for (const pair of babies.values()) pair.release();
  }
}

/** Every rotation of the input that is needed, over Q; one decomposition. */
function babySteps(core: CkksCore, a: Ciphertext, t: CompiledTransform): Map<number, OwnedPair> {
  const { context, switcher } = core;
  const { ring } = context;
  const { plan } = t;
  const q = a.basis;
  const out = new Map<number, OwnedPair>();
  const turning = t.babies.filter((k) => k !== 0);
  if (t.babies.includes(0)) {
    const pair = switcher.newPair(q);
    out.set(0, pair);
    ring.copy(pair.c0, a.c0, q);
    ring.copy(pair.c1, a.c1, q);
  }
  if (turning.length === 0) return out;
  using digits = switcher.decompose(a.c1, q, plan);
  using work = switcher.newPair(switcher.extendedBasis(q, plan));
  using down = switcher.newPair(q);
  for (const k of turning) {
    const galois = context.galoisOfRotation(k);
    switcher.innerProduct(digits, keyOf(core, k, t.level, plan), work);
    switcher.modDown(down.c0, down.c1, q, work);
    ring.add(down.c0, down.c0, a.c0, q);
    const pair = switcher.newPair(q);
    out.set(k, pair);
    ring.permute(pair.c0, down.c0, galois, q);
    ring.permute(pair.c1, down.c1, galois, q);
  }
  return out;
}

/** The plan that all rotations share. */
function planOf(core: CkksCore, rotations: readonly number[], level: number): KeySwitchPlan {
  const [first] = rotations;
  if (first === undefined) {
    // Only diagonal 0: no key is used, and any special prime keeps the arithmetic uniform.
    return trivialPlan(core, level);
  }
  const { plan } = core.keys.get({ kind: 'galois', galois: core.context.galoisOfRotation(first) }, level);
  for (const k of rotations) keyOf(core, k, level, plan);
  return plan;
}

const trivialPlans = new WeakMap<CkksCore, Map<number, KeySwitchPlan>>();

function trivialPlan(core: CkksCore, level: number): KeySwitchPlan {
  let ofCore = trivialPlans.get(core);
  if (ofCore === undefined) {
    ofCore = new Map();
    trivialPlans.set(core, ofCore);
  }
  let plan = ofCore.get(level);
  if (plan === undefined) {
    const { params } = core.context;
    const { basis } = params.levels[level];
    const special = params.special.slice(0, 1);
    plan = { maxLevel: level, basis, special, rows: [...basis, ...special], digits: [basis], raised: false };
    ofCore.set(level, plan);
  }
  return plan;
}

function keyOf(core: CkksCore, k: number, level: number, plan: KeySwitchPlan): EvaluationKey {
  const id = { kind: 'galois', galois: core.context.galoisOfRotation(k) } as const;
  const key = core.keys.find(id, level, plan);
  if (key !== null) return key;
  const other = core.keys.get(id, level);
  throw new SottoError('The rotation keys of one transform must share one key-switching plan.', {
    code: 'HE_KEY_PLAN',
    facts: { rotation: k, level, maxLevel: other.maxLevel, expectedMaxLevel: plan.maxLevel },
    fix: 'Make the keys of a transform with the same maxLevel and digits.',
  });
}

/** v[(i + k) mod length]; a period is kept. */
export function rotated(v: SlotVector, k: number): SlotVector {
  const { length } = v.re;
  const by = ((k % length) + length) % length;
  const turn = (x: Float64Array): Float64Array => {
    const out = new Float64Array(length);
    out.set(x.subarray(by), 0);
    out.set(x.subarray(0, by), length - by);
    return out;
  };
  return { re: turn(v.re), im: v.im === null ? null : turn(v.im) };
}
