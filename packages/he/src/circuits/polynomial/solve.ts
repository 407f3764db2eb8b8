import { SottoError } from '@sotto/base';

/** Solves a dense system in place by Gaussian elimination with partial pivoting. Rows of `matrix` are overwritten. */
export function solveDense(matrix: Float64Array[], rhs: Float64Array): Float64Array {
  const n = rhs.length;
  for (let column = 0; column < n; column++) {
    let pivot = column;
    for (let row = column + 1; row < n; row++) {
      if (Math.abs(matrix[row][column]) > Math.abs(matrix[pivot][column])) pivot = row;
    }
    if (!(Math.abs(matrix[pivot][column]) > 0)) {
      throw new SottoError('The linear system of a polynomial fit is singular.', {
        code: 'HE_FIT_SINGULAR',
        facts: { unknowns: n },
        fix: 'Use a lower degree, or a function that is finite on the whole interval.',
      });
    }
    [matrix[column], matrix[pivot]] = [matrix[pivot], matrix[column]];
    [rhs[column], rhs[pivot]] = [rhs[pivot], rhs[column]];
    for (let row = column + 1; row < n; row++) {
      const factor = matrix[row][column] / matrix[column][column];
      if (factor === 0) continue;
      for (let k = column; k < n; k++) matrix[row][k] -= factor * matrix[column][k];
      rhs[row] -= factor * rhs[column];
    }
  }
  for (let row = n - 1; row >= 0; row--) {
    let sum = rhs[row];
    for (let k = row + 1; k < n; k++) sum -= matrix[row][k] * rhs[k];
    rhs[row] = sum / matrix[row][row];
  }
  return rhs;
}
