import type { Ciphertext, Digits, EvaluationKey, KeySwitchPlan, OwnedPair } from '../rlwe/index.js';
import { rotationStep } from '../scheme/errors.js';
import { type CkksCore, checkContext, newLike } from './core.js';
import { copy } from './linear.js';

/** The automorphism X -> X^galois, switched back to the secret. Needs the Galois key; 0 levels. */
export function automorphism(core: CkksCore, a: Ciphertext, galois: number): Ciphertext {
  checkContext(core, a);
  if (galois === 1) return copy(a);
  const key = core.keys.get({ kind: 'galois', galois }, a.level);
  using pair = core.switcher.switchNew(a.c1, a.basis, key);
  return finish(core, a, pair, key, galois);
}

/** Automorphisms of one ciphertext that share its decomposition (hoisting), one decomposition a plan. */
export function automorphisms(core: CkksCore, a: Ciphertext, elements: readonly number[]): Ciphertext[] {
  checkContext(core, a);
  const keys = elements.map((galois) =>
    galois === 1 ? null : core.keys.get({ kind: 'galois', galois }, a.level),
  );
  const decomposed = new Map<KeySwitchPlan, Digits>();
  try {
    return elements.map((galois, i) => {
      const key = keys[i];
      if (key === null) return copy(a);
      let digits = decomposed.get(key.plan);
      if (digits === undefined) {
        digits = core.switcher.decompose(a.c1, a.basis, key.plan);
        decomposed.set(key.plan, digits);
      }
      return switched(core, a, digits, key, galois);
    });
  } finally {
    for (const digits of decomposed.values()) digits.release();
  }
}

export function rotate(core: CkksCore, a: Ciphertext, k: number): Ciphertext {
  return automorphism(core, a, galoisOf(core, k));
}

export function rotateMany(core: CkksCore, a: Ciphertext, ks: readonly number[]): Ciphertext[] {
  return automorphisms(
    core,
    a,
    ks.map((k) => galoisOf(core, k)),
  );
}

function galoisOf(core: CkksCore, k: number): number {
  if (!Number.isInteger(k)) throw rotationStep(k);
  return core.context.galoisOfRotation(k);
}

function switched(
  core: CkksCore,
  a: Ciphertext,
  digits: Digits,
  key: EvaluationKey,
  galois: number,
): Ciphertext {
  using pair = core.switcher.newPair(digits.basis);
  core.switcher.innerProduct(digits, key, pair);
  return finish(core, a, pair, key, galois);
}

/** Adds the other half and divides by P. The permutation comes last, where it moves the fewest rows. */
function finish(
  core: CkksCore,
  a: Ciphertext,
  pair: OwnedPair,
  key: EvaluationKey,
  galois: number,
): Ciphertext {
  const { context, switcher } = core;
  const { basis } = a;
  switcher.addTimesP(pair.c0, a.c0, basis, key.plan);
  using work = context.scratch(2 * basis.size);
  const second = context.row(work.at, basis.size);
  switcher.modDown(work.at, second, basis, pair);
  const out = newLike(a);
  context.ring.permute(out.c0, work.at, galois, basis);
  context.ring.permute(out.c1, second, galois, basis);
  return out;
}
