import { SottoError } from '@sotto/base';
import {
  attentionKindOf,
  attentionWidthOf,
  checkConfig,
  headDimOf,
  kvDimOf,
  type LlamaConfig,
} from './config.js';
import type { LlamaLayer, LlamaModel, StockTensor } from './llama2c.js';
import { readFinite, shownName, type TensorStore } from './tensor-store.js';

/** What a checkpoint calls its tensors. */
export interface TensorNames {
  readonly embedding: string;
  readonly finalNorm: string;
  readonly head: string;
  layer(index: number): LayerNames;
}

/** The names of the tensors of a layer; those of special kinds where the format has a place for them. */
export type LayerNames = Record<StockTensor, string> & Partial<Record<keyof LlamaLayer, string>>;

/** What the names of a layer are to be for these shapes. */
function nameOf(names: LayerNames, key: keyof LlamaLayer): string {
  return names[key] ?? notLlama('the format has no place for a tensor', { tensor: key });
}

/** What a model of another architecture is refused with. */
export function notLlama(reason: string, facts: Record<string, string | number> = {}): never {
  throw new SottoError(`The model is no plain Llama: ${reason}.`, {
    code: 'MODEL_NOT_LLAMA',
    facts,
    fix: 'Use a Llama model with RMS norms, rotary positions without scaling, grouped-query attention, SwiGLU and no biases.',
  });
}

/** Shapes of the tensors of a layer, [outputs, inputs]. */
export function layerShapes(c: LlamaConfig): Partial<Record<keyof LlamaLayer, readonly number[]>> {
  const kvDim = kvDimOf(c);
  const width = attentionWidthOf(c);
  return {
    attentionNorm: [c.dim],
    wq: [width, c.dim],
    wk: [kvDim, c.dim],
    wv: [kvDim, c.dim],
    wo: [c.dim, width],
    feedForwardNorm: [c.dim],
    w1: [c.hiddenDim, c.dim],
    w2: [c.dim, c.hiddenDim],
    w3: [c.hiddenDim, c.dim],
    ...(attentionKindOf(c) === 'kernel4-rms' ? { keyCountPower: [c.headCount] } : {}),
  };
}

/**
 * Puts a model together from the tensors of a checkpoint. A tensor that a plain Llama has no place for (a bias, another norm)
 * is refused, because to leave it out would give another model.
 *
 * @param options.halfSplitPairs the rotary pairs are features i and i + headDim/2, as in the usual folders; the rows of the
 * query and key matrices are put into the order in which pairs are neighbours.
 * @param options.ignore tensors that carry no weights of their own.
 * @throws SottoError `MODEL_NOT_LLAMA`, `MODEL_CONFIG_INVALID`, `MODEL_TENSOR_MISSING`, `MODEL_TENSOR_SHAPE`,
 * `MODEL_WEIGHTS_NOT_FINITE` and the errors of the store.
 */
export async function assembleLlama(
  store: TensorStore,
  config: LlamaConfig,
  names: TensorNames,
  digest: string,
  options: { readonly halfSplitPairs: boolean; readonly ignore?: RegExp },
): Promise<LlamaModel> {
  checkConfig(config);
  const shapes = layerShapes(config);
  const keys = Object.keys(shapes) as (keyof LlamaLayer)[];
  const layerNames = Array.from({ length: config.layerCount }, (_, l) => names.layer(l));
  const known = new Set([names.embedding, names.finalNorm, names.head]);
  for (const layer of layerNames) for (const key of keys) known.add(nameOf(layer, key));
  for (const name of store.shapes.keys()) {
    if (!known.has(name) && !options.ignore?.test(name))
      notLlama('it has a tensor without a place', { tensor: shownName(name) });
  }
  const headDim = headDimOf(config);
  const embedding = await readFinite(store, names.embedding, [config.vocabSize, config.dim]);
  const layers: LlamaLayer[] = [];
  for (const layer of layerNames) {
    const tensors = {} as Record<StockTensor, Float32Array> & { keyCountPower?: Float32Array };
    for (const key of keys) {
      const values = await readFinite(store, nameOf(layer, key), shapes[key]!);
      const paired = options.halfSplitPairs && (key === 'wq' || key === 'wk');
      tensors[key] = paired ? pairRows(values, config.dim, headDim) : values;
    }
    layers.push(tensors);
  }
  const finalNorm = await readFinite(store, names.finalNorm, [config.dim]);
  const head = config.tied ? embedding : await readFinite(store, names.head, [config.vocabSize, config.dim]);
  return { config, embedding, layers, finalNorm, head, digest };
}

/** Rows i and i + headDim/2 of every head become rows 2i and 2i + 1. */
export function pairRows(matrix: Float32Array, columns: number, headDim: number): Float32Array {
  return reorderRows(matrix, columns, headDim, (row) => (row >> 1) + (row & 1) * (headDim / 2));
}

/** The inverse of {@link pairRows}. */
export function unpairRows(matrix: Float32Array, columns: number, headDim: number): Float32Array {
  const half = headDim / 2;
  return reorderRows(matrix, columns, headDim, (row) => (row < half ? 2 * row : 2 * (row - half) + 1));
}

function reorderRows(
  matrix: Float32Array,
  columns: number,
  headDim: number,
  sourceOf: (row: number) => number,
): Float32Array {
  const out = new Float32Array(matrix.length);
  const rows = matrix.length / columns;
  for (let at = 0; at < rows; at += headDim) {
    for (let row = 0; row < headDim; row++) {
      const from = (at + sourceOf(row)) * columns;
      out.set(matrix.subarray(from, from + columns), (at + row) * columns);
    }
  }
  return out;
}
