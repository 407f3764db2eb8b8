import type { KeySwitchPlan, Parameters } from '../rlwe/index.js';

/** Operands of a plaintext product, in slots. */
export interface PlainProductInput {
  /** Std of a real component of the ciphertext's slots. */
  readonly slotStd: number;
  /** Root mean square modulus of the ciphertext's and of the plaintext's slots. */
  readonly valueRms: number;
  readonly plainRms: number;
  /** Period of the plaintext in slots. */
  readonly period: number;
}

/**
 * Average-case noise of CKKS operations. "Coefficient" standard deviations are in units of the phase; "slot" ones are of a real
 * component of a slot value. Errors are taken as independent (Costache, Curtis, Hales, Murphy, Ogilvie, Player 2022); a key-switch
 * digit is uniform in (-D/2, D/2), which needs the centred lift of the rings.
 */
export class NoiseForecast {
  readonly #params: Parameters;

  constructor(params: Parameters) {
    this.#params = params;
  }

  /** Expected number of non-zero coefficients of the main secret. */
  get secretWeight(): number {
    const { secret, n } = this.#params;
    return secret.kind === 'fixedWeight' ? secret.weight : (2 * n) / 3;
  }

  /** Coefficient std of a fresh encryption: the error and the rounding of the message. */
  fresh(): number {
    return Math.hypot(this.#params.errorStd, Math.sqrt(1 / 12));
  }

  /** Coefficient std that a division adds: the rounding of c0, and that of c1 times the secret. */
  rescale(): number {
    return Math.sqrt((this.secretWeight + 1) / 12);
  }

  /** Coefficient std of an inner product with a key for an input at `level`, divided by P, without the rounding of that division. */
  keySwitch(level: number, plan: KeySwitchPlan): number {
    const { n, primes, levels, errorStd } = this.#params;
    const log = (indices: readonly number[]) => indices.reduce((sum, i) => sum + Math.log2(primes[i]), 0);
    const logP = log(plan.special);
    let variance = 0;
    for (const digit of plan.digits) {
      const present = digit.filter((i) => levels[level].basis.includes(i));
      if (present.length > 0) variance += (n * errorStd ** 2 * 4 ** (log(present) - logP)) / 12;
    }
    return Math.sqrt(variance);
  }

  /** Coefficient std that a rotation or conjugation adds. */
  rotation(level: number, plan: KeySwitchPlan): number {
    return Math.hypot(this.keySwitch(level, plan), this.rescale());
  }

  /** Slot std of a coefficient std at the canonical scale of a level. */
  slotStd(coefficientStd: number, level: number): number {
    return (coefficientStd * Math.sqrt(this.#params.n / 2)) / this.#params.levels[level].scale;
  }

  /** Slot std of the rounding of a plaintext factor: it has 2*period non-zero coefficients. */
  plainRounding(level: number, period: number): number {
    return Math.sqrt(period / 12) / this.#params.levels[level].plainScale;
  }

  /** Slot std of a plaintext product from `level`, rescaled. */
  plainProduct(level: number, input: PlainProductInput): number {
    return Math.hypot(
      input.slotStd * input.plainRms,
      input.valueRms * this.plainRounding(level, input.period),
      this.slotStd(this.rescale(), level - 1),
    );
  }

  /** Slot std of a ciphertext product of two operands at `level`, relinearised and rescaled. */
  product(
    level: number,
    a: { slotStd: number; valueRms: number },
    b: { slotStd: number; valueRms: number },
  ): number {
    return Math.hypot(
      a.slotStd * b.valueRms,
      b.slotStd * a.valueRms,
      this.slotStd(this.rescale(), level - 1),
    );
  }
}
