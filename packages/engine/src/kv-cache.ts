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

/** Row norms, keys and values of a block, row by row: not yet at their places. */
export interface BlockRows<C> {
  readonly row: C;
  readonly routed: C;
}

/** One layer with what is needed to drop rows of the last block again. */
export interface CachedLayer<C> extends CacheLayer<C> {
  /** The last block's rows, and the layer before it; null when that was the first. */
  readonly last: (BlockRows<C> & { readonly before: CacheLayer<C> | null }) | null;
}

export const layerParts = <C>({ keyValues, norm }: CacheLayer<C>): C[] => [...keyValues, norm];

/** Every ciphertext of a layer. */
export function partsOf<C>(layer: CachedLayer<C>): C[] {
  const { last } = layer;
  if (last === null) return layerParts(layer);
  const before = last.before === null ? [] : layerParts(last.before);
  return [...layerParts(layer), ...before, last.row, last.routed];
}

/** What the next block finds of one layer. */
export interface PastLayer<C> {
  readonly past: CacheLayer<C> | null;
  /** Rows of the last block, of which those that stay are not yet in `past`; null when all of it is, or all was dropped. */
  readonly rows: BlockRows<C> | null;
}

/** The last block: its first position, its rows, and the number of its first key. */
export interface LastBlock {
  readonly start: number;
  readonly rows: number;
  readonly firstColumn: number;
}

/** Which positions a cache holds. */
export interface CachePlace {
  readonly columns: readonly number[];
  readonly last: LastBlock | null;
}

/** The encrypted KV cache of one conversation: all private positions so far. */
export class EncryptedKvCache<C> {
  readonly #ev: Evaluator<C>;
  readonly #capacity: number;
  #layers: (CachedLayer<C> | null)[];
  #columns: number[] = [];
  #last: LastBlock | null = null;
  #dropped = 0;

  constructor(ev: Evaluator<C>, layerCount: number, capacity: number) {
    this.#ev = ev;
    this.#capacity = capacity;
    this.#layers = Array.from({ length: layerCount }, () => null);
  }

  /** Position of each encrypted key in order of its place. */
  get columns(): readonly number[] {
    return this.#columns;
  }

  /** Places still free. */
  get remaining(): number {
    return this.#capacity - this.#columns.length;
  }

  /** Positions that later rows can see. */
  get length(): number {
    return this.#columns.length;
  }

  /** Rows that {@link drop} can still take away. */
  get droppable(): number {
    const keepsRows = this.#layers.some((layer) => layer !== null && layer.last !== null);
    return this.#last === null || !keepsRows ? 0 : this.#last.rows - this.#dropped;
  }

  /** The block whose first rows stay although later ones were dropped; null when it stays as it is. */
  get kept(): LastBlock | null {
    if (this.#last === null || this.#dropped === 0) return null;
    return { ...this.#last, rows: this.#last.rows - this.#dropped };
  }

  layer(index: number): PastLayer<C> {
    const layer = this.#layers[index] ?? null;
    if (layer === null || this.#dropped === 0) return { past: layer, rows: null };
    const last = layer.last!;
    return { past: last.before, rows: this.#dropped < this.#last!.rows ? last : null };
  }

  /** Every ciphertext of the cache. */
  parts(): Set<C> {
    return new Set(this.#layers.flatMap((layer) => (layer === null ? [] : partsOf(layer))));
  }

  /** Takes over the layers after a block (old contents included) and the block's positions; frees what is not among them. */
  commit(layers: readonly CachedLayer<C>[], block: LastBlock): void {
    const kept = new Set(layers.flatMap(partsOf));
    this.#release(kept);
    this.#layers = [...layers];
    for (let row = 0; row < block.rows; row++) this.#columns.push(block.start + row);
    this.#last = block;
    this.#dropped = 0;
  }

  /** What {@link restore} needs besides the layers. */
  get place(): CachePlace {
    return { columns: this.#columns, last: this.#last };
  }

  /** Takes over what another cache held after a block. */
  restore(layers: readonly CachedLayer<C>[], { columns, last }: CachePlace): void {
    this.dispose();
    this.#layers = [...layers];
    this.#columns = [...columns];
    this.#last = last;
  }

  /**
   * Forgets the last `count` rows of the last block, e.g. drafted tokens that were not accepted; their places are free again.
   *
   * @throws SottoError `KV_CACHE_UNDERFLOW` when the last block has fewer rows, or had only one.
   */
  drop(count: number): void {
    if (count === 0) return;
    if (!Number.isInteger(count) || count < 0 || count > this.droppable) {
      throw new SottoError('There are fewer positions in the last block than are to be dropped.', {
        code: 'KV_CACHE_UNDERFLOW',
        facts: { count, droppable: this.droppable },
        fix: 'Drop at most what the last block appended.',
      });
    }
    this.#dropped += count;
    this.#columns.length -= count;
  }

  dispose(): void {
    this.#release(new Set());
    this.#columns = [];
    this.#last = null;
    this.#dropped = 0;
  }

  #release(except: ReadonlySet<C>): void {
    for (const part of this.parts()) if (!except.has(part)) this.#ev.release(part);
    this.#layers = this.#layers.map(() => null);
  }
}
