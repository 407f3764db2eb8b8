import { Sha256, SottoError, toHex } from '@sotto/base';

const DIGEST_BYTES = 32;
const HEAD_BYTES = 8;
const LARGEST_PAYLOAD_BYTES = 4096;

/** Records of a ledger file, chained by their digests. */
export interface RecordChain {
  readonly payloads: readonly string[];
  /** Digest of the last record; what the next one is chained to. */
  readonly head: Uint8Array;
  /** Bytes that hold whole records. */
  readonly wholeBytes: number;
  /** Bytes of a last record that a crash cut off. It was never confirmed, so nothing was sent for it. */
  readonly tornBytes: number;
}

const start = new Uint8Array(DIGEST_BYTES);

function chained(head: Uint8Array, payload: Uint8Array): Uint8Array {
  return new Sha256().update(head).update(payload).digest();
}

/** Length, its complement, payload, SHA-256 of (previous digest, payload). */
export function encodeRecord(head: Uint8Array, text: string): { bytes: Uint8Array; head: Uint8Array } {
  const payload = new TextEncoder().encode(text);
  if (payload.length > LARGEST_PAYLOAD_BYTES) {
    throw new SottoError('A ledger record is too long.', {
      code: 'LEDGER_RECORD_SIZE',
      facts: { sizeBytes: payload.length, limitBytes: LARGEST_PAYLOAD_BYTES },
      fix: 'Use a shorter user name or spend in smaller steps.',
    });
  }
  const next = chained(head, payload);
  const bytes = new Uint8Array(HEAD_BYTES + payload.length + DIGEST_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, payload.length, true);
  view.setUint32(4, ~payload.length >>> 0, true);
  bytes.set(payload, HEAD_BYTES);
  bytes.set(next, HEAD_BYTES + payload.length);
  return { bytes, head: next };
}

/**
 * Reads a ledger file. A cut-off last record is told apart from damage: lengths are written twice, so that a damaged length cannot pass
 * for one that reaches beyond the end.
 * @throws `LEDGER_CORRUPT`
 */
export function decodeRecords(bytes: Uint8Array): RecordChain {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const payloads: string[] = [];
  let head: Uint8Array = start;
  let at = 0;
  while (bytes.length - at >= HEAD_BYTES) {
    const length = view.getUint32(at, true);
    const complement = view.getUint32(at + 4, true);
    // A crash may leave a file that is longer than what was written, with zeros behind.
    if (length === 0 && complement === 0 && bytes.subarray(at).every((byte) => byte === 0)) break;
    if (complement !== ~length >>> 0 || length > LARGEST_PAYLOAD_BYTES) corrupt(at, payloads.length);
    const end = at + HEAD_BYTES + length + DIGEST_BYTES;
    if (end > bytes.length) break;
    const payload = bytes.subarray(at + HEAD_BYTES, at + HEAD_BYTES + length);
    const next = chained(head, payload);
    if (toHex(next) !== toHex(bytes.subarray(end - DIGEST_BYTES, end))) corrupt(at, payloads.length);
    payloads.push(new TextDecoder().decode(payload));
    head = next;
    at = end;
  }
  return { payloads, head, wholeBytes: at, tornBytes: bytes.length - at };
}

function corrupt(offset: number, record: number): never {
  throw new SottoError('The privacy ledger is damaged.', {
    code: 'LEDGER_CORRUPT',
    facts: { offset, record },
    fix: 'Restore it from a copy. Starting a new one forgets what was spent.',
  });
}
