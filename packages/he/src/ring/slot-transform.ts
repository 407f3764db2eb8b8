/**
 * The canonical embedding of Z[X]/(X^(2n)+1) restricted to half of its roots: value j is at zeta^(5^j), zeta = exp(i pi / 2n),
 * so that cyclic shifts of the values are automorphisms (Cheon, Kim, Kim, Song 2017; the O(n log n) form follows Cheon, Han, Kim,
 * Kim, Song 2018, section 2.3).
 */
export class SlotTransform {
  readonly slots: number;
  /** Twiddles of the stage with blocks of 2h values lie at h .. 2h-1. */
  readonly #cos: Float64Array;
  readonly #sin: Float64Array;
  readonly #reversed: Uint32Array;

  /** @param slots a power of two. */
  constructor(slots: number) {
    this.slots = slots;
    const roots = slotRoots(slots);
    this.#cos = roots.subarray(0, slots);
    this.#sin = roots.subarray(slots);
    this.#reversed = new Uint32Array(slots);
    for (let i = 1; i < slots; i++) {
      this.#reversed[i] = (this.#reversed[i >> 1] >> 1) | (i & 1 ? slots >> 1 : 0);
    }
  }

  /** Coefficients (j and j + n as real and imaginary part of element j) to values, in place. */
  forward(re: Float64Array, im: Float64Array): void {
    const n = this.slots;
    this.#reverse(re, im);
    for (let half = 1; half < n; half *= 2) {
      for (let block = 0; block < n; block += 2 * half) {
        for (let j = 0; j < half; j++) {
          const a = block + j;
          const b = a + half;
          const c = this.#cos[half + j];
          const s = this.#sin[half + j];
          const x = re[b] * c - im[b] * s;
          const y = re[b] * s + im[b] * c;
          re[b] = re[a] - x;
          im[b] = im[a] - y;
          re[a] += x;
          im[a] += y;
        }
      }
    }
  }

  /** The inverse of {@link forward}. */
  inverse(re: Float64Array, im: Float64Array): void {
    const n = this.slots;
    for (let half = n / 2; half >= 1; half /= 2) {
      for (let block = 0; block < n; block += 2 * half) {
        for (let j = 0; j < half; j++) {
          const a = block + j;
          const b = a + half;
          const c = this.#cos[half + j];
          const s = this.#sin[half + j];
          const x = re[a] - re[b];
          const y = im[a] - im[b];
          re[a] += re[b];
          im[a] += im[b];
          re[b] = x * c + y * s;
          im[b] = y * c - x * s;
        }
      }
    }
    this.#reverse(re, im);
    for (let i = 0; i < n; i++) {
      re[i] /= n;
      im[i] /= n;
    }
  }

  #reverse(re: Float64Array, im: Float64Array): void {
    for (let i = 0; i < this.slots; i++) {
      const j = this.#reversed[i];
      if (j <= i) continue;
      const x = re[i];
      re[i] = re[j];
      re[j] = x;
      const y = im[i];
      im[i] = im[j];
      im[j] = y;
    }
  }
}

/**
 * Factors of a transform of `slots` values and of all shorter ones: cosines, then sines; those of the stage with blocks of 2h values at
 * h .. 2h-1.
 */
export function slotRoots(slots: number): Float64Array {
  const out = new Float64Array(2 * slots);
  for (let half = 1; half < slots; half *= 2) {
    const order = 8 * half;
    for (let j = 0, power = 1; j < half; j++, power = (5 * power) % order) {
      const [cos, sin] = unitRoot(power, order);
      out[half + j] = cos;
      out[slots + half + j] = sin;
    }
  }
  return out;
}

/** cos and sin of 2 pi k / order, reduced to the first octant so that both are exact to the last place or two. */
function unitRoot(k: number, order: number): [cos: number, sin: number] {
  const eighth = order / 8;
  const octant = Math.floor(k / eighth);
  const rest = k - octant * eighth;
  const angle = (2 * Math.PI * (octant % 2 === 0 ? rest : eighth - rest)) / order;
  const near = Math.cos(angle);
  const far = Math.sin(angle);
  const [x, y] = octant % 4 === 0 || octant % 4 === 3 ? [near, far] : [far, near];
  const cosSign = octant >= 2 && octant < 6 ? -1 : 1;
  const sinSign = octant >= 4 ? -1 : 1;
  return [cosSign * x, sinSign * y];
}
