/** The low `bits` bits of `x` in reverse order; `bits` at most 31. */
export function bitReverse(x: number, bits: number): number {
  let reversed = 0;
  for (let i = 0; i < bits; i++) reversed = (reversed << 1) | ((x >>> i) & 1);
  return reversed;
}

export function isPowerOfTwo(x: number): boolean {
  return Number.isSafeInteger(x) && x > 0 && Number.isInteger(Math.log2(x));
}

/** Number of bits of x, 0 for 0; x below 2^32. */
export function bitLength(x: number): number {
  return 32 - Math.clz32(x);
}

/** The nearest integer, ties to the even one (IEEE 754 roundToIntegralTiesToEven). */
export function roundTiesToEven(x: number): number {
  const floor = Math.floor(x);
  const fraction = x - floor;
  if (fraction < 0.5) return floor;
  if (fraction > 0.5) return floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}
