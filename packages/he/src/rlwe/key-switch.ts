import type { Basis, Ptr } from '../ring/index.js';
import type { RingContext } from './context.js';
import type { KeySwitchPlan } from './key-plan.js';
import type { EvaluationKey } from './keys.js';

/** Two polynomials over one basis, usually QP; c1 lies right behind c0. */
export interface Pair {
  readonly basis: Basis;
  readonly c0: Ptr;
  readonly c1: Ptr;
}

/** A pair that owns its memory: `using pair = switcher.newPair(basis)`. */
export class OwnedPair implements Pair {
  readonly basis: Basis;
  readonly c0: Ptr;
  readonly c1: Ptr;
  readonly #context: RingContext;
  #live = true;

  constructor(context: RingContext, basis: Basis) {
    this.#context = context;
    this.basis = basis;
    this.c0 = context.ring.alloc(2 * basis.size);
    this.c1 = context.row(this.c0, basis.size);
  }

  /** Frees the memory; again is harmless. */
  release(): void {
    if (!this.#live) return;
    this.#live = false;
    this.#context.ring.free(this.c0);
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

/** A polynomial decomposed in the gadget of a plan, extended to QP: the expensive half of a key switch, shared by hoisting. */
export class Digits {
  readonly plan: KeySwitchPlan;
  /** Basis of the polynomial. */
  readonly source: Basis;
  /** `source`, then the special primes of the plan. */
  readonly basis: Basis;
  /** One polynomial over `basis` for each digit up to the last that has primes in `source`. */
  readonly at: readonly Ptr[];
  readonly #context: RingContext;
  #memory: Ptr | null;

  constructor(context: RingContext, plan: KeySwitchPlan, source: Basis, basis: Basis, count: number) {
    this.#context = context;
    this.plan = plan;
    this.source = source;
    this.basis = basis;
    const memory = context.ring.alloc(count * basis.size);
    this.#memory = memory;
    this.at = Array.from({ length: count }, (_, d) => context.row(memory, d * basis.size));
  }

  /** Frees the memory; again is harmless. */
  release(): void {
    if (this.#memory === null) return;
    this.#context.ring.free(this.#memory);
    this.#memory = null;
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

interface SwitchShape {
  readonly qp: Basis;
  /** Primes of each digit that the source has; null when it has none. */
  readonly digits: readonly (Basis | null)[];
  /** The same when the source has primes of every digit. */
  readonly full: readonly Basis[] | null;
  /** P modulo every prime of the source. */
  readonly pResidues: Uint32Array;
}

/**
 * Hybrid key switching (Han and Ki 2020, section 3) in pieces: decompose, inner product, division by P. Polynomials are in NTT form
 * with residues in [0, q). An inner product is P times the switched message plus noise below P/2^6 times the size of an error, and
 * stays in QP as long as the caller wants. The caller owns what it passes in and what it gets back.
 */
export class KeySwitcher {
  readonly context: RingContext;
  readonly #shapes = new WeakMap<KeySwitchPlan, Map<number, SwitchShape>>();

  constructor(context: RingContext) {
    this.context = context;
  }

  /** `basis` followed by the special primes of the plan: where key-switched polynomials live. */
  extendedBasis(basis: Basis, plan: KeySwitchPlan): Basis {
    return this.#shape(basis, plan).qp;
  }

  newPair(basis: Basis): OwnedPair {
    return new OwnedPair(this.context, basis);
  }

  /**
   * Digits of the polynomial at `c` over `basis`, which must lie in the plan's basis.
   */
  decompose(c: Ptr, basis: Basis, plan: KeySwitchPlan): Digits {
    const { ring } = this.context;
    const shape = this.#shape(basis, plan);
    const digits = new Digits(this.context, plan, basis, shape.qp, shape.digits.length);
    const outs: Ptr[] = [];
    const present: Basis[] = [];
    shape.digits.forEach((source, d) => {
      const at = digits.at[d];
      if (source === null) ring.zero(at, shape.qp);
      else {
        outs.push(at);
        present.push(source);
      }
    });
    ring.decompose(outs, shape.qp, c, basis, present);
    return digits;
  }

  /**
   * For a raised plan: the one digit of a polynomial over the basis of level 0, lifted (centred) to all rows of the plan. The
   * inner product is then over the highest level and P.
   */
  raise(c: Ptr, plan: KeySwitchPlan): Digits {
    const { context } = this;
    const source = context.levelBasis(0);
    const rows = context.basis(plan.rows);
    const digits = new Digits(context, plan, context.basis(plan.basis), rows, 1);
    context.ring.extend(digits.at[0], rows, c, source);
    return digits;
  }

  /** out = (or += when accumulating) <digits, key>, over digits.basis. */
  innerProduct(digits: Digits, key: EvaluationKey, out: Pair, accumulate = false): void {
    this.context.ring.innerProduct(
      out.c0,
      out.c1,
      digits.at,
      digits.basis,
      key.at,
      key.basis,
      key.plan.digits.length,
      accumulate,
    );
  }

  /** out += P * x: brings a polynomial over `basis` into a sum over QP. Its special rows get nothing, for P is 0 there. */
  addTimesP(out: Ptr, x: Ptr, basis: Basis, plan: KeySwitchPlan): void {
    this.context.ring.mulConstAdd(out, x, this.#shape(basis, plan).pResidues, basis);
  }

  /** out = P * x over QP. */
  timesP(out: Ptr, x: Ptr, basis: Basis, plan: KeySwitchPlan): void {
    const shape = this.#shape(basis, plan);
    this.context.ring.mulConst(out, x, shape.pResidues, basis);
    const special = this.context.basis(plan.special);
    this.context.ring.zero(this.context.row(out, basis.size), special);
  }

  /** Division by P, and by the primes that are not in `to`: with the level below as `to` it is merged with the rescale. */
  modDown(out0: Ptr, out1: Ptr, to: Basis, pair: Pair): void {
    this.context.ring.divideRoundMany([out0, out1], to, [pair.c0, pair.c1], pair.basis);
  }

  /** <decompose(c), key> in QP; the caller releases it. */
  switchNew(c: Ptr, basis: Basis, key: EvaluationKey): OwnedPair {
    const { qp, full } = this.#shape(basis, key.plan);
    const out = this.newPair(qp);
    if (full === null) {
      using digits = this.decompose(c, basis, key.plan);
      this.innerProduct(digits, key, out);
    } else {
      const { plan } = key;
      using digits = new Digits(this.context, plan, basis, qp, full.length);
      const { ring } = this.context;
      ring.keySwitch(out.c0, out.c1, digits.at, qp, c, basis, full, key.at, key.basis, plan.digits.length);
    }
    return out;
  }

  #shape(basis: Basis, plan: KeySwitchPlan): SwitchShape {
    let ofPlan = this.#shapes.get(plan);
    if (ofPlan === undefined) {
      ofPlan = new Map();
      this.#shapes.set(plan, ofPlan);
    }
    let shape = ofPlan.get(basis.id);
    if (shape === undefined) {
      shape = this.#makeShape(basis, plan);
      ofPlan.set(basis.id, shape);
    }
    return shape;
  }

  #makeShape(basis: Basis, plan: KeySwitchPlan): SwitchShape {
    const { context } = this;
    const digits = plan.digits.map((primes) => {
      const present = basis.indices.filter((i) => primes.includes(i));
      return present.length === 0 ? null : context.basis(present);
    });
    while (digits.length > 1 && digits[digits.length - 1] === null) digits.pop();
    const present = digits.flatMap((digit) => digit ?? []);
    return {
      qp: context.basis([...basis.indices, ...plan.special]),
      digits,
      full: present.length === digits.length ? present : null,
      pResidues: context.productResidues(plan.special, basis),
    };
  }
}
