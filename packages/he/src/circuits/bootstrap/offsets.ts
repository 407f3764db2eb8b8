import type { DiagonalMatrix, SlotVector } from '../../scheme/evaluator.js';

/**
 * Factors of the transforms with their diagonals at 0, stride, 2*stride, ...: one giant-step rotation then serves a whole factor.
 *
 * A butterfly has diagonals on both sides of the main one. With R^k the rotation by k and `low` the lowest index,
 * M = R^low M'' where diagonal d of M is R^low of diagonal d - low of M'', and also M = M' R^low. A rotation passes through a factor
 * that has its diagonals rotated: M R^a = R^a M(a). So every factor can start at 0, and all the offsets end in one rotation, which
 * may be applied to the input of the bootstrapping because a bootstrapping is the identity.
 */
export interface StridedFactor {
  readonly matrix: DiagonalMatrix;
  readonly stride: number;
  /** Diagonals lie at 0, stride, .. (count - 1) * stride; some may be missing. */
  readonly count: number;
}

interface Indexing {
  readonly stride: number;
  readonly low: number;
  readonly count: number;
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

/** The shortest run of equally spaced indices, modulo n, that covers all diagonals. */
function indexing(matrix: DiagonalMatrix, n: number): Indexing {
  const indices = [...matrix.diagonals.keys()].map((k) => ((k % n) + n) % n).sort((a, b) => a - b);
  const stride = indices.reduce((g, k) => gcd(g, k), n);
  // The run begins after the widest gap of the cycle.
  let low = indices[0];
  let widest = indices[0] + n - indices[indices.length - 1];
  for (let i = 1; i < indices.length; i++) {
    const gap = indices[i] - indices[i - 1];
    if (gap > widest) {
      widest = gap;
      low = indices[i] - n;
    }
  }
  return { stride, low, count: (n - widest) / stride + 1 };
}

/** out[i] = v[i + k]. */
function rotateVector(v: SlotVector, k: number): SlotVector {
  const turn = (x: Float64Array): Float64Array =>
    x.map((_, i) => x[(((i + k) % x.length) + x.length) % x.length]);
  return { re: turn(v.re), im: v.im === null ? null : turn(v.im) };
}

function shifted(matrix: DiagonalMatrix, n: number, { low }: Indexing, turn: number): DiagonalMatrix {
  const diagonals = new Map<number, SlotVector>();
  for (const [k, v] of matrix.diagonals) diagonals.set((((k - low) % n) + n) % n, rotateVector(v, turn));
  return { diagonals };
}

/**
 * Factors y = M_last .. M_1 x on n-periodic data, as R^offset of strided factors: `offset` is what is left to rotate the result by.
 */
export function offsetsToOutput(
  factors: readonly DiagonalMatrix[],
  n: number,
): { factors: StridedFactor[]; offset: number } {
  let offset = 0;
  const strided = factors.map((matrix) => {
    const at = indexing(matrix, n);
    offset += at.low;
    return { matrix: shifted(matrix, n, at, -offset), stride: at.stride, count: at.count };
  });
  return { factors: strided, offset };
}

/** As {@link offsetsToOutput}, with the rotation by `offset` in front of the first factor. */
export function offsetsToInput(
  factors: readonly DiagonalMatrix[],
  n: number,
): { factors: StridedFactor[]; offset: number } {
  let offset = 0;
  const strided = [...factors].reverse().map((matrix) => {
    const at = indexing(matrix, n);
    const factor = { matrix: shifted(matrix, n, at, offset), stride: at.stride, count: at.count };
    offset += at.low;
    return factor;
  });
  return { factors: strided.reverse(), offset };
}
