/**
 * Gaussian numbers for simulations. Fast and reproducible, and for that reason never to be used where a secret is made:
 * encryption takes its randomness from the platform.
 */
const tableSize = 1 << 16;
const runLength = 64;

export class GaussianSource {
  readonly #table = new Float64Array(tableSize);
  #a: number;
  #b: number;

  constructor(seed: number) {
    this.#a = (seed ^ 0x9e3779b9) | 1;
    this.#b = Math.imul(seed + 0x7f4a7c15, 0x85ebca6b) | 1;
    for (let i = 0; i < 16; i++) this.#next();
    for (let i = 0; i < tableSize; i += 2) {
      const radius = Math.sqrt(-2 * Math.log((this.#next() + 1) / 4294967297));
      const angle = (2 * Math.PI * this.#next()) / 4294967296;
      this.#table[i] = radius * Math.cos(angle);
      this.#table[i + 1] = radius * Math.sin(angle);
    }
  }

  /** xorshift and Weyl sequence in 32 bits. */
  #next(): number {
    let x = this.#a;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#a = x;
    this.#b = (this.#b + 0x9e3779b9) | 0;
    return (x + this.#b) >>> 0;
  }

  /** Adds independent Gaussian noise of this standard deviation to every element. */
  addTo(values: Float64Array, std: number): void {
    const table = this.#table;
    // A random place of the table for every run of numbers: nearly as good as one for each, and several times faster.
    for (let from = 0; from < values.length; from += runLength) {
      const start = this.#next() >>> 16;
      const to = Math.min(values.length, from + runLength);
      for (let i = from, at = start; i < to; i++, at++) values[i] += std * table[at & (tableSize - 1)];
    }
  }

  /** Uniform in [0, 1). */
  uniform(): number {
    return this.#next() / 4294967296;
  }
}
