import { SottoError } from '@sotto/base';
import { headDimOf, type LlamaConfig } from '@sotto/model';

export function nextPowerOfTwo(n: number): number {
  return 2 ** Math.ceil(Math.log2(n));
}

export interface LayoutOptions {
  /** Complex slots of a ciphertext. */
  readonly slots: number;
  /** Rows of a block (tokens processed in one pass), a power of two. */
  readonly blockRows: number;
  /** Encrypted positions that the KV cache can hold. */
  readonly privateTokens: number;
}

/**
 * Where things lie. A slot is (feature, row): slot = feature * tau + row with tau = blockRows, so that a rotation by a multiple of
 * tau moves features and leaves rows alone. Features are read in four ways:
 *
 * - residual stream: feature modulo `width`, repeated over the whole ring;
 * - attention: feature = (column * pairs + pair) * heads + head. The column is the highest digit: a sum over columns, or over all
 *   keys, wraps around the ring, needs no mask and arrives everywhere. Of an encrypted key all pairs are needed, so a ciphertext of
 *   the cache holds one a column: group g of `privateColumns` keys. Scores need one slot a key: those of group g stand at pair g of
 *   the columns below `privateColumns`; every other (column, pair) is a place for the score of one public key. Public keys beyond
 *   those go to further ciphertexts of scores, the *pages*, where every place is for a public key;
 * - kinds: while the query, key, shift and value of one product are together, column quarter 0, 1, 2, 3 holds them;
 * - cache: keys in the lower half of the columns, values in the upper half, so that both are spread by one map;
 * - feed-forward: a staircase of the inner features, see {@link innerOf}.
 */
export interface Layout {
  readonly slots: number;
  readonly blockRows: number;
  /** slots / blockRows. */
  readonly features: number;
  /** Residual features, padded to a power of two. */
  readonly width: number;
  /** Feed-forward features, padded. */
  readonly innerWidth: number;
  /** Heads, padded. */
  readonly heads: number;
  /** Complex pairs of a head, padded. */
  readonly pairs: number;
  readonly columns: number;
  /** Columns that hold encrypted keys. */
  readonly privateColumns: number;
  /** Ciphertexts of keys and values that a full cache has in every layer. */
  readonly privateGroups: number;
  /** Encrypted positions that the KV cache can hold. */
  readonly privateCapacity: number;
  /** Public keys that fit beside the private ones, on the first page. */
  readonly publicCapacity: number;
  /** Diagonals of the down projection. */
  readonly downDiagonals: number;
}

function refuse(what: string, facts: Record<string, number>): never {
  throw new SottoError(`The model does not fit the ciphertext: ${what}.`, {
    code: 'PLAN_LAYOUT_IMPOSSIBLE',
    facts,
    fix: 'Use a larger ring, fewer rows a block, or a smaller model.',
  });
}

/** @throws SottoError `PLAN_LAYOUT_IMPOSSIBLE`. */
export function makeLayout(config: LlamaConfig, options: LayoutOptions): Layout {
  const { slots, blockRows, privateTokens } = options;
  for (const n of [slots, blockRows]) {
    if (!Number.isInteger(Math.log2(n))) refuse('slots and rows must be powers of two', { slots, blockRows });
  }
  const features = slots / blockRows;
  const width = nextPowerOfTwo(config.dim);
  const innerWidth = Math.max(width, nextPowerOfTwo(config.hiddenDim));
  const heads = nextPowerOfTwo(config.headCount);
  const pairs = nextPowerOfTwo(headDimOf(config) / 2);
  const columns = features / (heads * pairs);
  if (innerWidth > features) refuse('the feed-forward block is too wide', { innerWidth, features });
  if (columns < 4) refuse('there is no room for queries, keys and values', { columns, needed: 4 });
  if (!Number.isInteger(privateTokens) || privateTokens < blockRows) {
    refuse('the cache must hold at least one block', { privateTokens, blockRows });
  }
  const privateColumns = Math.min(privateTokens, columns / 2);
  const privateGroups = Math.ceil(privateTokens / privateColumns);
  if (privateGroups > pairs)
    refuse('the cache wants more than half of the key places', {
      privateTokens,
      room: privateColumns * pairs,
    });
  return {
    slots,
    blockRows,
    features,
    width,
    innerWidth,
    heads,
    pairs,
    columns,
    privateColumns,
    privateGroups,
    privateCapacity: privateTokens,
    publicCapacity: columns * pairs - privateColumns * privateGroups,
    downDiagonals: Math.max(1, (width * innerWidth) / features),
  };
}

/** Slot of (pair, column, head, row). */
export function attentionSlot(l: Layout, pair: number, column: number, head: number, row: number): number {
  return ((column * l.pairs + pair) * l.heads + head) * l.blockRows + row;
}

/** Rotations that move by one pair, by one column, by one quarter of the columns. */
export function pairStride(l: Layout): number {
  return l.heads * l.blockRows;
}
export function columnStride(l: Layout): number {
  return l.pairs * pairStride(l);
}
export function quarterStride(l: Layout): number {
  return l.slots / 4;
}

/** Column, and group or pair index, of encrypted key number n. */
export function privatePlace(l: Layout, n: number): { group: number; column: number } {
  return { group: Math.floor(n / l.privateColumns), column: n % l.privateColumns };
}

/** Page, column and pair index of public key number n: free columns first, then what private keys leave free in theirs. */
export function publicPlace(l: Layout, n: number): { page: number; pair: number; column: number } {
  const places = l.columns * l.pairs;
  if (n >= l.publicCapacity) {
    const place = (n - l.publicCapacity) % places;
    const page = 1 + Math.floor((n - l.publicCapacity) / places);
    return { page, pair: place % l.pairs, column: Math.floor(place / l.pairs) };
  }
  const free = (l.columns - l.privateColumns) * l.pairs;
  if (n < free) return { page: 0, pair: n % l.pairs, column: l.privateColumns + Math.floor(n / l.pairs) };
  const left = l.pairs - l.privateGroups;
  const pair = l.privateGroups + ((n - free) % left);
  return { page: 0, pair, column: Math.floor((n - free) / left) };
}

/** Pages of scores that so many public keys need. */
export function publicPages(l: Layout, length: number): number {
  return 1 + Math.max(0, Math.ceil((length - l.publicCapacity) / (l.columns * l.pairs)));
}

/**
 * Inner feature at a feature position. Consecutive blocks of `width` are shifted by `downDiagonals`, so that the down projection
 * reaches every (output, inner) pair with that many rotations, and a sum over the blocks completes it.
 */
export function innerOf(l: Layout, feature: number): number {
  const block = Math.floor(feature / l.width);
  return ((feature % l.width) + l.downDiagonals * block) % l.innerWidth;
}
