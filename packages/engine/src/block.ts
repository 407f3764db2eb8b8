import type { SlotVector } from '@sotto/he/scheme';
import { headDimOf, keyCountFactor, type LlamaConfig, ropeAngle } from '@sotto/model';
import type { LayerCalibration } from './calibration.js';
import type { KernelPolynomials } from './kernel-polynomials.js';
import { attentionSlot, type Layout, privatePlace, publicPlace } from './layout.js';
import { type LinearMap, linearMap, VectorBuilder } from './linear-map.js';
import type { SoftmaxPolynomials } from './polynomials.js';
import { kinds } from './weights.js';

/** One block of encrypted rows and what it may attend to; positions are public. */
export interface BlockPlace {
  /** Unique prefix for the names of its plaintexts. */
  readonly id: string;
  /** Position of the first row. */
  readonly start: number;
  /** Rows in use, 1..blockRows; the rows after the last repeat it. */
  readonly rows: number;
  readonly publicLength: number;
  /** Position of each encrypted key in order of its place, this block's own included. */
  readonly columns: readonly number[];
  /** Number of this block's first key. */
  readonly firstColumn: number;
}

const positionOf = (block: BlockPlace, row: number): number => block.start + Math.min(row, block.rows - 1);

/** Groups of the cache that hold a key, this block's own included. */
export function groupsInUse(l: Layout, block: BlockPlace): number {
  return Math.ceil((block.firstColumn + block.rows) / l.privateColumns);
}

/** Calls back with every encrypted key that a row sees. */
function eachPrivate(
  l: Layout,
  config: LlamaConfig,
  block: BlockPlace,
  see: (key: { group: number; column: number }, head: number, row: number) => void,
): void {
  for (let row = 0; row < l.blockRows; row++) {
    const position = positionOf(block, row);
    block.columns.forEach((key, n) => {
      if (key > position) return;
      for (let head = 0; head < config.headCount; head++) see(privatePlace(l, n), head, row);
    });
  }
}

/** Calls back with every slot of a page at which a row has the score of a key that it sees; private keys are on page 0. */
function eachScore(
  l: Layout,
  config: LlamaConfig,
  block: BlockPlace,
  page: number,
  see: (slot: number, head: number, row: number) => void,
): void {
  if (page === 0) {
    eachPrivate(l, config, block, ({ group, column }, head, row) => {
      see(attentionSlot(l, group, column, head, row), head, row);
    });
  }
  for (let n = 0; n < block.publicLength; n++) {
    const place = publicPlace(l, n);
    if (place.page !== page) continue;
    for (let row = 0; row < l.blockRows; row++) {
      for (let head = 0; head < config.headCount; head++)
        see(attentionSlot(l, place.pair, place.column, head, row), head, row);
    }
  }
}

/**
 * Half of one at pair 0 of the columns of a group's visible keys, or of their values in the upper half; exactly zero elsewhere: the
 * causal mask.
 */
export function causalMask(
  l: Layout,
  config: LlamaConfig,
  block: BlockPlace,
  group: number,
  half: 'keys' | 'values',
): SlotVector {
  const mask = new VectorBuilder(l.slots);
  const first = half === 'keys' ? 0 : l.columns / 2;
  eachPrivate(l, config, block, (key, head, row) => {
    if (key.group === group) mask.set(attentionSlot(l, 0, first + key.column, head, row), 0.5);
  });
  return mask.finish();
}

/** Half of one at the score of every visible key of a page. */
export function visibleMask(l: Layout, config: LlamaConfig, block: BlockPlace, page: number): SlotVector {
  const mask = new VectorBuilder(l.slots);
  eachScore(l, config, block, page, (slot) => mask.set(slot, 0.5));
  return mask.finish();
}

/** The constant part of the scaled scores: offset and position term where a key is visible, the bottom of the window elsewhere. */
export function scoreConstants(
  l: Layout,
  config: LlamaConfig,
  block: BlockPlace,
  page: number,
  calibration: LayerCalibration,
  p: SoftmaxPolynomials,
): SlotVector {
  const constants = new Float64Array(l.slots).fill(-1);
  eachScore(l, config, block, page, (slot, head, row) => {
    const logPosition = Math.log(positionOf(block, row) + 1);
    const shift = calibration.offset[head]! + calibration.slope[head]! * logPosition;
    constants[slot] = (-shift - p.scoreMiddle) / p.scoreHalf;
  });
  return { re: constants, im: null };
}

/**
 * The fourth root of what the kernel sums of a head are multiplied by in a row: of {@link keyCountFactor}, for it goes into the
 * base of a fourth power.
 */
const rootFactor = (position: number, power: number): number => keyCountFactor(position + 1, power) ** 0.25;

/** The constant part of the kernel's scaled base where a key of a page is visible, exactly zero elsewhere. */
export function kernelConstants(
  l: Layout,
  config: LlamaConfig,
  block: BlockPlace,
  page: number,
  powers: Float32Array,
  p: KernelPolynomials,
): SlotVector {
  const constants = new Float64Array(l.slots);
  eachScore(l, config, block, page, (slot, head, row) => {
    constants[slot] = rootFactor(positionOf(block, row), powers[head]!) / p.baseScale;
  });
  return { re: constants, im: null };
}

/** Half of one in even columns, half of -i in odd ones: twice the real part is then the real or the imaginary part. */
export function partsMask(l: Layout): SlotVector {
  const mask = new VectorBuilder(l.slots);
  const column = l.slots / l.columns;
  for (let slot = 0; slot < l.slots; slot++) {
    if (Math.floor(slot / column) % 2 === 0) mask.set(slot, 0.5);
    else mask.set(slot, 0, -0.5);
  }
  return mask.finish();
}

/** Selects kinds by their quarters of the columns. */
export function kindMask(l: Layout, selected: readonly number[]): SlotVector {
  return kindVector(l, selected, () => [1, 0]);
}

/**
 * The same for queries, each pair turned by the angle of its row's position (rotary embedding, arXiv 2104.09864).
 *
 * @param powers of kernel attention: then times the row's factor of the kernel's base.
 */
export function queryPhases(
  l: Layout,
  config: LlamaConfig,
  block: BlockPlace,
  powers?: Float32Array,
): SlotVector {
  return kindVector(l, [kinds.query], (pair, row, head) => {
    const position = positionOf(block, row);
    const [re, im] = phase(config, pair, position);
    const factor = powers === undefined ? 1 : rootFactor(position, powers[head] ?? 0);
    return [factor * re, factor * im];
  });
}

function phase(config: LlamaConfig, pair: number, position: number): readonly [number, number] {
  const headDim = headDimOf(config);
  if (2 * pair >= headDim) return [0, 0];
  const angle = ropeAngle(position, pair, headDim, config.ropeBase);
  return [Math.cos(angle), Math.sin(angle)];
}

function kindVector(
  l: Layout,
  selected: readonly number[],
  value: (pair: number, row: number, head: number) => readonly [number, number],
): SlotVector {
  const vector = new VectorBuilder(l.slots);
  const quarter = l.columns / 4;
  for (let pair = 0; pair < l.pairs; pair++) {
    for (let row = 0; row < l.blockRows; row++) {
      for (let head = 0; head < l.heads; head++) {
        const [re, im] = value(pair, row, head);
        for (let column = 0; column < l.columns; column++) {
          if (selected.includes(Math.floor(column / quarter)))
            vector.set(attentionSlot(l, pair, column, head, row), re, im);
        }
      }
    }
  }
  return vector.finish();
}

/** A map that moves some rows j of the block to row 0 of other places: diagonal j takes row j. */
function fromRows(
  name: string,
  l: Layout,
  rows: readonly number[],
  entry: (column: number, pair: number, j: number) => readonly [number, number] | null,
): LinearMap {
  const tau = l.blockRows;
  return linearMap(name, l.slots, rows, 2 ** Math.ceil(Math.log2(tau) / 2), (slot, j) => {
    if (slot % tau !== 0) return null;
    const feature = slot / tau;
    return entry(Math.floor(feature / (l.heads * l.pairs)), Math.floor(feature / l.heads) % l.pairs, j);
  });
}

/**
 * Moves the rows whose keys are of a group to row 0 of their columns; a sum over rows then fills the columns. Keys go to the lower
 * half of the columns, each pair turned back by the angle of its position on the way, and values to the upper half. Null when no
 * row of the block is of the group.
 */
export function spreadKeyValues(
  l: Layout,
  config: LlamaConfig,
  block: BlockPlace,
  group: number,
): LinearMap | null {
  const place = (j: number) => privatePlace(l, block.firstColumn + j);
  const rows = Array.from({ length: block.rows }, (_, j) => j).filter((j) => place(j).group === group);
  if (rows.length === 0) return null;
  return fromRows(`${block.id}/spread-key-values/${group}`, l, rows, (column, pair, j) => {
    if (column === l.columns / 2 + place(j).column) return [1, 0];
    if (column !== place(j).column) return null;
    const [re, im] = phase(config, pair, block.start + j);
    return [re, -im];
  });
}

/** Moves the norms of the rows to row 0 of where the scores of their keys stand; a sum over rows is still to be done. */
export function spreadNorms(l: Layout, block: BlockPlace): LinearMap {
  const rows = Array.from({ length: block.rows }, (_, j) => j);
  return fromRows(`${block.id}/spread-norms`, l, rows, (column, pair, j) => {
    const key = privatePlace(l, block.firstColumn + j);
    return column === key.column && pair === key.group ? [1, 0] : null;
  });
}
