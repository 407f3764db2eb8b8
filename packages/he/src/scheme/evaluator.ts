import type { RefreshShape } from './refresh-shape.js';

/**
 * What a circuit may ask of a scheme. Encrypted CKKS (`he/ckks`) and the cleartext twin (`he/cleartext`) implement it alike,
 * so the same circuit runs in milliseconds on float64 and for real under encryption.
 *
 * Levels and scales: level l has a canonical scale `scaleAt(l)`. Every ciphertext a circuit sees is at its level's canonical
 * scale, operations that multiply consume one level and land exactly on the canonical scale below, and additions demand equal
 * levels ({@link Evaluator.toLevel} brings the higher operand down: it costs a constant product and a rescale, no key).
 */

/** Complex slot values; `im` null means real. A power-of-two length dividing the slot count stands for its periodic repetition. */
export interface SlotVector {
  readonly re: Float64Array;
  readonly im: Float64Array | null;
}

/** A linear map of the slots by its non-zero diagonals: out[i] = sum_k diagonals[k][i] * in[(i + k) mod slots]. */
export interface DiagonalMatrix {
  readonly diagonals: ReadonlyMap<number, SlotVector>;
}

/** A plaintext encoded at one level, ready for {@link Evaluator.mulPlain} or {@link Evaluator.addPlain}. */
export interface Plain {
  readonly level: number;
}

/** A {@link DiagonalMatrix} encoded at one level, with its split in baby and giant steps. */
export interface LinearTransform {
  readonly level: number;
  /** Every rotation that needs a key. */
  readonly rotations: readonly number[];
}

export interface TransformOptions {
  /** Level of the input. */
  level: number;
  /** Baby steps; the implementation chooses when absent. */
  babySteps?: number;
}

export interface Evaluator<C> {
  /** Complex slots. */
  readonly slots: number;
  /** Highest level this evaluator can represent. */
  readonly maxLevel: number;
  scaleAt(level: number): number;
  levelOf(a: C): number;

  /**
   * Runs `body` and frees every ciphertext made in it except those it returns (one ciphertext, an array of them, or a record
   * with ciphertexts as direct values; anything else is passed through).
   */
  scope<T>(body: () => T): T;
  /** Frees one ciphertext now. Using it afterwards is an error. */
  release(a: C): void;
  /** Takes the ciphertext out of the innermost scope, so that only {@link release} frees it. */
  keep(a: C): C;
  copyNew(a: C): C;

  /** 0 levels. Both operands at the same level. */
  addNew(a: C, b: C): C;
  subNew(a: C, b: C): C;
  negNew(a: C): C;
  /** Adds a real constant, or a complex one, to every slot. 0 levels. */
  addConstNew(a: C, re: number, im?: number): C;
  addPlainNew(a: C, b: Plain): C;
  /** Multiplies by an integer of magnitude below 2^20. 0 levels, no rescale. */
  mulIntegerNew(a: C, factor: number): C;
  /** Multiplies by i. 0 levels, no noise. */
  mulINew(a: C): C;

  /** 1 level. */
  mulConstNew(a: C, re: number, im?: number): C;
  mulPlainNew(a: C, b: Plain): C;
  /** Relinearised and rescaled. 1 level. */
  mulNew(a: C, b: C): C;
  squareNew(a: C): C;
  /** sum_i a[i]*b[i] with one relinearisation. 1 level. All operands at one level. */
  dotNew(a: readonly C[], b: readonly C[]): C;
  /** sum_i c[i]*a[i] (+ constant) for real constants: one rescale. 1 level. All operands at one level. */
  linearCombinationNew(a: readonly C[], c: readonly number[], constant?: number): C;

  /** out[i] = a[(i + k) mod slots]. 0 levels. Needs the key of k. */
  rotateNew(a: C, k: number): C;
  /** Several rotations of one input: the decomposition is shared (hoisting). k = 0 gives a copy. */
  rotateManyNew(a: C, ks: readonly number[]): C[];
  conjugateNew(a: C): C;

  /** Encodes for products at `level`. */
  encode(values: SlotVector, level: number): Plain;
  /** Encodes for additions at `level`. */
  encodeForAdd(values: SlotVector, level: number): Plain;
  releasePlain(p: Plain): void;
  compileTransform(matrix: DiagonalMatrix, options: TransformOptions): LinearTransform;
  /** 1 level. */
  transformNew(a: C, transform: LinearTransform): C;
  releaseTransform(t: LinearTransform): void;

  /** Brings a ciphertext down to `level` at that level's canonical scale. Error `HE_LEVEL_EXHAUSTED` if it is below. */
  toLevel(a: C, level: number): C;
}

/** Restores levels. One complex ciphertext carries two real vectors, so refreshing a pair costs as much as one. */
export interface Refresher<C> {
  /** Level of a refreshed ciphertext. */
  readonly outputLevel: number;
  /** Lowest level at which {@link refresh} accepts its input. */
  readonly inputLevel: number;
  /** Largest magnitude of a slot component that is refreshed within the stated precision. */
  readonly range: number;
  /** Number of refreshes so far. */
  readonly count: number;
  /**
   * Complex slots in, the same slots out at {@link outputLevel}. The input is not freed.
   * @param shape what the caller promises of the slots; nothing when absent. What it denies is lost.
   * @throws SottoError `HE_REFRESH_SHAPE` when this refresher does not serve the shape.
   */
  refresh(a: C, shape?: RefreshShape): Promise<C>;
}
