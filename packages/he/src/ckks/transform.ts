import { SottoError } from '@sotto/base';
import type { Basis } from '../ring/index.js';
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

/**
 * Each diagonal rotated back by its giant step. Encoded over QP when its rows stay; over Q when every use transforms them anew: then
 * a third to half of the rows is saved, and every baby step is divided by P for it.
 */
export class CompiledTransform implements LinearTransform {
  readonly level: number;
  readonly rotations: readonly number[];
  readonly plan: KeySwitchPlan;
  readonly basis: Basis;
  readonly scale: number;
  readonly babies: readonly number[];
  #giants: readonly GiantStep[] | null;

  constructor(shape: {
    level: number;
    rotations: readonly number[];
    plan: KeySwitchPlan;
    basis: Basis;
    scale: number;
    babies: readonly number[];
    giants: readonly GiantStep[];
  }) {
    this.level = shape.level;
    this.rotations = shape.rotations;
    this.plan = shape.plan;
    this.basis = shape.basis;
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
 * Encodes the diagonals for baby-step giant-step evaluation in the extended basis (Bossuat, Mouchet, Troncoso-Pastoriza, Hubaux
 * 2021, section 4). The keys decide the basis, so they must be present already.
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
  const wide = core.plaintextForm === 'rows';
  const levelBasis = context.levelBasis(level);
  const basis = wide ? core.switcher.extendedBasis(levelBasis, plan) : levelBasis;
  const giants = new Map<number, Term[]>();
  for (const [k, diagonal] of matrix.diagonals) {
    const baby = modulo(k) % split.babySteps;
    const rotation = modulo(k) - baby;
    const plain = new Plaintext(context, encoder, diagonal, {
      turn: -rotation,
      level,
      scale: spec.plainScale,
      purpose: 'product',
      basis,
      form: core.plaintextForm,
    });
    giants.set(rotation, [...(giants.get(rotation) ?? []), { baby, plain }]);
  }
  return new CompiledTransform({
    level,
    rotations: split.rotations,
    plan,
    basis,
    scale: spec.plainScale,
    babies: split.babies,
    giants: [...giants].sort(([a], [b]) => a - b).map(([rotation, terms]) => ({ rotation, terms })),
  });
}

/** One rescale ends it all. 1 level. */
export function transform(core: CkksCore, a: Ciphertext, t: CompiledTransform): Ciphertext {
  checkContext(core, a);
  if (a.level !== t.level) throw levelMismatch(a.level, t.level);
  return t.basis === a.basis ? transformOverQ(core, a, t) : transformOverQP(core, a, t);
}

/** Babies and sums stay in QP; a giant step divides only its second polynomial by P. */
function transformOverQP(core: CkksCore, a: Ciphertext, t: CompiledTransform): Ciphertext {
  const { context, switcher } = core;
  const { ring } = context;
  const { giants, plan } = t;
  const to = landing(core, a.level, a.scale * t.scale);
  const qp = switcher.extendedBasis(a.basis, plan);
  const babies = babySteps(core, a, t);
  try {
    using sum = switcher.newPair(qp);
    using inner = switcher.newPair(qp);
    using turned = context.scratch(2 * qp.size);
    using down = context.scratch(a.basis.size);
    const turned1 = context.row(turned.at, qp.size);
    let empty = true;
    for (const { rotation, terms } of giants) {
      using plains = loadAll(terms.map(({ plain }) => plain));
      const operands = terms.map(({ baby }) => babies.get(baby)!);
      const target = rotation === 0 ? sum : inner;
      ring.mulSum(
        target.c0,
        operands.map((pair) => pair.c0),
        plains.at,
        qp,
        rotation === 0 && !empty,
      );
      ring.mulSum(
        target.c1,
        operands.map((pair) => pair.c1),
        plains.at,
        qp,
        rotation === 0 && !empty,
      );
      if (rotation !== 0) {
        const galois = context.galoisOfRotation(rotation);
        ring.divideRound(down.at, a.basis, inner.c1, qp);
        using pair = switcher.switchNew(down.at, a.basis, keyOf(core, rotation, t.level, plan));
        ring.add(pair.c0, pair.c0, inner.c0, qp);
        ring.permute(turned.at, pair.c0, galois, qp);
        ring.permute(turned1, pair.c1, galois, qp);
        if (empty) {
          ring.copy(sum.c0, turned.at, qp);
          ring.copy(sum.c1, turned1, qp);
        } else {
          ring.add(sum.c0, sum.c0, turned.at, qp);
          ring.add(sum.c1, sum.c1, turned1, qp);
        }
      }
      empty = false;
    }
    const out = new Ciphertext(context, to.level, to.scale);
    switcher.modDown(out.c0, out.c1, to.basis, sum);
    return out;
  } finally {
    for (const pair of babies.values()) pair.release();
  }
}

/** Babies are divided by P, so products with diagonals are over Q; giant steps are summed in QP. */
function transformOverQ(core: CkksCore, a: Ciphertext, t: CompiledTransform): Ciphertext {
  const { context, switcher } = core;
  const { ring } = context;
  const { plan } = t;
  const q = a.basis;
  const to = landing(core, a.level, a.scale * t.scale);
  const qp = switcher.extendedBasis(q, plan);
  const babies = babyStepsOverQ(core, a, t);
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
function babyStepsOverQ(core: CkksCore, a: Ciphertext, t: CompiledTransform): Map<number, OwnedPair> {
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

/** P times every rotation of the input that is needed, over QP; one decomposition. */
function babySteps(core: CkksCore, a: Ciphertext, t: CompiledTransform): Map<number, OwnedPair> {
  const { context, switcher } = core;
  const { ring } = context;
  const { plan } = t;
  const qp = switcher.extendedBasis(a.basis, plan);
  const out = new Map<number, OwnedPair>();
  const turning = t.babies.filter((k) => k !== 0);
  if (t.babies.includes(0)) {
    const pair = switcher.newPair(qp);
    out.set(0, pair);
    switcher.timesP(pair.c0, a.c0, a.basis, plan);
    switcher.timesP(pair.c1, a.c1, a.basis, plan);
  }
  if (turning.length === 0) return out;
  using digits = switcher.decompose(a.c1, a.basis, plan);
  using work = switcher.newPair(qp);
  for (const k of turning) {
    const galois = context.galoisOfRotation(k);
    switcher.innerProduct(digits, keyOf(core, k, t.level, plan), work);
    switcher.addTimesP(work.c0, a.c0, a.basis, plan);
    const pair = switcher.newPair(qp);
    out.set(k, pair);
    ring.permute(pair.c0, work.c0, galois, qp);
    ring.permute(pair.c1, work.c1, galois, qp);
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
