/** Bytes under keys in memory that all engine threads see: what one session computed from public data, the next one finds. */

const LOCK = 0;
const HEAD = 1;
const USED = 2;
const HEADER_WORDS = 4;
/** Of an entry: length of key and of data, both padded to words. */
const ENTRY_WORDS = 2;

const padded = (sizeBytes: number) => 4 * Math.ceil(sizeBytes / 4);

/** Makes the memory of a store. */
export function makeSharedMemory(sizeBytes: number): SharedArrayBuffer {
  return new SharedArrayBuffer(4 * HEADER_WORDS + padded(sizeBytes));
}

/**
 * A bounded store in shared memory. Entries lie one after the other; a new one overwrites the oldest. Whoever reads an entry of the
 * older half brings it to the front, so what is in use stays.
 */
export class SharedStore {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #sizeBytes: number;

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory, 0, HEADER_WORDS);
    this.#bytes = new Uint8Array(memory, 4 * HEADER_WORDS);
    this.#sizeBytes = this.#bytes.length;
  }

  /** A copy of the bytes; null when they are not there. */
  get(key: string): Uint8Array | null {
    return this.#locked(() => {
      const found = this.#find(key);
      if (found === null) return null;
      const { data, age } = found;
      if (2 * age > this.#sizeBytes) this.#append(key, data);
      return data;
    });
  }

  /** Keeps the bytes unless they are there, or larger than half of the store. */
  put(key: string, data: Uint8Array): void {
    this.#locked(() => {
      if (this.#find(key) === null) this.#append(key, data);
    });
  }

  /** Newest entry of that name, and how many bytes ago it was written. */
  #find(key: string): { data: Uint8Array; age: number } | null {
    const wanted = new TextEncoder().encode(key);
    const used = this.#words[USED]!;
    let age = 0;
    // Lengths stand behind an entry, so that the store is read from its newest end.
    while (used - age >= 4 * ENTRY_WORDS) {
      const end = this.#words[HEAD]! - age;
      const [keyBytes, dataBytes] = new Uint32Array(
        this.#copy(end - 4 * ENTRY_WORDS, 4 * ENTRY_WORDS).buffer,
      );
      const sizeBytes = 4 * ENTRY_WORDS + padded(keyBytes!) + padded(dataBytes!);
      const start = end - sizeBytes;
      age += sizeBytes;
      if (age > used) return null;
      if (keyBytes !== wanted.length) continue;
      const name = this.#copy(start, keyBytes);
      if (!wanted.every((byte, i) => byte === name[i])) continue;
      return { data: this.#copy(start + padded(keyBytes), dataBytes!), age };
    }
    return null;
  }

  #append(key: string, data: Uint8Array): void {
    const name = new TextEncoder().encode(key);
    const sizeBytes = 4 * ENTRY_WORDS + padded(name.length) + padded(data.length);
    if (2 * sizeBytes > this.#sizeBytes) return;
    let at = this.#words[HEAD]!;
    const write = (bytes: Uint8Array) => {
      for (let i = 0; i < bytes.length; ) {
        const place = at % this.#sizeBytes;
        const part = bytes.subarray(i, i + this.#sizeBytes - place);
        this.#bytes.set(part, place);
        i += part.length;
        at += part.length;
      }
      at = padded(at);
    };
    write(name);
    write(data);
    write(new Uint8Array(Uint32Array.of(name.length, data.length).buffer));
    // The head stays below two rounds, so that it never overflows.
    this.#words[HEAD] = at >= 2 * this.#sizeBytes ? at - this.#sizeBytes : at;
    this.#words[USED] = Math.min(this.#sizeBytes, this.#words[USED]! + sizeBytes);
  }

  /** A copy of a stretch that may go around the end; `from` may be below zero. */
  #copy(from: number, sizeBytes: number): Uint8Array {
    const start = ((from % this.#sizeBytes) + this.#sizeBytes) % this.#sizeBytes;
    const out = new Uint8Array(sizeBytes);
    const first = this.#bytes.subarray(start, start + sizeBytes);
    out.set(first);
    out.set(this.#bytes.subarray(0, sizeBytes - first.length), first.length);
    return out;
  }

  #locked<T>(body: () => T): T {
    while (Atomics.compareExchange(this.#words, LOCK, 0, 1) !== 0) Atomics.wait(this.#words, LOCK, 1);
    try {
      return body();
    } finally {
      Atomics.store(this.#words, LOCK, 0);
      Atomics.notify(this.#words, LOCK, 1);
    }
  }
}
