/** A simulated ciphertext: the slot values themselves, with the level they would be at. */
export class CleartextCiphertext {
  /** One period of the real parts; a power-of-two length. Empty once released. */
  re: Float64Array;
  /** One period of the imaginary parts; null while every operation so far was real and noiseless. */
  im: Float64Array | null;
  readonly level: number;
  released = false;

  constructor(re: Float64Array, im: Float64Array | null, level: number) {
    this.re = re;
    this.im = im;
    this.level = level;
  }

  /** Frees the values; using it afterwards is an error. Again is harmless. */
  release(): void {
    this.released = true;
    this.re = new Float64Array(0);
    this.im = null;
  }
}
