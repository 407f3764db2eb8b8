import { EVAL_MOD_BOUND, EVAL_MOD_DOUBLE_ANGLES, evalModRange } from './eval-mod-table.js';
import { logIntegerProbability } from './failure.js';

const WEIGHT_EXPONENT = 0.15;
const POINTS_PER_CLUSTER = 5;
const DEGREE = 30;

/** Least squares by Householder reflections: x with |A x - b| smallest. Rows of `a` and `b` are overwritten. */
function leastSquares(a: Float64Array[], b: Float64Array): Float64Array {
  const rows = a.length;
  const columns = a[0].length;
  for (let c = 0; c < columns; c++) {
    let norm = 0;
    for (let r = c; r < rows; r++) norm = Math.hypot(norm, a[r][c]);
    const diagonal = a[c][c] > 0 ? -norm : norm;
    const v = new Float64Array(rows);
    for (let r = c; r < rows; r++) v[r] = a[r][c];
    v[c] -= diagonal;
    let length = 0;
    for (let r = c; r < rows; r++) length += v[r] * v[r];
    const reflect = (get: (r: number) => number, set: (r: number, value: number) => void): void => {
      let dot = 0;
      for (let r = c; r < rows; r++) dot += v[r] * get(r);
      const factor = (2 * dot) / length;
      for (let r = c; r < rows; r++) set(r, get(r) - factor * v[r]);
    };
    for (let k = c; k < columns; k++) {
      reflect(
        (r) => a[r][k],
        (r, value) => {
          a[r][k] = value;
        },
      );
    }
    reflect(
      (r) => b[r],
      (r, value) => {
        b[r] = value;
      },
    );
  }
  const x = new Float64Array(columns);
  for (let c = columns - 1; c >= 0; c--) {
    let sum = b[c];
    for (let k = c + 1; k < columns; k++) sum -= a[c][k] * x[k];
    x[c] = sum / a[c][c];
  }
  return x;
}

/**
 * Fits the EvalMod polynomial afresh: even Chebyshev coefficients c_0, c_2, .. c_30. The shipped tables were made in 240-bit
 * arithmetic; this one, in float64, reproduces them to about 1e-11 and exists to check them.
 * @param weight of the ephemeral secret.
 */
export function fitEvalMod(logMessageRatio: number, weight: number): Float64Array {
  const range = evalModRange(logMessageRatio);
  const rows: Float64Array[] = [];
  const values: number[] = [];
  for (let k = -EVAL_MOD_BOUND; k <= EVAL_MOD_BOUND; k++) {
    const w = 2 ** Math.max(WEIGHT_EXPONENT * logIntegerProbability(weight, Math.abs(k)), -20);
    for (let j = 0; j < POINTS_PER_CLUSTER; j++) {
      const offset = Math.cos((Math.PI * (2 * j + 1)) / (2 * POINTS_PER_CLUSTER)) * 2 ** -logMessageRatio;
      const x = k + offset;
      const angle = Math.acos((x - 0.25) / range);
      rows.push(Float64Array.from({ length: DEGREE / 2 + 1 }, (_, i) => w * Math.cos(2 * i * angle)));
      values.push(w * Math.cos((2 * Math.PI * (x - 0.25)) / 2 ** EVAL_MOD_DOUBLE_ANGLES));
    }
  }
  return leastSquares(rows, Float64Array.from(values));
}
