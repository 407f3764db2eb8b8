import type { DiagonalMatrix, SlotVector } from '@sotto/he/scheme';

/** A linear map whose diagonals are known at once and whose values are made when they are encoded. */
export interface LinearMap {
  /** Identifies the values: same name, same map. */
  readonly name: string;
  /** Rotations, each in 0..slots-1. */
  readonly diagonals: readonly number[];
  /** A power of two, in slots. */
  readonly babySteps: number;
  build(): DiagonalMatrix;
}

/** Values of a complex vector under construction. */
export class VectorBuilder {
  readonly re: Float64Array;
  readonly im: Float64Array;

  constructor(length: number) {
    this.re = new Float64Array(length);
    this.im = new Float64Array(length);
  }

  set(slot: number, re: number, im = 0): void {
    this.re[slot] = re;
    this.im[slot] = im;
  }

  finish(): SlotVector {
    return { re: this.re, im: this.im.some((v) => v !== 0) ? this.im : null };
  }
}

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
  entry: (slot: number, diagonal: number) => readonly [number, number] | null,
): LinearMap {
  const canonical = diagonals.map((d) => ((d % slots) + slots) % slots);
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

/** Power-of-two number of baby steps near the square root of the diagonals, in units of `stride`. */
export function balancedBabySteps(diagonalCount: number, stride: number): number {
  return stride * 2 ** Math.round(Math.log2(Math.max(1, diagonalCount)) / 2);
}
