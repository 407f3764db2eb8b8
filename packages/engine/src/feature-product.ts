import type { SlotVector } from '@sotto/he/scheme';
import type { FeatureShape } from './linear-map.js';
import { LANES, productSums } from './product-sums.js';

/** One row of weights, and where it is used: the same row often serves many output features. */
interface WeightRow {
  /** Output features, none twice. */
  readonly outputs: number[];
  /** Input features. */
  readonly inputs: Int32Array;
  readonly re: Float64Array;
  readonly im: Float64Array;
}

/** Weight rows of one period of inputs, one after the other as the kernel takes them. */
interface Weights {
  /** In features. */
  readonly inputPeriod: number;
  /** Output features of each row. */
  readonly outputs: readonly (readonly number[])[];
  /** Where each row begins, and where the last ends. */
  readonly starts: Int32Array;
  readonly inputs: Int32Array;
  readonly re: Float64Array;
  readonly im: Float64Array;
  readonly complex: boolean;
}

/**
 * A feature map as a sparse matrix on values: what its diagonals do, in a fraction of their time and memory. Only for the
 * cleartext scheme.
 */
export class FeatureProduct {
  readonly #shape: FeatureShape;
  readonly #period: number;
  readonly #diagonals: readonly number[];
  readonly #entry: (feature: number, diagonal: number) => readonly [number, number] | null;
  #weights: Weights | null = null;

  /**
   * @param entry the value of out[feature] += value * in[feature + diagonal], or null for zero.
   * @param period the entries repeat after so many features.
   */
  constructor(
    shape: FeatureShape,
    diagonals: readonly number[],
    entry: (feature: number, diagonal: number) => readonly [number, number] | null,
    period: number,
  ) {
    this.#shape = shape;
    this.#diagonals = diagonals;
    this.#entry = entry;
    this.#period = period;
  }

  /** One period of the result, from one period of the input. */
  apply(values: SlotVector): SlotVector {
    const { rows } = this.#shape;
    const inputPeriod = Math.max(1, values.re.length / rows);
    if (this.#weights?.inputPeriod !== inputPeriod) this.#weights = this.#build(inputPeriod);
    const weights = this.#weights;
    const period = Math.max(this.#period, inputPeriod);
    const lanes = Math.ceil(rows / LANES) * LANES;
    const re = new Float64Array(period * rows);
    const im = values.im !== null || weights.complex ? new Float64Array(period * rows) : null;
    const fromRe = productSums(weights, padded(values.re, rows, lanes), lanes);
    const fromIm = values.im === null ? null : productSums(weights, padded(values.im, rows, lanes), lanes);
    weights.outputs.forEach((features, row) => {
      const first = 2 * row * lanes;
      for (const feature of features) {
        for (let r = 0, at = feature * rows; r < rows; r++, at++) {
          re[at] = fromRe[first + r]! - (fromIm?.[first + lanes + r] ?? 0);
          if (im !== null) im[at] = fromRe[first + lanes + r]! + (fromIm?.[first + r] ?? 0);
        }
      }
    });
    return { re, im };
  }

  #build(inputPeriod: number): Weights {
    const { features } = this.#shape;
    const period = Math.max(this.#period, inputPeriod);
    const known = new Map<string, WeightRow>();
    const re = new Float64Array(inputPeriod);
    const im = new Float64Array(inputPeriod);
    for (let feature = 0; feature < period; feature++) {
      re.fill(0);
      im.fill(0);
      let count = 0;
      for (const d of this.#diagonals) {
        const value = this.#entry(feature % features, d);
        if (value === null || (value[0] === 0 && value[1] === 0)) continue;
        const at = (feature + d) % inputPeriod;
        re[at]! += value[0];
        im[at]! += value[1];
        count++;
      }
      if (count === 0) continue;
      const inputs = Int32Array.from(re.keys()).filter((j) => re[j] !== 0 || im[j] !== 0);
      const pick = (part: Float64Array): Float64Array => Float64Array.from(inputs, (j) => part[j]!);
      const row = { outputs: [feature], inputs, re: pick(re), im: pick(im) };
      const key = `${inputs[0]} ${inputs.length} ${row.re.subarray(0, 8)} ${row.im.subarray(0, 8)}`;
      const same = known.get(key);
      if (same !== undefined && equal(same, row)) same.outputs.push(feature);
      else known.set(known.has(key) ? `${key} ${feature}` : key, row);
    }
    const all = [...known.values()];
    const starts = new Int32Array(all.length + 1);
    all.forEach(({ inputs }, i) => {
      starts[i + 1] = starts[i]! + inputs.length;
    });
    const count = starts[all.length]!;
    const weights: Weights = {
      inputPeriod,
      outputs: all.map(({ outputs }) => outputs),
      starts,
      inputs: new Int32Array(count),
      re: new Float64Array(count),
      im: new Float64Array(count),
      complex: all.some((row) => row.im.some((v) => v !== 0)),
    };
    all.forEach((row, i) => {
      for (const part of ['inputs', 're', 'im'] as const) weights[part].set(row[part], starts[i]!);
    });
    return weights;
  }
}

function equal(a: WeightRow, b: WeightRow): boolean {
  return (
    a.inputs.length === b.inputs.length &&
    a.inputs.every((j, i) => j === b.inputs[i] && a.re[i] === b.re[i] && a.im[i] === b.im[i])
  );
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
