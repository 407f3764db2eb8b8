/** How often each kind of operation ran. */
export interface OperationCounts {
  /** Tensor products of two ciphertexts, squares included. */
  products: number;
  relinearisations: number;
  /** Products with an encoded vector, diagonals of transforms included. */
  plainProducts: number;
  /** Products with a constant, level drops included. */
  constantProducts: number;
  rescales: number;
  /** Rotations outside transforms. */
  rotations: number;
  /** Rotations inside transforms: baby steps and giant steps. */
  transformRotations: number;
  conjugations: number;
  transforms: number;
  additions: number;
  levelDrops: number;
}

export function zeroCounts(): OperationCounts {
  return {
    products: 0,
    relinearisations: 0,
    plainProducts: 0,
    constantProducts: 0,
    rescales: 0,
    rotations: 0,
    transformRotations: 0,
    conjugations: 0,
    transforms: 0,
    additions: 0,
    levelDrops: 0,
  };
}
