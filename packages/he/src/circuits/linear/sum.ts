import { SottoError } from '@sotto/base';
import type { Evaluator } from '../../scheme/evaluator.js';

function steps(count: number, stride: number): number[] {
  if (!Number.isInteger(Math.log2(count)) || !Number.isInteger(Math.log2(Math.abs(stride)))) {
    throw new SottoError('Rotate-and-add sums need a power-of-two count and stride.', {
      code: 'HE_SUM_SHAPE',
      facts: { count, stride },
      fix: 'Pad the summed axis with zeros to a power of two.',
    });
  }
  return Array.from({ length: Math.log2(count) }, (_, i) => stride * 2 ** i);
}

/** A scheme that sums in one step: ciphertexts share decompositions, the cleartext one works on values. */
interface SlotSums<C> {
  sumNew(a: C, count: number, stride: number): C;
}

function sumsSlots<C>(ev: object): ev is SlotSums<C> {
  return typeof (ev as Partial<SlotSums<C>>).sumNew === 'function';
}

/** Rotations whose keys {@link sumSlots} needs. */
export function sumRotations(count: number, stride: number): number[] {
  return steps(count, stride);
}

/**
 * out[i] = a[i] + a[i + stride] + ... (`count` terms) by log2(count) rotations. When count*stride is the period of the data every
 * slot of the axis holds the sum. 0 levels.
 * @param stride a power of two in magnitude; negative strides sum backwards.
 */
export function sumSlots<C>(ev: Evaluator<C>, a: C, count: number, stride: number): C {
  const rotations = steps(count, stride);
  if (sumsSlots<C>(ev)) return ev.sumNew(a, count, stride);
  return ev.scope(() => {
    let sum = ev.copyNew(a);
    for (const k of rotations) sum = ev.addNew(sum, ev.rotateNew(sum, k));
    return sum;
  });
}
