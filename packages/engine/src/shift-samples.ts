import type { LlamaTrace } from '@sotto/model';
import { logSumExp } from './row-ranges.js';
import { type ShiftSamples, shiftFeatures } from './row-shift.js';

/** Memory for the rows of all layers. */
const BUDGET_BYTES = 768 * 2 ** 20;
/** Rows of a fit unless more are asked for. */
export const DEFAULT_SHIFT_ROWS = 24_000;

interface LayerSamples extends ShiftSamples {
  rows: Float32Array[];
  targets: number[][];
}

/**
 * Rows for {@link fitRowShift} from a stream of texts, in bounded memory: when there are too many, every second one is dropped and
 * from then on only every second one is taken.
 */
export class ShiftCollector {
  readonly layers: LayerSamples[];
  readonly #capacity: number;
  #stride = 1;
  #seen = 0;

  /**
   * @param share part of the memory and of the rows that may be used.
   * @param mostRows largest number of rows, of all shares together.
   */
  constructor(
    dim: number,
    layerCount: number,
    headCount: number,
    share: number,
    mostRows = DEFAULT_SHIFT_ROWS,
  ) {
    const fits = BUDGET_BYTES / (4 * layerCount * (dim + 2 + headCount * 2));
    this.#capacity = Math.floor(Math.min(mostRows, fits) * share);
    this.layers = Array.from({ length: layerCount }, () => ({
      rows: [],
      targets: Array.from({ length: headCount }, () => []),
    }));
  }

  get rows(): number {
    return this.layers[0]!.rows.length;
  }

  /** A hook for one text; rows before `from` are left out. Call {@link endText} after it. */
  observe(from: number): LlamaTrace {
    const first = this.#seen;
    return (name, layer, position, values, head) => {
      if (position < from || layer === this.layers.length) return;
      if (name !== 'normalised' && name !== 'scores') return;
      const number = first + position - from;
      this.#seen = Math.max(this.#seen, number + 1);
      if (number % this.#stride !== 0) return;
      const samples = this.layers[layer]!;
      if (name === 'normalised') samples.rows.push(shiftFeatures(values, position));
      else samples.targets[head]!.push(logSumExp(values, 0.5));
    };
  }

  endText(): void {
    while (this.rows > this.#capacity) {
      this.#stride *= 2;
      for (const layer of this.layers) {
        layer.rows = layer.rows.filter((_, i) => i % 2 === 0);
        layer.targets = layer.targets.map((target) => target.filter((_, i) => i % 2 === 0));
      }
    }
  }
}
