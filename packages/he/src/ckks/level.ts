import type { Basis } from '../ring/index.js';
import { Ciphertext, type RingContext } from '../rlwe/index.js';
import { levelExhausted } from '../scheme/errors.js';
import { type CkksCore, checkContext, landing } from './core.js';
import { copy } from './linear.js';

/** A constant of at least this many bits leaves a relative error of 2^-41, below the rounding noise of the division. */
const FACTOR_BITS = 40;

/** How to come down from a basis to a level: rows kept before the product, and Q(kept) / Q(level). */
interface Descent {
  readonly kept: Basis;
  readonly ratio: number;
}

const descents = new WeakMap<RingContext, Map<string, Descent>>();

/**
 * Brings a ciphertext to the canonical scale of a lower level in one step: drop all primes but a few above the target (free), one
 * product with an integer constant, one division.
 * @throws `HE_LEVEL_EXHAUSTED` when `level` is above the ciphertext.
 */
export function toLevel(core: CkksCore, a: Ciphertext, level: number): Ciphertext {
  checkContext(core, a);
  const { context } = core;
  const { ring } = context;
  const target = context.level(level);
  if (level > a.level) throw levelExhausted(a.level, level);
  if (level === a.level && a.basis === context.levelBasis(level)) return copy(a);
  const basis = context.levelBasis(level);
  const { kept, ratio } = descent(context, a, level);
  const factor = context.residues((target.scale / a.scale) * ratio, kept);
  const out = new Ciphertext(context, level, target.scale);
  using work = context.scratch(kept.size);
  for (const half of ['c0', 'c1'] as const) {
    ring.select(work.at, kept, a[half], a.basis);
    ring.mulConst(work.at, work.at, factor, kept);
    ring.divideRound(out[half], basis, work.at, kept);
  }
  return out;
}

/** Fewest primes from which the constant has {@link FACTOR_BITS} bits; all of them when there are not enough. */
function descent(context: RingContext, a: Ciphertext, level: number): Descent {
  let ofContext = descents.get(context);
  if (ofContext === undefined) {
    ofContext = new Map();
    descents.set(context, ofContext);
  }
  const name = `${a.basis.id}/${level}`;
  let found = ofContext.get(name);
  if (found === undefined) {
    const target = context.level(level);
    const primes = context.params.primes;
    const kept = new Set(a.basis.indices.filter((i) => target.basis.includes(i)));
    const rest = a.basis.indices.filter((i) => !kept.has(i)).sort((i, j) => primes[j] - primes[i]);
    const bits = () => Math.log2((target.scale / a.scale) * context.modulusRatio([...kept], target.basis));
    while (rest.length > 0 && bits() < FACTOR_BITS) kept.add(rest.shift()!);
    const indices = a.basis.indices.filter((i) => kept.has(i));
    found = { kept: context.basis(indices), ratio: context.modulusRatio(indices, target.basis) };
    ofContext.set(name, found);
  }
  return found;
}

/** Division to the level below at whatever scale results; for ciphertexts whose scale was raised by hand. */
export function rescale(core: CkksCore, a: Ciphertext): Ciphertext {
  checkContext(core, a);
  const to = landing(core, a.level, a.scale);
  const out = new Ciphertext(core.context, to.level, to.scale);
  core.context.ring.divideRoundMany([out.c0, out.c1], to.basis, [a.c0, a.c1], a.basis);
  return out;
}

/** The same polynomials under another name: the message is multiplied by scale(a) / scale. */
export function relabel(core: CkksCore, a: Ciphertext, scale: number): Ciphertext {
  checkContext(core, a);
  const out = new Ciphertext(core.context, a.level, scale, a.basis);
  core.context.ring.copy(out.c0, a.c0, a.basis);
  core.context.ring.copy(out.c1, a.c1, a.basis);
  return out;
}

/** Keeps the primes of a lower level without any scaling: the phase must be smaller than its modulus. Scale and message stay. */
export function truncate(core: CkksCore, a: Ciphertext, level: number): Ciphertext {
  checkContext(core, a);
  const { context } = core;
  const basis = context.levelBasis(level);
  if (level > a.level || basis.indices.some((i) => !a.basis.indices.includes(i)))
    throw levelExhausted(a.level, level);
  const out = new Ciphertext(context, level, a.scale);
  context.ring.select(out.c0, basis, a.c0, a.basis);
  context.ring.select(out.c1, basis, a.c1, a.basis);
  return out;
}
