import { ByteReader, ByteWriter, SottoError } from '@sotto/base';
import { checksum64 } from './checksum.js';

/** Kinds of binary objects; numbers are part of the format. */
export const ENVELOPE_TYPES = {
  ciphertext: 1,
  seededCiphertext: 2,
  evaluationKey: 3,
  secretKey: 4,
} as const;

export type EnvelopeType = keyof typeof ENVELOPE_TYPES;

const MAGIC = new Uint8Array([0x53, 0x74, 0x74, 0x6f]);
const VERSION = 1;
const CHECKSUM_BYTES = 8;
/** Magic, version, type, length of the digest, body length, checksum: all of an envelope but the digest and the body. */
export const ENVELOPE_BYTES = 4 + 2 + 2 + 2 + 8 + CHECKSUM_BYTES;

export interface EnvelopeHeader {
  readonly type: EnvelopeType;
  readonly parametersDigest: string;
  readonly bodyBytes: number;
}

/**
 * Wraps a body: magic "Stto", version and type (16 bits each), parameters digest (text), body length (64 bits), body, checksum of
 * all that. Little-endian throughout.
 *
 * @param bodyBytes size of the body, so that it is written in place; more room is made when it is larger.
 */
export function sealEnvelope(
  type: EnvelopeType,
  parametersDigest: string,
  body: (writer: ByteWriter) => void,
  bodyBytes = 256,
): Uint8Array {
  const writer = new ByteWriter(ENVELOPE_BYTES + parametersDigest.length + bodyBytes);
  writer.bytes(MAGIC).u16(VERSION).u16(ENVELOPE_TYPES[type]).text(parametersDigest);
  const sizeAt = writer.length;
  writer.u32(0).u32(0);
  const bodyAt = writer.length;
  body(writer);
  const length = writer.length - bodyAt;
  writer.setU32(sizeAt, length % 2 ** 32).setU32(sizeAt + 4, Math.floor(length / 2 ** 32));
  return writer.bytes(checksum64(writer.written())).finish();
}

/**
 * Reads only the header, e.g. to route an upload. Nothing of the body is looked at.
 * @throws `DATA_FORMAT`, `DATA_VERSION`, `DATA_TYPE`, `DATA_TRUNCATED`
 */
export function peekEnvelope(bytes: Uint8Array): EnvelopeHeader {
  return readHeader(new ByteReader(bytes, 'object'));
}

/**
 * Checks everything but the meaning of the body and gives a reader over the body.
 * @throws `DATA_FORMAT`, `DATA_VERSION`, `DATA_TYPE`, `DATA_TRUNCATED`, `DATA_TRAILING_BYTES`, `DATA_CHECKSUM`, and
 * `HE_PARAMETERS_MISMATCH` when it was made for other parameters.
 */
export function openEnvelope(bytes: Uint8Array, type: EnvelopeType, parametersDigest: string): ByteReader {
  const reader = new ByteReader(bytes, type);
  const header = readHeader(reader);
  if (header.type !== type) {
    throw new SottoError('This is another kind of object.', {
      code: 'DATA_TYPE',
      facts: { expected: type, got: header.type },
      fix: 'Pass the file or message that belongs here.',
    });
  }
  const bodyAt = reader.offset;
  reader.bytes(header.bodyBytes);
  const sum = reader.bytes(CHECKSUM_BYTES);
  reader.end();
  const expected = checksum64(bytes.subarray(0, bytes.length - CHECKSUM_BYTES));
  if (sum.some((byte, i) => byte !== expected[i])) {
    throw new SottoError(`The ${type} is damaged.`, {
      code: 'DATA_CHECKSUM',
      facts: { sizeBytes: bytes.length },
      fix: 'Fetch or make it again.',
    });
  }
  if (header.parametersDigest !== parametersDigest) {
    throw new SottoError(`The ${type} belongs to other parameters.`, {
      code: 'HE_PARAMETERS_MISMATCH',
      facts: { expected: parametersDigest.slice(0, 16), got: header.parametersDigest.slice(0, 16) },
      fix: 'Use one parameter set on both sides.',
    });
  }
  return new ByteReader(bytes.subarray(bodyAt, bodyAt + header.bodyBytes), type);
}

function readHeader(reader: ByteReader): EnvelopeHeader {
  const magic = reader.bytes(MAGIC.length);
  if (magic.some((byte, i) => byte !== MAGIC[i])) {
    throw new SottoError('These bytes are not one of our objects.', {
      code: 'DATA_FORMAT',
      fix: 'Check which file was passed.',
    });
  }
  const version = reader.u16();
  if (version !== VERSION) {
    throw new SottoError('This object has a format version that is not supported.', {
      code: 'DATA_VERSION',
      facts: { version, supported: VERSION },
      fix: 'Use the same release on both sides.',
    });
  }
  const code = reader.u16();
  const type = (Object.keys(ENVELOPE_TYPES) as EnvelopeType[]).find((name) => ENVELOPE_TYPES[name] === code);
  if (type === undefined) {
    throw new SottoError('This object is of an unknown kind.', { code: 'DATA_TYPE', facts: { got: code } });
  }
  const parametersDigest = reader.text();
  const low = reader.u32();
  return { type, parametersDigest, bodyBytes: low + reader.u32() * 2 ** 32 };
}
