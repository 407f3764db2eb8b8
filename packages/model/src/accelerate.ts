import { attentionWidthOf } from './config.js';
import type { LlamaLayer, LlamaModel } from './llama2c.js';
import { matmulModule } from './matmul-module.js';

/** Products of matrices with rows: the part of the clear model that takes time. */
export interface MatrixProducts {
  /**
   * w x for every row x: `outputs` numbers a row, sums in float32 (error near 2^-22 of the sum of magnitudes).
   *
   * @returns null for a matrix that is not in this memory.
   */
  multiply(w: Float32Array, rows: readonly Float64Array[], outputs: number): Float64Array[] | null;
}

const PAGE_BYTES = 65536;
const MAX_MEMORY_BYTES = 2 ** 32 - PAGE_BYTES;
/** The kernel's stack and constants lie below. */
const FIRST_BYTE = PAGE_BYTES;
/** Rows that one call takes. */
const BATCH_ROWS = 16;

type Matmul = (w: number, x: number, y: number, outputs: number, inputs: number, rows: number) => void;

/**
 * The same model with its weights in the memory of a WebAssembly kernel that multiplies four numbers at a time; the arrays of
 * the result are views of that memory, so the given model can be dropped. The model itself comes back where WebAssembly has no
 * such kernel or no such memory (4 GiB: a billion weights).
 *
 * The oracle that encrypted results are compared with stays the float64 one; this one is for long texts and large models.
 */
export function accelerate(model: LlamaModel): LlamaModel {
  const { config } = model;
  const tied = model.head === model.embedding;
  const matrices = [
    model.embedding,
    ...model.layers.flatMap((layer) => Object.values(layer) as Float32Array[]),
  ];
  if (!tied) matrices.push(model.head);
  const widest = Math.max(config.dim, config.hiddenDim, attentionWidthOf(config));
  const scratchBytes = 4 * BATCH_ROWS * (widest + Math.max(widest, config.vocabSize));
  const weightBytes = matrices.reduce((sum, { length }) => sum + 16 * Math.ceil(length / 4), 0);
  const neededBytes = FIRST_BYTE + scratchBytes + weightBytes + 16;
  if (neededBytes > MAX_MEMORY_BYTES) return model;
  const bytes = Uint8Array.from(atob(matmulModule), (character) => character.charCodeAt(0));
  const pages = Math.ceil(neededBytes / PAGE_BYTES);
  const memory = WebAssembly.validate(bytes) ? allocate(pages) : null;
  if (memory === null) return model;
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } });
  const matmul = instance.exports.matmul as Matmul;
  let at = FIRST_BYTE;
  const take = (length: number): Float32Array => {
    const view = new Float32Array(memory.buffer, at, length);
    at += 16 * Math.ceil(length / 4);
    return view;
  };
  const x = take(BATCH_ROWS * widest);
  const y = take(BATCH_ROWS * Math.max(widest, config.vocabSize));
  const place = (values: Float32Array): Float32Array => {
    const view = take(values.length);
    view.set(values);
    return view;
  };
  const products: MatrixProducts = {
    multiply(w, rows, outputs) {
      if (w.buffer !== memory.buffer) return null;
      const inputs = w.length / outputs;
      const results: Float64Array[] = [];
      for (let from = 0; from < rows.length; from += BATCH_ROWS) {
        const batch = rows.slice(from, from + BATCH_ROWS);
        batch.forEach((row, r) => {
          x.set(row, r * inputs);
        });
        matmul(w.byteOffset, x.byteOffset, y.byteOffset, outputs, inputs, batch.length);
        batch.forEach((_, r) => {
          results.push(Float64Array.from(y.subarray(r * outputs, (r + 1) * outputs)));
        });
      }
      return results;
    },
  };
  const embedding = place(model.embedding);
  const layers = model.layers.map(
    (layer) =>
      Object.fromEntries(
        Object.entries(layer).map(([name, values]) => [name, place(values as Float32Array)]),
      ) as unknown as LlamaLayer,
  );
  return { ...model, embedding, layers, head: tied ? embedding : place(model.head), products };
}

function allocate(pages: number): WebAssembly.Memory | null {
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages });
  } catch (error) {
    // How WebAssembly says that there is no room.
    if (error instanceof RangeError) return null;
    throw error;
  }
}
