const scratch = new DataView(new ArrayBuffer(4));

function halfBitsToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

let halfTable: Float32Array | undefined;

/** The value of every IEEE 754 binary16 pattern: 65,536 numbers, made on first use. */
export function halfValues(): Float32Array {
  halfTable ??= Float32Array.from({ length: 65536 }, (_, bits) => halfBitsToNumber(bits));
  return halfTable;
}

/** Value of a bfloat16 pattern: the upper half of a binary32. */
export function bfloatToNumber(bits: number): number {
  scratch.setUint32(0, bits << 16);
  return scratch.getFloat32(0);
}

/** The nearest bfloat16, ties to even. */
export function numberToBfloat(value: number): number {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  if (Number.isNaN(value)) return 0x7fc0;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

/** The nearest binary16 of a binary32, ties to even; what is too large becomes infinite. */
export function numberToHalf(value: number): number {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  const sign = (bits >>> 16) & 0x8000;
  if (Number.isNaN(value)) return sign | 0x7e00;
  const magnitude = Math.abs(Math.fround(value));
  if (magnitude >= 65520) return sign | 0x7c00;
  // Below 2^-14 the steps are 2^-24; above, 1024 steps an octave. Rounding up may carry into the exponent, as it should.
  if (magnitude < 2 ** -14) return sign | roundToEven(magnitude * 2 ** 24);
  const exponent = (bits >>> 23) & 255;
  return sign | (((exponent - 112) << 10) + roundToEven(magnitude * 2 ** (137 - exponent)) - 1024);
}

/** Nearest integer, ties to even. */
function roundToEven(value: number): number {
  const low = Math.floor(value);
  const rest = value - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low;
}
