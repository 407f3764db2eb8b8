import { SottoError } from '@sotto/base';
import type { Evaluator } from '@sotto/he/scheme';

/** Encrypted keys and values of one layer, broadcast over the rows. Zero where no position is. */
export interface CacheLayer<C> {
  /**
   * Group by group: conjugate keys, turned by their position, one a column of the lower half, value pairs in the upper half; not
   * yet times the row norm.
   */
  readonly keyValues: readonly C[];
  /** Scaled row norms, where the scores of the keys stand. */
  readonly norm: C;
}

/** The encrypted KV cache of one conversation: all private positions so far. */
export class EncryptedKvCache<C> {
  readonly #ev: Evaluator<C>;
  readonly #capacity: number;
  #layers: (CacheLayer<C> | null)[];
  #columns: (number | null)[] = [];

  constructor(ev: Evaluator<C>, layerCount: number, capacity: number) {
    this.#ev = ev;
    this.#capacity = capacity;
    this.#layers = Array.from({ length: layerCount }, () => null);
  }

  /** Position of each encrypted key in order of its place; null for a dropped one. */
  get columns(): readonly (number | null)[] {
    return this.#columns;
  }

  /** Places still free. */
  get remaining(): number {
    return this.#capacity - this.#columns.length;
  }

  /** Positions that later rows can see. */
  get length(): number {
    return this.#columns.filter((position) => position !== null).length;
  }

  layer(index: number): CacheLayer<C> | null {
    return this.#layers[index]!;
  }

  /** Takes over the layers of a finished block (old contents included) and its columns. */
  commit(layers: readonly CacheLayer<C>[], positions: readonly number[]): void {
    this.#release();
    this.#layers = [...layers];
    this.#columns.push(...positions);
  }

  /**
   * Forgets the last `count` positions, e.g. drafted tokens that were not accepted. Their places stay occupied.
   *
   * @throws SottoError `KV_CACHE_UNDERFLOW`.
   */
  drop(count: number): void {
    if (!Number.isInteger(count) || count < 0 || count > this.length) {
      throw new SottoError('There are fewer positions in the cache than are to be dropped.', {
        code: 'KV_CACHE_UNDERFLOW',
        facts: { count, length: this.length },
        fix: 'Drop at most what was appended.',
      });
    }
    for (let column = this.#columns.length - 1; count > 0; column--) {
      if (this.#columns[column] === null) continue;
      this.#columns[column] = null;
      count--;
    }
  }

  dispose(): void {
    this.#release();
    this.#columns = [];
  }

  #release(): void {
    for (const layer of this.#layers) {
      if (layer === null) continue;
      for (const part of [...layer.keyValues, layer.norm]) this.#ev.release(part);
    }
    this.#layers = this.#layers.map(() => null);
  }
}
