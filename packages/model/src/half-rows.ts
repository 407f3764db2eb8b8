import { SottoError } from '@sotto/base';
import { halfValues, numberToHalf } from './half.js';

/** Rows of numbers as binary16, low byte first: how embeddings travel. */
export function halfRows(rows: readonly ArrayLike<number>[]): Uint8Array {
  const dim = rows[0]?.length ?? 0;
  const bytes = new Uint8Array(2 * dim * rows.length);
  const view = new DataView(bytes.buffer);
  rows.forEach((row, r) => {
    for (let d = 0; d < dim; d++) view.setUint16(2 * (r * dim + d), numberToHalf(row[d]!), true);
  });
  return bytes;
}

/**
 * The rows back, rounded to binary16.
 *
 * @throws `EMBEDDINGS_INVALID` unless they are whole rows of finite numbers
 */
export function rowsOfHalf(bytes: Uint8Array, dim: number): Float64Array[] {
  const values = halfValues();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = bytes.length / (2 * dim);
  const rows = Array.from({ length: Math.floor(count) }, (_, r) =>
    Float64Array.from({ length: dim }, (_, d) => values[view.getUint16(2 * (r * dim + d), true)]!),
  );
  if (Number.isInteger(count) && count > 0 && rows.every((row) => row.every(Number.isFinite))) return rows;
  throw new SottoError('The embeddings of a prompt are not rows of this model.', {
    code: 'EMBEDDINGS_INVALID',
    facts: { sizeBytes: bytes.length, dim },
    fix: 'Send rows of the embedding table of this model as binary16.',
  });
}
