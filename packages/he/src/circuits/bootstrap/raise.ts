import { SottoError } from '@sotto/base';
import type { CkksEvaluator } from '../../ckks/index.js';
import { Ciphertext } from '../../rlwe/index.js';
import { HornerTransform, hornerTransformNew } from './horner.js';
import type { BootstrapPlan } from './plan.js';
import type { BootstrapSteps } from './stages.js';

/**
 * Raises a ciphertext of level 0 to the highest level: the phase m becomes m + q0*I. On the way it passes under the sparse
 * ephemeral secret, which keeps I small (Bossuat, Troncoso-Pastoriza, Hubaux, ACNS 2022, section 4): one key switch modulo q0
 * times a few primes, the only place where that secret is used, then the centred lift, then a switch back whose input is smaller
 * than q0, so that it needs one digit.
 *
 * Out: level `top` at its canonical scale, range*q0, where the slots are (m + q0*I)/(range*q0).
 * @throws SottoError `HE_LEVEL_MISMATCH` unless the input is at level 0 over its basis, `HE_KEY_MISSING`.
 */
export function raiseModulusNew(ev: CkksEvaluator, low: Ciphertext, plan: BootstrapPlan): Ciphertext {
  const { context, switcher, keys } = ev;
  const { ring } = context;
  const { top } = plan.levels;
  const base = context.levelBasis(0);
  if (low.level !== 0 || low.basis !== base) {
    throw new SottoError('Only a ciphertext at level 0 can be raised.', {
      code: 'HE_LEVEL_MISMATCH',
      facts: { level: low.level, expected: 0 },
      fix: 'Apply slotsToCoeffsNew first.',
    });
  }
  const toSparse = keys.get({ kind: 'denseToSparse' }, 0);
  const toDense = keys.get({ kind: 'sparseToDense' }, top);

  using sparse = context.scratch(2 * base.size);
  const sparse1 = context.row(sparse.at, base.size);
  using switched = switcher.switchNew(low.c1, base, toSparse);
  switcher.modDown(sparse.at, sparse1, base, switched);
  ring.add(sparse.at, sparse.at, low.c0, base);

  using digits = switcher.raise(sparse1, toDense.plan);
  using raised = switcher.newPair(digits.basis);
  switcher.innerProduct(digits, toDense, raised);
  const basis = context.levelBasis(top);
  const out = new Ciphertext(context, top, context.level(top).scale);
  switcher.modDown(out.c0, out.c1, basis, raised);
  using lifted = context.scratch(basis.size);
  ring.extend(lifted.at, basis, sparse.at, base);
  ring.add(out.c0, out.c0, lifted.at, basis);
  return out;
}

/** The steps of a bootstrapping that are no circuit, on ciphertexts. */
export function ciphertextSteps(ev: CkksEvaluator, plan: BootstrapPlan): BootstrapSteps<Ciphertext> {
  return {
    raise: (low) => raiseModulusNew(ev, low, plan),
    relabel: (square) => ev.relabelNew(square, ev.scaleAt(square.level)),
    compile: (factor) => new HornerTransform(ev, factor),
    transform: (x, factor) => hornerTransformNew(ev, x, factor as HornerTransform),
    release: (factor) => (factor as HornerTransform).release(),
    trace: (x, sums) => ev.rotationSumsNew(x, sums),
  };
}
