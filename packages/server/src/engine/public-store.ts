import type { PublicStore } from './port.js';

/**
 * Bytes under keys, which all engines of a server share: what one computed from public data, the next one finds. Holds at most a
 * given number of bytes; what was not asked for the longest goes first.
 */
export class PublicMemory implements PublicStore {
  /** In the order of their last use. */
  readonly #entries = new Map<string, Uint8Array>();
  readonly #mostBytes: number;
  #sizeBytes = 0;

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  async get(key: string): Promise<Uint8Array | null> {
    const bytes = this.#entries.get(key);
    if (bytes === undefined) return null;
    this.#entries.delete(key);
    this.#entries.set(key, bytes);
    return bytes;
  }

  /** Keeps the bytes unless they are there, or larger than half of the room. */
  put(key: string, bytes: Uint8Array): void {
    if (this.#entries.has(key) || 2 * bytes.length > this.#mostBytes) return;
    this.#entries.set(key, bytes);
    this.#sizeBytes += bytes.length;
    for (const [oldest, { length }] of this.#entries) {
      if (this.#sizeBytes <= this.#mostBytes) return;
      this.#entries.delete(oldest);
      this.#sizeBytes -= length;
    }
  }
}
