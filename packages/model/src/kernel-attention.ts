/** Base of the kernel: its fourth power weighs a key of score s. */
export function kernelBase(score: number): number {
  return 1 + score / 4;
}

/** What scales the kernel sums of a row that sees `keyCount` keys: one over their number to a power. */
export function keyCountFactor(keyCount: number, power: number): number {
  return keyCount ** -power;
}

/**
 * Kernel sums of one head: the sum over keys of (1 + s/4)^4 v, times {@link keyCountFactor}. The kernel is a polynomial, so an
 * encrypted computation evaluates it exactly; nothing is exponential in a score, so none has to be taken off first.
 *
 * @param scores of the keys, divided by the root of the head dimension.
 * @param values rows of all heads; the head's numbers begin at `valueAt`.
 */
export function kernelSums(
  scores: Float64Array,
  values: readonly Float64Array[],
  valueAt: number,
  headDim: number,
  power: number,
): Float64Array {
  const factor = keyCountFactor(scores.length, power);
  const sums = new Float64Array(headDim);
  for (let j = 0; j < scores.length; j++) {
    const weight = factor * kernelBase(scores[j]!) ** 4;
    const v = values[j]!;
    for (let i = 0; i < headDim; i++) sums[i]! += weight * v[valueAt + i]!;
  }
  return sums;
}
