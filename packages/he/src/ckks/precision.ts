import type { SlotVector } from '../scheme/index.js';

/** Errors of one component (real or imaginary parts) over all slots. Bits are -log2 of an absolute error, at most 1074. */
export interface ComponentPrecision {
  /** Of the slot with the largest error. */
  readonly minBits: number;
  /** Mean over the slots of their bits. */
  readonly meanBits: number;
  /** Of the root mean square error. */
  readonly rmsBits: number;
  /** Of the slot with the smallest error. */
  readonly maxBits: number;
  readonly rmsError: number;
  readonly worstError: number;
}

export interface Precision {
  readonly re: ComponentPrecision;
  readonly im: ComponentPrecision;
  /** Both together. */
  readonly all: ComponentPrecision;
}

/**
 * How well `got` agrees with `expected`. Vectors without an imaginary part are real; a shorter `expected` repeats.
 * @param got non-empty.
 */
export function measurePrecision(got: SlotVector, expected: SlotVector): Precision {
  const { length } = got.re;
  const errors = (x: Float64Array | null, y: Float64Array | null) =>
    Float64Array.from({ length }, (_, i) => Math.abs((x?.[i] ?? 0) - (y?.[i % y.length] ?? 0)));
  const re = errors(got.re, expected.re);
  const im = errors(got.im, expected.im);
  const both = new Float64Array(2 * length);
  both.set(re);
  both.set(im, length);
  return { re: summarise(re), im: summarise(im), all: summarise(both) };
}

const MAX_BITS = 1074;
const bitsOf = (error: number) => (error === 0 ? MAX_BITS : Math.min(MAX_BITS, -Math.log2(error)));

function summarise(errors: Float64Array): ComponentPrecision {
  let [squares, bits, worst, best] = [0, 0, 0, Number.POSITIVE_INFINITY];
  for (const error of errors) {
    squares += error * error;
    bits += bitsOf(error);
    if (Number.isNaN(error) || error > worst) worst = error;
    if (error < best) best = error;
  }
  const rmsError = Math.sqrt(squares / errors.length);
  return {
    minBits: bitsOf(worst),
    meanBits: bits / errors.length,
    rmsBits: bitsOf(rmsError),
    maxBits: bitsOf(best),
    rmsError,
    worstError: worst,
  };
}
