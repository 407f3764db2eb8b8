import { giveBack } from './pool.js';

const EMPTY = new Float64Array(0);

/** A simulated ciphertext: the slot values themselves, with the level they would be at. */
export class CleartextCiphertext {
  /** One period of the real parts; a power-of-two length. Empty once released. */
  re: Float64Array;
  /** One period of the imaginary parts; null while every operation so far was real and noiseless. */
  im: Float64Array | null;
  readonly level: number;
  /** The ciphertext it was made from by conjugation, where that is followed: the sum of both is real. */
  conjugateOf: CleartextCiphertext | null = null;
  /** Known to be purely imaginary. */
  imaginary = false;
  released = false;

  constructor(re: Float64Array, im: Float64Array | null, level: number) {
    this.re = re;
    this.im = im;
    this.level = level;
  }

  /** Frees the values; using it afterwards is an error. Again is harmless. */
  release(): void {
    if (!this.released) {
      giveBack(this.re);
      if (this.im !== null) giveBack(this.im);
    }
    this.released = true;
    this.re = EMPTY;
    this.im = null;
  }
}
