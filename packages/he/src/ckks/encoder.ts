import { type Ring, SlotTransform } from '../ring/index.js';
import { notFinite, slotCount } from '../scheme/errors.js';
import type { SlotVector } from '../scheme/evaluator.js';

/**
 * Slot vectors to scaled real coefficients and back. A vector of a power-of-two length below N/2 becomes a polynomial in
 * X^(N/2n), whose slots are its periodic repetition.
 */
export class Encoder {
  readonly n: number;
  readonly slots: number;
  readonly #ring: Pick<Ring, 'n' | 'embed'>;
  readonly #transforms = new Map<number, SlotTransform>();

  /** @param ring whose kernel transforms. */
  constructor(ring: Pick<Ring, 'n' | 'embed'>) {
    this.#ring = ring;
    this.n = ring.n;
    this.slots = ring.n / 2;
  }

  /**
   * The N coefficients times `scale`, not rounded, of the values v[(i + turn) mod length].
   * @throws `HE_SLOT_COUNT`, `HE_VALUE_NOT_FINITE`
   */
  embed(values: SlotVector, scale: number, turn = 0): Float64Array {
    const { re, im } = values;
    const count = re.length;
    if (!isPowerOfTwo(count) || count > this.slots || (im !== null && im.length !== count)) {
      throw slotCount(count, this.slots);
    }
    const out = this.#ring.embed(re, im, scale, ((turn % count) + count) % count);
    // These two are the average of all values: one that is not finite shows here.
    if (!Number.isFinite(out[0]) || !Number.isFinite(out[this.slots])) throw notFinite();
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
