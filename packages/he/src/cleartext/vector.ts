import { giveBack, takeArray, takeCopy, takeZeros } from './pool.js';

/**
 * Loops over complex slot vectors. A vector of power-of-two length p stands for its periodic repetition, so operands of
 * different lengths combine at the longer one, and work on small models costs what their period costs.
 */
export interface Slots {
  readonly re: Float64Array;
  readonly im: Float64Array | null;
}

function longer(a: Float64Array, b: Float64Array): number {
  return Math.max(a.length, b.length);
}

function addReal(a: Float64Array, b: Float64Array, sign: number): Float64Array {
  const n = longer(a, b);
  const out = takeArray(n);
  const ma = a.length - 1;
  const mb = b.length - 1;
  if (sign === 1) for (let i = 0; i < n; i++) out[i] = a[i & ma] + b[i & mb];
  else for (let i = 0; i < n; i++) out[i] = a[i & ma] - b[i & mb];
  return out;
}

/** a + sign*b. */
export function addSlots(a: Slots, b: Slots, sign: 1 | -1): Slots {
  const re = addReal(a.re, b.re, sign);
  if (a.im === null && b.im === null) return { re, im: null };
  const zero = new Float64Array(1);
  return { re, im: addReal(a.im ?? zero, b.im ?? zero, sign) };
}

/** A vector of zeros to accumulate into. */
export function zeroSlots(length: number, complex: boolean): Slots {
  return { re: takeZeros(length), im: complex ? takeZeros(length) : null };
}

/**
 * out[i] += a[i + shift] * b[i]; `out` is at least as long as both and complex if one of them is.
 * @param shift in slots, non-negative.
 */
export function mulAddSlots(out: Slots, a: Slots, b: Slots, shift = 0): void {
  const n = out.re.length;
  const ma = a.re.length - 1;
  const mb = b.re.length - 1;
  const { re: or, im: oi } = out;
  const { re: ar, im: ai } = a;
  const { re: br, im: bi } = b;
  if (ai === null && bi === null) {
    for (let i = 0; i < n; i++) or[i] += ar[(i + shift) & ma] * br[i & mb];
    return;
  }
  const o = oi as Float64Array;
  if (ai !== null && bi !== null) {
    for (let i = 0; i < n; i++) {
      const j = (i + shift) & ma;
      const k = i & mb;
      or[i] += ar[j] * br[k] - ai[j] * bi[k];
      o[i] += ar[j] * bi[k] + ai[j] * br[k];
    }
  } else if (ai !== null) {
    for (let i = 0; i < n; i++) {
      const j = (i + shift) & ma;
      const k = i & mb;
      or[i] += ar[j] * br[k];
      o[i] += ai[j] * br[k];
    }
  } else {
    const b2 = bi as Float64Array;
    for (let i = 0; i < n; i++) {
      const x = ar[(i + shift) & ma];
      const k = i & mb;
      or[i] += x * br[k];
      o[i] += x * b2[k];
    }
  }
}

export function mulSlots(a: Slots, b: Slots): Slots {
  const out = zeroSlots(longer(a.re, b.re), a.im !== null || b.im !== null);
  mulAddSlots(out, a, b);
  return out;
}

/** a * (re + i*im). */
export function scaleSlots(a: Slots, re: number, im = 0): Slots {
  if (im === 0) {
    const scaled = (v: Float64Array): Float64Array => {
      const out = takeArray(v.length);
      for (let i = 0; i < v.length; i++) out[i] = v[i] * re;
      return out;
    };
    return { re: scaled(a.re), im: a.im === null ? null : scaled(a.im) };
  }
  return mulSlots(a, { re: Float64Array.of(re), im: Float64Array.of(im) });
}

/** out[i] = a[i + shift]. */
export function rotateSlots(a: Slots, shift: number): Slots {
  const turn = (v: Float64Array): Float64Array => {
    const k = ((shift % v.length) + v.length) % v.length;
    const out = takeArray(v.length);
    out.set(v.subarray(k), 0);
    out.set(v.subarray(0, k), v.length - k);
    return out;
  };
  return { re: turn(a.re), im: a.im === null ? null : turn(a.im) };
}

/** From this stride on, moving the window by one step at a time beats doubling it. */
const longStride = 16;

function windowSums(v: Float64Array, count: number, stride: number): Float64Array {
  const n = v.length;
  const step = Math.abs(stride);
  const mask = n - 1;
  if (step < longStride) {
    let total = v;
    for (let k = stride; Math.abs(k) < step * count; k *= 2) {
      const next = takeArray(n);
      for (let i = 0; i < n; i++) next[i] = total[i] + total[(i + k) & mask];
      if (total !== v) giveBack(total);
      total = next;
    }
    return total === v ? takeCopy(v) : total;
  }
  const total = takeZeros(n);
  for (let j = 0; j < count; j++) {
    for (let i = 0; i < step; i++) total[i] += v[(i + j * stride) & mask];
  }
  const enters = stride > 0 ? (count - 1) * step : 0;
  const leaves = stride > 0 ? -step : -count * step;
  for (let from = step; from < n; from += step) {
    const before = from - step;
    const first = (from + enters) & mask;
    const last = (from + leaves) & mask;
    for (let i = 0; i < step; i++) total[from + i] = total[before + i] + v[first + i] - v[last + i];
  }
  return total;
}

/**
 * out[i] = a[i] + a[i + stride] + ... (`count` terms), in its smallest known period.
 * @param count and |stride| powers of two.
 */
export function sumSlotsAt(a: Slots, count: number, stride: number): Slots {
  const sum = (v: Float64Array): Float64Array => {
    const step = Math.abs(stride);
    if (step * count < v.length) return windowSums(v, count, stride);
    const period = Math.min(step, v.length);
    const out = takeZeros(period);
    for (let i = 0; i < v.length; i++) out[i & (period - 1)] += v[i];
    const times = (count * period) / v.length;
    if (times !== 1) for (let i = 0; i < period; i++) out[i] *= times;
    return out;
  };
  return { re: sum(a.re), im: a.im === null ? null : sum(a.im) };
}

/** Largest magnitude of a real or imaginary part. */
export function maxComponent(a: Slots): number {
  let max = 0;
  for (const v of a.re) max = Math.max(max, Math.abs(v));
  if (a.im !== null) for (const v of a.im) max = Math.max(max, Math.abs(v));
  return max;
}

/** The vector written out to `slots` entries, both parts present. */
export function expandSlots(a: Slots, slots: number): { re: Float64Array; im: Float64Array } {
  const fill = (v: Float64Array | null): Float64Array => {
    const out = new Float64Array(slots);
    if (v !== null) for (let at = 0; at < slots; at += v.length) out.set(v, at);
    return out;
  };
  return { re: fill(a.re), im: fill(a.im) };
}
