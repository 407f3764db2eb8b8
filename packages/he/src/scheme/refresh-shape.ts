import { SottoError } from '@sotto/base';

/**
 * What is known of the slots of a ciphertext before it is refreshed. Fewer degrees of freedom make a refresh cheaper; what the shape
 * denies is lost: imaginary parts, and differences between periods.
 */
export interface RefreshShape {
  /** The slots repeat with this period, a power of two; all slots when absent. */
  readonly period?: number;
  /** Every imaginary part is zero. False when absent. */
  readonly real?: boolean;
}

/** A {@link RefreshShape} without open ends. */
export type ExactShape = Required<RefreshShape>;

/** @throws SottoError `HE_REFRESH_SHAPE` unless the period is a power of two up to `slots`. */
export function exactShape(shape: RefreshShape | undefined, slots: number): ExactShape {
  const period = shape?.period ?? slots;
  if (!Number.isInteger(Math.log2(period)) || period > slots) {
    throw new SottoError('The period of refreshed slots must be a power of two that fits the ciphertext.', {
      code: 'HE_REFRESH_SHAPE',
      facts: { period, slots },
      fix: 'Say how the slots repeat, or nothing.',
    });
  }
  return { period, real: shape?.real ?? false };
}

/** Whether a refresh made for `offered` keeps all of a ciphertext of the shape `wanted`. */
export function servesShape(offered: ExactShape, wanted: ExactShape): boolean {
  return wanted.period <= offered.period && (wanted.real || !offered.real);
}
