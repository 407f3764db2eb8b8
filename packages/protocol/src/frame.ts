import { ByteReader, ByteWriter, SottoError } from '@sotto/base';
import { checksum32 } from './checksum.js';
import { PROTOCOL_VERSION } from './version.js';

/** What a binary body carries. */
export const frameKinds = {
  /** One evaluation key; `index` is its place in the session's key list. */
  key: 1,
  /** Encrypted rows for the model; `index` is the position of the first row. */
  block: 2,
  /** Encrypted hidden rows; `index` is the position of the first row. */
  result: 3,
  /** A ciphertext that ran out of levels, on its way to the client; `index` numbers the request in its job. */
  refreshRequest: 4,
  /** The same values, encrypted anew; `index` numbers the request in its job. */
  refreshReply: 5,
} as const;

export type FrameKind = keyof typeof frameKinds;

export interface Frame {
  readonly kind: FrameKind;
  readonly index: number;
  /** A view into the bytes that were decoded. */
  readonly payload: Uint8Array;
}

/** "SOTF" in little-endian bytes. */
const MAGIC = 0x46544f53;
const CHECKED_HEADER_BYTES = 16;

/** magic u32, version u16, kind u16, index u32, payload length u32, checksum u32; little-endian. */
export const FRAME_HEADER_BYTES = CHECKED_HEADER_BYTES + 4;

const kindNames = new Map<number, FrameKind>(
  Object.entries(frameKinds).map(([name, code]) => [code, name as FrameKind]),
);

/** The checksum covers the header too: its hash seeds the hash of the payload. */
const checksumOf = (header: Uint8Array, payload: Uint8Array) => checksum32(payload, checksum32(header));

/** @param index 0..2^32-1. */
export function encodeFrame(kind: FrameKind, index: number, payload: Uint8Array): Uint8Array {
  const header = new ByteWriter()
    .u32(MAGIC)
    .u16(PROTOCOL_VERSION)
    .u16(frameKinds[kind])
    .u32(index)
    .u32(payload.length)
    .finish();
  const out = new Uint8Array(FRAME_HEADER_BYTES + payload.length);
  out.set(header);
  new DataView(out.buffer).setUint32(CHECKED_HEADER_BYTES, checksumOf(header, payload), true);
  out.set(payload, FRAME_HEADER_BYTES);
  return out;
}

function malformed(short: string, code: string, facts: Record<string, string | number>): SottoError {
  return new SottoError(short, { code, facts, fix: 'Send the frame again.' });
}

/**
 * Decodes one whole frame and checks everything that can be checked without knowing the payload.
 *
 * @param expected the kind that this place of the protocol takes.
 * @throws `DATA_TRUNCATED`, `DATA_TRAILING_BYTES`, `FRAME_MAGIC`, `FRAME_VERSION`, `FRAME_KIND`, `FRAME_CHECKSUM`.
 */
export function decodeFrame(bytes: Uint8Array, expected: FrameKind): Frame {
  const reader = new ByteReader(bytes, 'frame');
  if (reader.u32() !== MAGIC) {
    throw malformed('This is not a Sotto frame.', 'FRAME_MAGIC', { sizeBytes: bytes.length });
  }
  const version = reader.u16();
  if (version !== PROTOCOL_VERSION) {
    throw new SottoError('The frame is of another protocol version.', {
      code: 'FRAME_VERSION',
      facts: { version, expected: PROTOCOL_VERSION },
      fix: 'Use the same Sotto version at client and server.',
    });
  }
  const kind = kindNames.get(reader.u16());
  if (kind !== expected) {
    throw malformed('The frame is of another kind than this request takes.', 'FRAME_KIND', {
      kind: kind ?? 'unknown',
      expected,
    });
  }
  const index = reader.u32();
  const payloadBytes = reader.u32();
  const stored = reader.u32();
  const payload = reader.bytes(payloadBytes);
  reader.end();
  const computed = checksumOf(bytes.subarray(0, CHECKED_HEADER_BYTES), payload);
  if (computed !== stored) {
    throw malformed('The frame was damaged on its way.', 'FRAME_CHECKSUM', { kind, payloadBytes });
  }
  return { kind, index, payload };
}
