import { SottoError } from '@sotto/base';
import type { Ptr } from '../backend.js';
import { addressError, checkRowCount, freeError } from './row-memory.js';

/** Above every address of a 32-bit machine. */
const BASE: Ptr = 2 ** 40;
/** Each allocation has a range of addresses of its own. */
const RANGE_BYTES = 2 ** 32;

/**
 * Cold memory of a machine that cannot address it: one typed array for each allocation, whose memory goes back to the system when
 * it is freed. Kernels read copies.
 */
export class ColdMemory {
  readonly #rowBytes: number;
  readonly #arrays: (Uint32Array | null)[] = [];
  readonly #free: number[] = [];

  constructor(rowBytes: number) {
    this.#rowBytes = rowBytes;
  }

  /** Whether an address lies in the range of cold memory, allocated or not. */
  holds(at: Ptr): boolean {
    return at >= BASE;
  }

  /** @throws HE_OUT_OF_MEMORY */
  alloc(rows: number): Ptr {
    checkRowCount(rows);
    const sizeBytes = rows * this.#rowBytes;
    const words = sizeBytes <= RANGE_BYTES ? arrayOf(sizeBytes / 4) : null;
    if (words === null) {
      throw new SottoError('There is no memory for this many rows.', {
        code: 'HE_OUT_OF_MEMORY',
        facts: { neededBytes: sizeBytes, limitBytes: RANGE_BYTES },
        fix: 'Use the native backend, a smaller parameter set, or more memory.',
      });
    }
    const index = this.#free.pop() ?? this.#arrays.length;
    this.#arrays[index] = words;
    return BASE + index * RANGE_BYTES;
  }

  /** @returns the number of rows. */
  free(at: Ptr): number {
    const index = (at - BASE) / RANGE_BYTES;
    const words = this.#arrays[index];
    if (!words) freeError();
    this.#arrays[index] = null;
    this.#free.push(index);
    return (4 * words.length) / this.#rowBytes;
  }

  /** Fails unless `rows` rows from `at`, at a row boundary, are one live allocation. */
  checkAny(at: Ptr, rows: number): void {
    if (at % this.#rowBytes !== 0) addressError(rows, this.#rowBytes);
    this.checkBytes(at, rows * this.#rowBytes);
  }

  /** As {@link checkAny} for any word-aligned run of bytes. */
  checkBytes(at: Ptr, sizeBytes: number): void {
    const offset = (at - BASE) % RANGE_BYTES;
    const words = this.#arrays[Math.floor((at - BASE) / RANGE_BYTES)];
    if (offset % 4 !== 0 || !(4 * (words?.length ?? 0) >= offset + sizeBytes)) {
      addressError(Math.ceil(sizeBytes / this.#rowBytes), this.#rowBytes);
    }
  }

  /** `count` words at a checked address. */
  view(at: Ptr, count: number): Uint32Array {
    const start = ((at - BASE) % RANGE_BYTES) / 4;
    return this.#arrays[Math.floor((at - BASE) / RANGE_BYTES)]!.subarray(start, start + count);
  }

  dispose(): void {
    this.#arrays.length = 0;
    this.#free.length = 0;
  }
}

function arrayOf(words: number): Uint32Array | null {
  try {
    return new Uint32Array(words);
  } catch {
    return null;
  }
}
