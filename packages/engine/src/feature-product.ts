import type { SlotVector } from '@sotto/he/scheme';
import type { FeatureShape } from './linear-map.js';

/** The non-zero weights of one output feature. */
interface OutputRow {
  readonly feature: number;
  /** Input features. */
  readonly inputs: Int32Array;
  readonly re: Float64Array;
  /** Null when all are zero. */
  readonly im: Float64Array | null;
}

/** Rows that one pass over the weights serves: as many sums as fit the registers. */
const LANES = 8;

/**
 * A feature map as a sparse matrix on values: what its diagonals do, in a fraction of their time and memory. Only for the
 * cleartext scheme.
 */
export class FeatureProduct {
  readonly #rows: number;
  readonly #period: number;
  readonly #outputs: readonly OutputRow[];
  readonly #features: number;
  readonly #complex: boolean;

  /**
   * @param entry the value of out[feature] += value * in[feature + diagonal], or null for zero.
   * @param period the entries repeat after so many features.
   */
  constructor(
    { features, rows }: FeatureShape,
    diagonals: readonly number[],
    entry: (feature: number, diagonal: number) => readonly [number, number] | null,
    period: number,
  ) {
    this.#rows = rows;
    this.#features = features;
    this.#period = period;
    const outputs: OutputRow[] = [];
    const inputs = new Int32Array(diagonals.length);
    const re = new Float64Array(diagonals.length);
    const im = new Float64Array(diagonals.length);
    for (let feature = 0; feature < period; feature++) {
      let count = 0;
      for (const d of diagonals) {
        const value = entry(feature, d);
        if (value === null || (value[0] === 0 && value[1] === 0)) continue;
        inputs[count] = feature + d;
        re[count] = value[0];
        im[count] = value[1];
        count++;
      }
      if (count === 0) continue;
      const imaginary = im.slice(0, count);
      outputs.push({
        feature,
        inputs: inputs.slice(0, count),
        re: re.slice(0, count),
        im: imaginary.some((v) => v !== 0) ? imaginary : null,
      });
    }
    this.#outputs = outputs;
    this.#complex = outputs.some((row) => row.im !== null);
  }

  /** One period of the result, from one period of the input. */
  apply(values: SlotVector): SlotVector {
    const rows = this.#rows;
    const period = Math.min(this.#features, Math.max(this.#period, values.re.length / rows));
    const lanes = Math.ceil(rows / LANES) * LANES;
    const x = padded(values.re, rows, lanes);
    const out = { re: new Float64Array(period * rows), im: null as Float64Array | null };
    const sums = new Float64Array(lanes);
    const add = (
      weights: (row: OutputRow) => Float64Array | null,
      input: Float64Array,
      to: Float64Array,
      sign: 1 | -1,
    ) => {
      for (const row of this.#outputs) {
        const w = weights(row);
        if (w === null) continue;
        for (let first = 0; first < period; first += this.#period) {
          weightedSum(w, row.inputs, first, input, lanes, sums);
          const at = (first + row.feature) * rows;
          for (let r = 0; r < rows; r++) to[at + r]! += sign * sums[r]!;
        }
      }
    };
    const real = (row: OutputRow): Float64Array => row.re;
    const imaginary = (row: OutputRow): Float64Array | null => row.im;
    add(real, x, out.re, 1);
    if (!this.#complex && values.im === null) return out;
    out.im = new Float64Array(period * rows);
    if (this.#complex) add(imaginary, x, out.im, 1);
    if (values.im === null) return out;
    const y = padded(values.im, rows, lanes);
    add(real, y, out.im, 1);
    if (this.#complex) add(imaginary, y, out.re, -1);
    return out;
  }
}

/** One period with `lanes` numbers a feature. */
function padded(values: Float64Array, rows: number, lanes: number): Float64Array {
  if (values.length >= rows && lanes === rows) return values;
  const features = Math.max(1, values.length / rows);
  const out = new Float64Array(features * lanes);
  for (let f = 0; f < features; f++) {
    for (let r = 0; r < rows; r++) out[f * lanes + r] = values[(f * rows + r) & (values.length - 1)]!;
  }
  return out;
}

/** sums[r] = sum_j w[j] * x[(first + inputs[j]) * lanes + r], x periodic. */
function weightedSum(
  w: Float64Array,
  inputs: Int32Array,
  first: number,
  x: Float64Array,
  lanes: number,
  sums: Float64Array,
): void {
  const mask = x.length / lanes - 1;
  for (let lane = 0; lane < lanes; lane += LANES) {
    let s0 = 0;
    let s1 = 0;
    let s2 = 0;
    let s3 = 0;
    let s4 = 0;
    let s5 = 0;
    let s6 = 0;
    let s7 = 0;
    for (let j = 0; j < w.length; j++) {
      const at = ((first + inputs[j]!) & mask) * lanes + lane;
      const weight = w[j]!;
      s0 += weight * x[at]!;
      s1 += weight * x[at + 1]!;
      s2 += weight * x[at + 2]!;
      s3 += weight * x[at + 3]!;
      s4 += weight * x[at + 4]!;
      s5 += weight * x[at + 5]!;
      s6 += weight * x[at + 6]!;
      s7 += weight * x[at + 7]!;
    }
    sums[lane] = s0;
    sums[lane + 1] = s1;
    sums[lane + 2] = s2;
    sums[lane + 3] = s3;
    sums[lane + 4] = s4;
    sums[lane + 5] = s5;
    sums[lane + 6] = s6;
    sums[lane + 7] = s7;
  }
}
