import { SottoError } from '@sotto/base';
import type { Basis, Ptr } from '../ring/index.js';
import { Ciphertext, type RingContext } from '../rlwe/index.js';
import { levelMismatch, plainPurpose, scaleMismatch, useAfterRelease } from '../scheme/errors.js';
import { type CkksCore, checkAlike, checkContext, landing, sameScale } from './core.js';
import { addConstTo } from './linear.js';
import type { Plaintext } from './plaintext.js';

/**
 * A product before relinearisation and rescale: phase = d0 + d1 s + d2 s^2, at the product of the operands' scales. Sums of
 * products, scaled ciphertexts and constants are added here, where they cost no rescale of their own.
 */
export class Tensor {
  readonly context: RingContext;
  readonly level: number;
  readonly scale: number;
  readonly basis: Basis;
  #at: Ptr | null;

  constructor(context: RingContext, level: number, scale: number, basis: Basis) {
    this.context = context;
    this.level = level;
    this.scale = scale;
    this.basis = basis;
    this.#at = context.ring.alloc(3 * basis.size);
    context.arena.adopt(this);
  }

  /** @throws `HE_USE_AFTER_RELEASE` */
  get d0(): Ptr {
    if (this.#at === null) throw useAfterRelease('product');
    return this.#at;
  }

  get d1(): Ptr {
    return this.context.row(this.d0, this.basis.size);
  }

  get d2(): Ptr {
    return this.context.row(this.d0, 2 * this.basis.size);
  }

  release(): void {
    if (this.#at === null) return;
    this.context.ring.free(this.#at);
    this.#at = null;
    this.context.arena.forget(this);
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

/** a * b, nothing else. */
export function tensor(core: CkksCore, a: Ciphertext, b: Ciphertext): Tensor {
  checkContext(core, a);
  checkContext(core, b);
  if (a.level !== b.level || a.basis !== b.basis) throw levelMismatch(a.level, b.level);
  const out = new Tensor(core.context, a.level, a.scale * b.scale, a.basis);
  core.context.ring.tensor(out.d0, out.d1, out.d2, a.c0, a.c1, b.c0, b.c1, a.basis, false);
  return out;
}

/** t += a * b. */
export function tensorAdd(core: CkksCore, t: Tensor, a: Ciphertext, b: Ciphertext): void {
  for (const x of [a, b]) {
    checkContext(core, x);
    if (x.level !== t.level || x.basis !== t.basis) throw levelMismatch(t.level, x.level);
  }
  if (!sameScale(a.scale * b.scale, t.scale)) throw scaleMismatch(t.scale, a.scale * b.scale);
  core.context.ring.tensor(t.d0, t.d1, t.d2, a.c0, a.c1, b.c0, b.c1, t.basis, true);
}

/** t += c * a for a real c: an integer product at scale(t) / scale(a). */
export function tensorAddScaled(core: CkksCore, t: Tensor, a: Ciphertext, c: number): void {
  checkContext(core, a);
  if (a.level !== t.level || a.basis !== t.basis) throw levelMismatch(t.level, a.level);
  const factor = core.context.residues((c * t.scale) / a.scale, t.basis);
  core.context.ring.mulConstAdd(t.d0, a.c0, factor, t.basis);
  core.context.ring.mulConstAdd(t.d1, a.c1, factor, t.basis);
}

/** t += b * a for a plaintext whose scale makes up for the difference. */
export function tensorAddPlain(core: CkksCore, t: Tensor, a: Ciphertext, b: Plaintext): void {
  checkContext(core, a);
  if (b.purpose !== 'product') throw plainPurpose(b.purpose, 'product');
  if (a.level !== t.level || a.basis !== t.basis || b.basis !== t.basis)
    throw levelMismatch(t.level, a.level);
  if (!sameScale(a.scale * b.scale, t.scale)) throw scaleMismatch(t.scale, a.scale * b.scale);
  using rows = b.load();
  core.context.ring.mulAdd(t.d0, a.c0, rows.at, t.basis);
  core.context.ring.mulAdd(t.d1, a.c1, rows.at, t.basis);
}

/** t += re + i im in every slot. */
export function tensorAddConst(core: CkksCore, t: Tensor, re: number, im = 0): void {
  addConstTo(core, t.d0, t.basis, t.scale, re, im);
}

/** t *= 2: the doubling of a double-angle step. */
export function tensorDouble(core: CkksCore, t: Tensor): void {
  const { ring } = core.context;
  for (const d of [t.d0, t.d1, t.d2]) ring.add(d, d, d, t.basis);
}

/** Relinearisation and rescale in one division by P and the leaving primes. 1 level. */
export function relinearise(core: CkksCore, t: Tensor): Ciphertext {
  const { context, switcher } = core;
  const to = landing(core, t.level, t.scale);
  const key = core.keys.get({ kind: 'relin' }, t.level);
  using pair = switcher.switchNew(t.d2, t.basis, key);
  switcher.addTimesP(pair.c0, t.d0, t.basis, key.plan);
  switcher.addTimesP(pair.c1, t.d1, t.basis, key.plan);
  const out = new Ciphertext(context, to.level, to.scale);
  switcher.modDown(out.c0, out.c1, to.basis, pair);
  return out;
}

/** sum_i a[i]*b[i], relinearised and rescaled once. */
export function dot(core: CkksCore, a: readonly Ciphertext[], b: readonly Ciphertext[]): Ciphertext {
  checkAlike(core, a);
  checkAlike(core, b);
  landing(core, a[0].level, a[0].scale);
  requireProductLevel(core, a[0].level);
  using sum = tensor(core, a[0], b[0]);
  for (let i = 1; i < a.length; i++) tensorAdd(core, sum, a[i], b[i]);
  return relinearise(core, sum);
}

/** Levels made for plaintext factors would land ciphertext products on a wrong scale. */
function requireProductLevel(core: CkksCore, level: number): void {
  const spec = core.context.level(level);
  if (sameScale(spec.scale, spec.plainScale)) return;
  throw new SottoError('This level is made for products with plaintexts, not of two ciphertexts.', {
    code: 'HE_LEVEL_KIND',
    facts: { level, kind: spec.kind },
    fix: 'Multiply ciphertexts at a residual level.',
  });
}
