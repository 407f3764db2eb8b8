import { notFinite, slotCount } from '../scheme/errors.js';
import type { SlotVector } from '../scheme/evaluator.js';
import { SlotTransform } from './fft.js';

/**
 * Slot vectors to scaled real coefficients and back. A vector of a power-of-two length below N/2 becomes a polynomial in
 * X^(N/2n), whose slots are its periodic repetition.
 */
export class Encoder {
  readonly n: number;
  readonly slots: number;
  readonly #transforms = new Map<number, SlotTransform>();

  /** @param n ring degree. */
  constructor(n: number) {
    this.n = n;
    this.slots = n / 2;
  }

  /**
   * The N coefficients times `scale`, not rounded.
   * @throws `HE_SLOT_COUNT`, `HE_VALUE_NOT_FINITE`
   */
  embed(values: SlotVector, scale: number): Float64Array {
    const count = this.#check(values);
    const re = values.re.slice();
    const im = values.im?.slice() ?? new Float64Array(count);
    this.#transform(count).inverse(re, im);
    const out = new Float64Array(this.n);
    const gap = this.slots / count;
    for (let j = 0; j < count; j++) {
      out[j * gap] = re[j] * scale;
      out[j * gap + this.slots] = im[j] * scale;
    }
    return out;
  }

  /**
   * Values of scaled coefficients.
   * @param slots a power of two up to N/2; fewer than N/2 average over the repetitions.
   */
  project(
    coefficients: Float64Array,
    scale: number,
    slots: number = this.slots,
  ): { re: Float64Array; im: Float64Array } {
    if (!isPowerOfTwo(slots) || slots > this.slots) throw slotCount(slots, this.slots);
    const gap = this.slots / slots;
    const re = new Float64Array(slots);
    const im = new Float64Array(slots);
    for (let j = 0; j < slots; j++) {
      re[j] = coefficients[j * gap] / scale;
      im[j] = coefficients[j * gap + this.slots] / scale;
    }
    this.#transform(slots).forward(re, im);
    return { re, im };
  }

  #check(values: SlotVector): number {
    const count = values.re.length;
    if (!isPowerOfTwo(count) || count > this.slots || (values.im !== null && values.im.length !== count)) {
      throw slotCount(count, this.slots);
    }
    for (const part of [values.re, values.im]) {
      if (part !== null) for (let i = 0; i < count; i++) if (!Number.isFinite(part[i])) throw notFinite();
    }
    return count;
  }

  #transform(slots: number): SlotTransform {
    let transform = this.#transforms.get(slots);
    if (transform === undefined) {
      transform = new SlotTransform(slots);
      this.#transforms.set(slots, transform);
    }
    return transform;
  }
}

const isPowerOfTwo = (count: number) => count >= 1 && Number.isInteger(Math.log2(count));
