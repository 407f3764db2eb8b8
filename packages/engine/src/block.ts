import type { SlotVector } from '@sotto/he/scheme';
import { headDimOf, type LlamaConfig, ropeAngle } from '@sotto/model';
import type { LayerCalibration } from './calibration.js';
import { attentionSlot, type Layout } from './layout.js';
import { type LinearMap, linearMap, VectorBuilder } from './linear-map.js';
import type { LayerPolynomials } from './polynomials.js';
import { publicSlot } from './public-context.js';
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
  /** Position of the key in each private column, this block's own included; null where none (or a dropped one) is. */
  readonly columns: readonly (number | null)[];
  /** First column of this block. */
  readonly firstColumn: number;
}

const positionOf = (block: BlockPlace, row: number): number => block.start + Math.min(row, block.rows - 1);

/** Calls back with every (slot, head, row) at which a key is visible. */
function eachVisible(
  l: Layout,
  config: LlamaConfig,
  block: BlockPlace,
  scope: 'private' | 'all',
  see: (slot: number, head: number, row: number) => void,
): void {
  for (let row = 0; row < l.blockRows; row++) {
    const position = positionOf(block, row);
    for (let head = 0; head < config.headCount; head++) {
      block.columns.forEach((key, column) => {
        if (key !== null && key <= position) see(attentionSlot(l, 0, column, head, row), head, row);
      });
      if (scope === 'private') continue;
      for (let n = 0; n < block.publicLength; n++) see(publicSlot(l, n, head, row), head, row);
    }
  }
}

/** Half of one at the visible private keys, exactly zero elsewhere: the causal mask. */
export function causalMask(l: Layout, config: LlamaConfig, block: BlockPlace): SlotVector {
  const mask = new VectorBuilder(l.slots);
  eachVisible(l, config, block, 'private', (slot) => mask.set(slot, 0.5));
  return mask.finish();
}

/** Half of one at every visible key. */
export function visibleMask(l: Layout, config: LlamaConfig, block: BlockPlace): SlotVector {
  const mask = new VectorBuilder(l.slots);
  eachVisible(l, config, block, 'all', (slot) => mask.set(slot, 0.5));
  return mask.finish();
}

/** The constant part of the scaled scores: offset and position term where a key is visible, the bottom of the window elsewhere. */
export function scoreConstants(
  l: Layout,
  config: LlamaConfig,
  block: BlockPlace,
  calibration: LayerCalibration,
  p: LayerPolynomials,
): SlotVector {
  const constants = new Float64Array(l.slots).fill(-1);
  eachVisible(l, config, block, 'all', (slot, head, row) => {
    const logPosition = Math.log(positionOf(block, row) + 1);
    const shift = calibration.offset[head]! + calibration.slope[head]! * logPosition;
    constants[slot] = (-shift - p.scoreMiddle) / p.scoreHalf;
  });
  return { re: constants, im: null };
}

/** Selects kinds by their quarters of the columns. */
export function kindMask(l: Layout, selected: readonly number[]): SlotVector {
  return kindVector(l, selected, () => [1, 0]);
}

/** The same for queries, each pair turned by the angle of its row's position (rotary embedding, arXiv 2104.09864). */
export function queryPhases(l: Layout, config: LlamaConfig, block: BlockPlace): SlotVector {
  return kindVector(l, [kinds.query], (pair, row) => phase(config, pair, positionOf(block, row)));
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
  value: (pair: number, row: number) => readonly [number, number],
): SlotVector {
  const vector = new VectorBuilder(l.slots);
  const quarter = l.columns / 4;
  for (let pair = 0; pair < l.pairs; pair++) {
    for (let row = 0; row < l.blockRows; row++) {
      const [re, im] = value(pair, row);
      for (let column = 0; column < l.columns; column++) {
        if (!selected.includes(Math.floor(column / quarter))) continue;
        for (let head = 0; head < l.heads; head++)
          vector.set(attentionSlot(l, pair, column, head, row), re, im);
      }
    }
  }
  return vector.finish();
}

/**
 * Moves row j of the block to row 0 of the block's column j; a sum over rows then fills the column. Keys go to the lower half of
 * the columns, each pair turned back by the angle of its position on the way, and values to the upper half; norms go to the keys'
 * columns.
 */
export function spread(
  l: Layout,
  config: LlamaConfig,
  block: BlockPlace,
  what: 'keyValue' | 'norm',
): LinearMap {
  const tau = l.blockRows;
  return linearMap(
    `${block.id}/spread-${what}`,
    l.slots,
    Array.from({ length: block.rows }, (_, j) => j),
    2 ** Math.ceil(Math.log2(tau) / 2),
    (slot, j) => {
      if (slot % tau !== 0) return null;
      const feature = slot / tau;
      const column = Math.floor(feature / (l.heads * l.pairs));
      const isKey = column === block.firstColumn + j;
      if (what === 'norm') return isKey ? [1, 0] : null;
      if (!isKey) return column === l.columns / 2 + block.firstColumn + j ? [1, 0] : null;
      const [re, im] = phase(config, Math.floor(feature / l.heads) % l.pairs, block.start + j);
      return [re, -im];
    },
  );
}
