import type { Basis, Ptr } from '../ring/index.js';
import { Ciphertext } from '../rlwe/index.js';
import {
  integerRange,
  levelMismatch,
  notFinite,
  operandCount,
  plainPurpose,
  scaleMismatch,
} from '../scheme/errors.js';
import { type CkksCore, checkAlike, checkContext, landing, newLike, sameScale } from './core.js';
import { loadAll, type Plaintext } from './plaintext.js';

export function copy(a: Ciphertext): Ciphertext {
  const out = newLike(a);
  const { ring } = a.context;
  ring.copy(out.c0, a.c0, a.basis);
  ring.copy(out.c1, a.c1, a.basis);
  return out;
}

export function addInto(core: CkksCore, a: Ciphertext, b: Ciphertext, out: Ciphertext): void {
  checkAlike(core, [a, b, out]);
  const { ring } = core.context;
  ring.add(out.c0, a.c0, b.c0, a.basis);
  ring.add(out.c1, a.c1, b.c1, a.basis);
}

export function subInto(core: CkksCore, a: Ciphertext, b: Ciphertext, out: Ciphertext): void {
  checkAlike(core, [a, b, out]);
  const { ring } = core.context;
  ring.sub(out.c0, a.c0, b.c0, a.basis);
  ring.sub(out.c1, a.c1, b.c1, a.basis);
}

export function addNew(core: CkksCore, a: Ciphertext, b: Ciphertext): Ciphertext {
  checkAlike(core, [a, b]);
  const out = newLike(a);
  addInto(core, a, b, out);
  return out;
}

export function subNew(core: CkksCore, a: Ciphertext, b: Ciphertext): Ciphertext {
  checkAlike(core, [a, b]);
  const out = newLike(a);
  subInto(core, a, b, out);
  return out;
}

export function neg(core: CkksCore, a: Ciphertext): Ciphertext {
  checkContext(core, a);
  const out = newLike(a);
  core.context.ring.neg(out.c0, a.c0, a.basis);
  core.context.ring.neg(out.c1, a.c1, a.basis);
  return out;
}

/** Multiplies both polynomials by X^(N/2). */
export function mulI(core: CkksCore, a: Ciphertext): Ciphertext {
  checkContext(core, a);
  const out = newLike(a);
  core.context.mulMonomial(out.c0, a.c0, a.basis);
  core.context.mulMonomial(out.c1, a.c1, a.basis);
  return out;
}

export function mulInteger(core: CkksCore, a: Ciphertext, factor: number): Ciphertext {
  checkContext(core, a);
  if (!Number.isInteger(factor) || Math.abs(factor) >= 2 ** 20) throw integerRange();
  const out = newLike(a);
  const residues = core.context.residues(factor, a.basis);
  core.context.ring.mulConst(out.c0, a.c0, residues, a.basis);
  core.context.ring.mulConst(out.c1, a.c1, residues, a.basis);
  return out;
}

/** x += (re + i im) * scale as a constant polynomial. */
export function addConstTo(
  core: CkksCore,
  x: Ptr,
  basis: Basis,
  scale: number,
  re: number,
  im: number,
): void {
  if (!Number.isFinite(re) || !Number.isFinite(im)) throw notFinite();
  const { context } = core;
  context.checkMagnitude(Math.max(Math.abs(re), Math.abs(im)) * scale, basis);
  if (re !== 0) context.ring.addConst(x, x, context.residues(re * scale, basis), basis);
  if (im !== 0) context.addMonomial(x, context.residues(im * scale, basis), basis);
}

export function addConst(core: CkksCore, a: Ciphertext, re: number, im: number): Ciphertext {
  checkContext(core, a);
  const out = copy(a);
  addConstTo(core, out.c0, a.basis, a.scale, re, im);
  return out;
}

export function addPlain(core: CkksCore, a: Ciphertext, b: Plaintext): Ciphertext {
  checkContext(core, a);
  if (b.purpose !== 'addition') throw plainPurpose(b.purpose, 'addition');
  if (b.level !== a.level || b.basis !== a.basis) throw levelMismatch(a.level, b.level);
  if (!sameScale(a.scale, b.scale)) throw scaleMismatch(a.scale, b.scale);
  const { ring } = core.context;
  const out = newLike(a);
  using rows = b.load();
  ring.add(out.c0, a.c0, rows.at, a.basis);
  ring.copy(out.c1, a.c1, a.basis);
  return out;
}

export function mulPlain(core: CkksCore, a: Ciphertext, b: Plaintext): Ciphertext {
  checkContext(core, a);
  if (b.purpose !== 'product') throw plainPurpose(b.purpose, 'product');
  const to = landing(core, a.level, a.scale * b.scale);
  if (b.level !== a.level || b.basis !== a.basis) throw levelMismatch(a.level, b.level);
  const { ring } = core.context;
  const out = new Ciphertext(core.context, to.level, to.scale);
  using work = core.context.scratch(a.basis.size);
  using rows = b.load();
  ring.mul(work.at, a.c0, rows.at, a.basis);
  ring.divideRound(out.c0, to.basis, work.at, a.basis);
  ring.mul(work.at, a.c1, rows.at, a.basis);
  ring.divideRound(out.c1, to.basis, work.at, a.basis);
  return out;
}

/** sum_i a[i]*b[i] with one rescale. */
export function plainCombination(
  core: CkksCore,
  a: readonly Ciphertext[],
  b: readonly Plaintext[],
): Ciphertext {
  if (a.length === 0 || a.length !== b.length) throw operandCount(a.length, b.length);
  checkAlike(core, a);
  const { context } = core;
  const { ring } = context;
  const { basis, level, scale } = a[0];
  for (const plain of b) {
    if (plain.purpose !== 'product') throw plainPurpose(plain.purpose, 'product');
    if (plain.basis !== basis) throw levelMismatch(level, plain.level);
    if (!sameScale(plain.scale, b[0].scale)) throw scaleMismatch(plain.scale, b[0].scale);
  }
  const to = landing(core, level, scale * b[0].scale);
  const out = new Ciphertext(context, to.level, to.scale);
  using plains = loadAll(b);
  using work = context.scratch(basis.size);
  for (const half of ['c0', 'c1'] as const) {
    ring.mulSum(
      work.at,
      a.map((term) => term[half]),
      plains.at,
      basis,
      false,
    );
    ring.divideRound(out[half], to.basis, work.at, basis);
  }
  return out;
}

export function mulConst(core: CkksCore, a: Ciphertext, re: number, im: number): Ciphertext {
  checkContext(core, a);
  if (!Number.isFinite(re) || !Number.isFinite(im)) throw notFinite();
  const { context } = core;
  const { ring } = context;
  const { basis, level } = a;
  const plainScale = context.level(level).plainScale;
  const to = landing(core, level, a.scale * plainScale);
  context.checkMagnitude(Math.max(Math.abs(re), Math.abs(im)) * plainScale, basis);
  const real = context.residues(re * plainScale, basis);
  const imaginary = im === 0 ? null : context.residues(im * plainScale, basis);
  const out = new Ciphertext(context, to.level, to.scale);
  using work = context.scratch(2 * basis.size);
  const turned = context.row(work.at, basis.size);
  for (const [from, into] of [
    [a.c0, out.c0],
    [a.c1, out.c1],
  ]) {
    ring.mulConst(work.at, from, real, basis);
    if (imaginary !== null) {
      context.mulMonomial(turned, from, basis);
      ring.mulConstAdd(work.at, turned, imaginary, basis);
    }
    ring.divideRound(into, to.basis, work.at, basis);
  }
  return out;
}

/** sum_i c[i]*a[i] + constant with one rescale. */
export function linearCombination(
  core: CkksCore,
  a: readonly Ciphertext[],
  c: readonly number[],
  constant: number,
): Ciphertext {
  if (a.length === 0 || a.length !== c.length) throw operandCount(a.length, c.length);
  if (![constant, ...c].every(Number.isFinite)) throw notFinite();
  checkAlike(core, a);
  const { context } = core;
  const { ring } = context;
  const { basis, level, scale } = a[0];
  const plainScale = context.level(level).plainScale;
  const to = landing(core, level, scale * plainScale);
  context.checkMagnitude(c.reduce((most, value) => Math.max(most, Math.abs(value)), 0) * plainScale, basis);
  const factors = c.map((value) => context.residues(value * plainScale, basis));
  const out = new Ciphertext(context, to.level, to.scale);
  using work = context.scratch(basis.size);
  for (const half of ['c0', 'c1'] as const) {
    a.forEach((term, i) => {
      if (i === 0) ring.mulConst(work.at, term[half], factors[i], basis);
      else ring.mulConstAdd(work.at, term[half], factors[i], basis);
    });
    if (half === 'c0') addConstTo(core, work.at, basis, scale * plainScale, constant, 0);
    ring.divideRound(out[half], to.basis, work.at, basis);
  }
  return out;
}
