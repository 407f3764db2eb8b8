/** Where a ledger keeps its bytes. */
export interface LedgerStorage {
  read(): Uint8Array;
  /** Returns when the bytes are durable; may throw having written any part of them. */
  append(bytes: Uint8Array): void;
  truncate(sizeBytes: number): void;
  close(): void;
}

/** A ledger in memory, for tests and for callers that keep the bytes elsewhere. */
export class MemoryStorage implements LedgerStorage {
  bytes: Uint8Array;

  constructor(bytes: Uint8Array = new Uint8Array(0)) {
    this.bytes = bytes;
  }

  read(): Uint8Array {
    return this.bytes;
  }

  append(bytes: Uint8Array): void {
    const grown = new Uint8Array(this.bytes.length + bytes.length);
    grown.set(this.bytes);
    grown.set(bytes, this.bytes.length);
    this.bytes = grown;
  }

  truncate(sizeBytes: number): void {
    this.bytes = this.bytes.slice(0, sizeBytes);
  }

  close(): void {}
}
