import { SottoError } from '@sotto/base';
import type { MemoryUse, Ptr } from '../backend.js';

export function checkRowCount(rows: number): void {
  if (Number.isSafeInteger(rows) && rows >= 1) return;
  throw new SottoError('An allocation needs a positive number of rows.', {
    code: 'HE_RING_ARGUMENT',
    facts: { rows },
  });
}

export function addressError(rows: number, rowBytes: number): never {
  throw new SottoError(
    'A kernel was given an address outside every live allocation, too short a one, or cold memory.',
    {
      code: 'HE_RING_ADDRESS',
      facts: { rows, rowBytes },
      fix: 'Pass polynomials of this ring that have not been freed and hold all rows of the basis; cold memory only as a second factor or a key.',
    },
  );
}

export function freeError(): never {
  throw new SottoError('This address was not allocated here or is already free.', {
    code: 'HE_RING_ADDRESS',
    fix: 'Free each polynomial once, with the ring that made it.',
  });
}

interface FreeRange {
  row: number;
  rows: number;
}

export interface RowMemoryOptions {
  /** Address of row 0; not 0, so that 0 is never a valid address. */
  base: Ptr;
  rowBytes: number;
  /** Largest number of rows this memory can hold. */
  limitRows: number;
  /** Makes rows [0, rows) usable; returns false when the machine refuses. */
  commit(rows: number): boolean;
}

/** `work` for any kernel; `cold` for second factors and keys only; `table` for the backend's own data, which nothing counts. */
export type RowUse = 'work' | 'cold' | 'table';

/**
 * Allocator of runs of rows inside one address range. Best fit over an address-ordered free list with merging of
 * neighbours, so a steady state of equal sizes reuses the same memory. It knows every live run, so that each kernel call
 * can check its addresses in constant time.
 */
export class RowMemory {
  readonly #options: RowMemoryOptions;
  readonly #free: FreeRange[] = [];
  /** For each row: how many rows of its run start here, itself included, negative in cold memory; 0 when the row is free. */
  #left = new Int32Array(64);
  /** Row of a run start -> rows. */
  readonly #runs = new Map<number, number>();
  readonly #uncounted = new Set<number>();
  #end = 0;
  #liveRows = 0;
  #peakRows = 0;

  constructor(options: RowMemoryOptions) {
    this.#options = options;
  }

  /** @throws HE_OUT_OF_MEMORY */
  alloc(rows: number, use: RowUse = 'work'): Ptr {
    checkRowCount(rows);
    const row = this.#take(rows);
    this.#runs.set(row, rows);
    for (let i = 0; i < rows; i++) this.#left[row + i] = use === 'cold' ? i - rows : rows - i;
    if (use === 'table') this.#uncounted.add(row);
    else this.count(rows);
    return this.#options.base + row * this.#options.rowBytes;
  }

  /** Adds rows that live elsewhere to {@link use}, or takes them out when negative. */
  count(rows: number): void {
    this.#liveRows += rows;
    this.#peakRows = Math.max(this.#peakRows, this.#liveRows);
  }

  /** @returns the rows that were given back, and whether they were cold. */
  free(at: Ptr): { rows: number; cold: boolean } {
    const row = (at - this.#options.base) / this.#options.rowBytes;
    const rows = this.#runs.get(row);
    if (rows === undefined) freeError();
    const cold = this.#left[row]! < 0;
    this.#runs.delete(row);
    this.#left.fill(0, row, row + rows);
    if (!this.#uncounted.delete(row)) this.count(-rows);
    this.#give(row, rows);
    return { rows, cold };
  }

  /** Fails unless `rows` rows from `at`, at a row boundary, are one live allocation for work. */
  check(at: Ptr, rows: number): void {
    const row = (at - this.#options.base) / this.#options.rowBytes;
    if (!(this.#left[row]! >= rows)) addressError(rows, this.#options.rowBytes);
  }

  /** As {@link check}, for work or cold. */
  checkAny(at: Ptr, rows: number): void {
    const row = (at - this.#options.base) / this.#options.rowBytes;
    if (!(Math.abs(this.#left[row]!) >= rows)) addressError(rows, this.#options.rowBytes);
  }

  /** As {@link checkAny} for any word-aligned run of bytes. */
  checkBytes(at: Ptr, sizeBytes: number): void {
    const offset = at - this.#options.base;
    const row = Math.floor(offset / this.#options.rowBytes);
    const inRow = offset - row * this.#options.rowBytes;
    if (offset % 4 !== 0 || !(Math.abs(this.#left[row]!) * this.#options.rowBytes >= inRow + sizeBytes)) {
      addressError(Math.ceil(sizeBytes / this.#options.rowBytes), this.#options.rowBytes);
    }
  }

  use(): MemoryUse {
    const { rowBytes } = this.#options;
    return { liveBytes: this.#liveRows * rowBytes, peakBytes: this.#peakRows * rowBytes };
  }

  #take(rows: number): number {
    let best = -1;
    for (let i = 0; i < this.#free.length; i++) {
      const { rows: have } = this.#free[i]!;
      if (have === rows) {
        best = i;
        break;
      }
      if (have > rows && (best < 0 || have < this.#free[best]!.rows)) best = i;
    }
    if (best >= 0) {
      const range = this.#free[best]!;
      const row = range.row;
      range.row += rows;
      range.rows -= rows;
      if (range.rows === 0) this.#free.splice(best, 1);
      return row;
    }
    const last = this.#free.at(-1);
    const start = last !== undefined && last.row + last.rows === this.#end ? last.row : this.#end;
    const end = start + rows;
    if (end > this.#options.limitRows || !this.#options.commit(end)) {
      throw new SottoError('The memory of the polynomial ring is exhausted.', {
        code: 'HE_OUT_OF_MEMORY',
        facts: {
          neededBytes: rows * this.#options.rowBytes,
          liveBytes: this.#liveRows * this.#options.rowBytes,
          limitBytes: this.#options.limitRows * this.#options.rowBytes,
        },
        fix: 'Use the native backend (WebAssembly stops at 4 GiB), a smaller parameter set, or more memory.',
      });
    }
    if (start !== this.#end) this.#free.pop();
    this.#end = end;
    if (end > this.#left.length) {
      const grown = new Int32Array(Math.max(end, 2 * this.#left.length));
      grown.set(this.#left);
      this.#left = grown;
    }
    return start;
  }

  #give(row: number, rows: number): void {
    let low = 0;
    let high = this.#free.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#free[middle]!.row < row) low = middle + 1;
      else high = middle;
    }
    const before = low > 0 ? this.#free[low - 1] : undefined;
    const after = this.#free[low];
    const joinsBefore = before !== undefined && before.row + before.rows === row;
    const joinsAfter = after !== undefined && row + rows === after.row;
    if (joinsBefore && joinsAfter) {
      before.rows += rows + after.rows;
      this.#free.splice(low, 1);
    } else if (joinsBefore) before.rows += rows;
    else if (joinsAfter) {
      after.row = row;
      after.rows += rows;
    } else this.#free.splice(low, 0, { row, rows });
  }
}
