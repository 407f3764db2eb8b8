import { SottoError } from '@sotto/base';

/** Words, most frequent first, with one row of coordinates each. */
export interface WordVectors {
  readonly words: readonly string[];
  readonly dimension: number;
  /** words.length x dimension. */
  readonly values: Float32Array;
}

/** @throws `VECTORS_INVALID` on shapes that disagree, repeated words or values that are not finite. */
export function wordVectors(words: readonly string[], dimension: number, values: Float32Array): WordVectors {
  const fail = (reason: string): never => {
    throw new SottoError('The word vectors are not usable.', {
      code: 'VECTORS_INVALID',
      facts: { reason, words: words.length, dimension, values: values.length },
      fix: 'Give one finite row per distinct word.',
    });
  };
  if (values.length !== words.length * dimension || dimension === 0) fail('shape');
  if (new Set(words).size !== words.length) fail('a word occurs twice');
  if (!values.every((value) => Number.isFinite(value))) fail('a value is not finite');
  return { words, dimension, values };
}

/** Rows scaled to length 1; zero rows stay zero. */
export function unitRows({ values, dimension, words }: WordVectors): Float64Array {
  const out = new Float64Array(values.length);
  for (let i = 0; i < words.length; i++) {
    let square = 0;
    for (let d = 0; d < dimension; d++) square += values[i * dimension + d]! ** 2;
    const scale = square > 0 ? 1 / Math.sqrt(square) : 0;
    for (let d = 0; d < dimension; d++) out[i * dimension + d] = values[i * dimension + d]! * scale;
  }
  return out;
}

/** Puts columns behind the coordinates of every row. */
export function appendColumns(
  rows: Float64Array,
  dimension: number,
  columns: readonly Float64Array[],
): { rows: Float64Array; dimension: number } {
  const count = rows.length / dimension;
  const wide = dimension + columns.length;
  const out = new Float64Array(count * wide);
  for (let i = 0; i < count; i++) {
    out.set(rows.subarray(i * dimension, (i + 1) * dimension), i * wide);
    columns.forEach((column, c) => {
      out[i * wide + dimension + c] = column[i]!;
    });
  }
  return { rows: out, dimension: wide };
}

/** log2 with linear steps between powers of two: the same bits on every platform, unlike Math.log. */
export function steadyLog2(value: number): number {
  const floor = 31 - Math.clz32(value);
  return floor + (value - 2 ** floor) / 2 ** floor;
}

/** Log of the rank, centred and scaled to variance 1, times `weight`. */
export function frequencyColumn(count: number, weight: number): Float64Array {
  return standardised(
    Float64Array.from({ length: count }, (_, rank) => steadyLog2(rank + 10)),
    weight,
  );
}

/** Any column, centred and scaled to variance 1, times `weight`. */
export function standardised(column: Float64Array, weight: number): Float64Array {
  let sum = 0;
  for (const value of column) sum += value;
  const mean = sum / column.length;
  let square = 0;
  for (const value of column) square += (value - mean) ** 2;
  const scale = square > 0 ? weight / Math.sqrt(square / column.length) : 0;
  return column.map((value) => (value - mean) * scale);
}
