import type { DiagonalMatrix, SlotVector } from '@sotto/he/scheme';
import { FeatureProduct } from './feature-product.js';

/** A linear map whose diagonals are known at once and whose values are made when they are encoded. */
export interface LinearMap {
  /** Identifies the values: same name, same map. */
  readonly name: string;
  /** Rotations, each in 0..slots-1. */
  readonly diagonals: readonly number[];
  /** A power of two, in slots. */
  readonly babySteps: number;
  build(): DiagonalMatrix;
  /** The diagonals' work on plain values in one function; absent where it is not worth one. */
  prepare?(): (values: SlotVector) => SlotVector;
}

/** Values of a complex vector under construction. */
export class VectorBuilder {
  readonly #re: Float64Array;
  /** There once it is needed: most vectors are real. */
  #im: Float64Array | null = null;

  constructor(length: number) {
    this.#re = new Float64Array(length);
  }

  set(slot: number, re: number, im = 0): void {
    this.setRun(slot, 1, re, im);
  }

  /** The same value in `count` slots. */
  setRun(slot: number, count: number, re: number, im: number): void {
    const end = slot + count;
    const real = this.#re;
    for (let i = slot; i < end; i++) real[i] = re;
    if (im === 0 && this.#im === null) return;
    this.#im ??= new Float64Array(real.length);
    const imaginary = this.#im;
    for (let i = slot; i < end; i++) imaginary[i] = im;
  }

  finish(): SlotVector {
    return { re: this.#re, im: this.#im };
  }
}

type Entry = readonly [number, number];

const modulo = (k: number, n: number): number => ((k % n) + n) % n;

/**
 * A map from its entries.
 *
 * @param entry the value of out[slot] += value * in[slot + diagonal], or null for zero.
 */
export function linearMap(
  name: string,
  slots: number,
  diagonals: readonly number[],
  babySteps: number,
  entry: (slot: number, diagonal: number) => Entry | null,
): LinearMap {
  const canonical = diagonals.map((d) => modulo(d, slots));
  return {
    name,
    diagonals: canonical,
    babySteps,
    build: () => {
      const built = new Map<number, SlotVector>();
      canonical.forEach((k, i) => {
        const vector = new VectorBuilder(slots);
        for (let slot = 0; slot < slots; slot++) {
          const value = entry(slot, diagonals[i]!);
          if (value !== null) vector.set(slot, value[0], value[1]);
        }
        built.set(k, vector.finish());
      });
      return { diagonals: built };
    },
  };
}

/** Slots as features of `rows` rows each. */
export interface FeatureShape {
  readonly features: number;
  readonly rows: number;
}

/**
 * A map of features that does the same to every row.
 *
 * @param diagonals in features, each in 0..features-1.
 * @param babySteps in features.
 * @param entry the value of out[feature] += value * in[feature + diagonal], or null for zero.
 * @param period the entries repeat after so many features.
 */
export function featureMap(
  name: string,
  shape: FeatureShape,
  diagonals: readonly number[],
  babySteps: number,
  entry: (feature: number, diagonal: number) => Entry | null,
  period = shape.features,
): LinearMap {
  const { features, rows } = shape;
  return {
    name,
    diagonals: diagonals.map((d) => d * rows),
    babySteps: babySteps * rows,
    build: () => {
      const built = new Map<number, SlotVector>();
      for (const d of diagonals) {
        const vector = new VectorBuilder(features * rows);
        for (let feature = 0; feature < features; feature++) {
          const value = entry(feature, d);
          if (value === null) continue;
          vector.setRun(feature * rows, rows, value[0], value[1]);
        }
        built.set(d * rows, vector.finish());
      }
      return { diagonals: built };
    },
    prepare: () => {
      const product = new FeatureProduct(shape, diagonals, entry, period);
      return (values) => product.apply(values);
    },
  };
}

/** Power-of-two number of baby steps near the square root of the diagonals, in units of `stride`. */
export function balancedBabySteps(diagonalCount: number, stride: number): number {
  return stride * 2 ** Math.round(Math.log2(Math.max(1, diagonalCount)) / 2);
}
