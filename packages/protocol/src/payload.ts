import { ByteReader, ByteWriter, SottoError } from '@sotto/base';

/** Ciphertexts that belong to consecutive rows of the model's input or output. */
export interface Rows {
  /** Position of the first row in the whole sequence (public part first), from 0. */
  readonly position: number;
  /** Number of rows, at least 1. */
  readonly rows: number;
  /** Serialised ciphertexts; how rows lie in them is the plan's business. */
  readonly ciphertexts: readonly Uint8Array[];
}

/** A frame holds few ciphertexts; a larger number is damage. */
const MAX_CIPHERTEXTS = 4096;

/** position u32, rows u32, count u32, then each ciphertext behind its u32 length. */
export function encodeRows(rows: Rows): Uint8Array {
  const writer = new ByteWriter().u32(rows.position).u32(rows.rows).u32(rows.ciphertexts.length);
  for (const ciphertext of rows.ciphertexts) writer.u32(ciphertext.length).bytes(ciphertext);
  return writer.finish();
}

/** @throws `DATA_TRUNCATED`, `DATA_TRAILING_BYTES`, `PAYLOAD_COUNT`, `BLOCK_EMPTY`. */
export function decodeRows(payload: Uint8Array): Rows {
  const reader = new ByteReader(payload, 'block of rows');
  const position = reader.u32();
  const rows = reader.u32();
  const count = reader.u32();
  if (rows === 0) {
    throw new SottoError('The block has no rows.', {
      code: 'BLOCK_EMPTY',
      fix: 'Give at least one private token.',
    });
  }
  if (count === 0 || count > MAX_CIPHERTEXTS) {
    throw new SottoError('The block has an impossible number of ciphertexts.', {
      code: 'PAYLOAD_COUNT',
      facts: { count, largest: MAX_CIPHERTEXTS },
      fix: 'Send the block again.',
    });
  }
  const ciphertexts: Uint8Array[] = [];
  for (let i = 0; i < count; i++) ciphertexts.push(reader.bytes(reader.u32()));
  reader.end();
  return { position, rows, ciphertexts };
}
