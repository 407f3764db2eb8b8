import { SottoError } from '@sotto/base';

/** Bytes that are read piece by piece: a file, or memory. */
export interface ByteSource {
  readonly sizeBytes: number;
  /** A copy or a view of `sizeBytes` bytes at `offset`. @throws `DATA_TRUNCATED` outside of the source. */
  read(offset: number, sizeBytes: number): Promise<Uint8Array>;
}

/** @throws `DATA_TRUNCATED` unless the range lies in a source of `availableBytes`. */
export function checkRange(what: string, offset: number, sizeBytes: number, availableBytes: number): void {
  const whole = Number.isSafeInteger(offset) && Number.isSafeInteger(sizeBytes);
  if (whole && offset >= 0 && sizeBytes >= 0 && offset + sizeBytes <= availableBytes) return;
  throw new SottoError(`The ${what} is truncated.`, {
    code: 'DATA_TRUNCATED',
    facts: { offset, neededBytes: sizeBytes, availableBytes },
    fix: 'Fetch or make the file again; it ended early.',
  });
}

/** A source over bytes in memory. @param what names it in errors. */
export function memorySource(bytes: Uint8Array, what = 'model file'): ByteSource {
  return {
    sizeBytes: bytes.length,
    async read(offset, sizeBytes) {
      checkRange(what, offset, sizeBytes, bytes.length);
      return bytes.subarray(offset, offset + sizeBytes);
    },
  };
}
