import { SottoError } from '@sotto/base';
import type { Basis } from '../ring/index.js';
import { Ciphertext, type EvaluationKeySet, type KeySwitcher, type RingContext } from '../rlwe/index.js';
import { levelExhausted, levelMismatch, scaleMismatch } from '../scheme/errors.js';
import type { Encoder } from './encoder.js';
import type { PlaintextForm } from './plaintext.js';

/** What every operation works with. */
export interface CkksCore {
  readonly context: RingContext;
  readonly encoder: Encoder;
  readonly switcher: KeySwitcher;
  readonly keys: EvaluationKeySet;
  readonly plaintextForm: PlaintextForm;
}

/** Scales that differ by less are one scale: far below the noise, far above the rounding of doubles. */
const SCALE_TOLERANCE = 2 ** -36;

export const sameScale = (a: number, b: number) => Math.abs(a / b - 1) < SCALE_TOLERANCE;

/** @throws `HE_CONTEXT_MISMATCH` for a ciphertext of another ring. */
export function checkContext(core: CkksCore, a: Ciphertext): void {
  if (a.context === core.context) return;
  throw new SottoError('This ciphertext lives in another ring.', {
    code: 'HE_CONTEXT_MISMATCH',
    facts: { parameters: core.context.params.name },
    fix: 'Load the ciphertext into the context of the evaluator.',
  });
}

/** Operands of a sum or of a product of sums: one ring, level, basis and scale. */
export function checkAlike(core: CkksCore, all: readonly Ciphertext[]): void {
  const [first] = all;
  for (const a of all) {
    checkContext(core, a);
    if (a.level !== first.level || a.basis !== first.basis) throw levelMismatch(first.level, a.level);
    if (!sameScale(a.scale, first.scale)) throw scaleMismatch(first.scale, a.scale);
  }
}

/** What a rescale to the level below gives. */
export interface Landing {
  readonly level: number;
  readonly basis: Basis;
  readonly scale: number;
}

/**
 * Level, basis and scale after the rescale of something at `scale` over the basis of `level`; canonical scales are kept exactly.
 * @throws `HE_LEVEL_EXHAUSTED` at level 0.
 */
export function landing(core: CkksCore, level: number, scale: number): Landing {
  const { context } = core;
  if (level < 1) throw levelExhausted(level);
  const below = context.level(level - 1);
  const got = scale * rescaleFactor(context, level);
  return {
    level: level - 1,
    basis: context.levelBasis(level - 1),
    scale: sameScale(got, below.scale) ? below.scale : got,
  };
}

const factors = new WeakMap<RingContext, Map<number, number>>();

/** Q(l-1) / Q(l). */
function rescaleFactor(context: RingContext, level: number): number {
  let ofContext = factors.get(context);
  if (ofContext === undefined) {
    ofContext = new Map();
    factors.set(context, ofContext);
  }
  let factor = ofContext.get(level);
  if (factor === undefined) {
    factor = context.modulusRatio(context.level(level - 1).basis, context.level(level).basis);
    ofContext.set(level, factor);
  }
  return factor;
}

/** A new ciphertext of the shape of `a`. */
export function newLike(a: Ciphertext, scale: number = a.scale): Ciphertext {
  return new Ciphertext(a.context, a.level, scale, a.basis);
}
