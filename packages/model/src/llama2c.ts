import { ByteReader, ByteWriter, SottoError, sha256, toHex } from '@sotto/base';
import type { MatrixProducts } from './accelerate.js';
import {
  attentionWidthOf,
  checkConfig,
  headDimOf,
  isPlainLlama,
  kvDimOf,
  type LlamaConfig,
} from './config.js';

/** Matrices are row-major, one row an output feature: y[i] = sum_j w[i * in + j] * x[j]. */
export interface LlamaLayer {
  readonly attentionNorm: Float32Array;
  readonly wq: Float32Array;
  readonly wk: Float32Array;
  readonly wv: Float32Array;
  readonly wo: Float32Array;
  readonly feedForwardNorm: Float32Array;
  /** Gate. */
  readonly w1: Float32Array;
  /** Down. */
  readonly w2: Float32Array;
  /** Up. */
  readonly w3: Float32Array;
  /** Of each head, with `kernel4-rms` attention only: its sums over n keys are divided by n to this power. */
  readonly keyCountPower?: Float32Array;
}

/** The tensors that a layer of any kind has. */
export type StockTensor = Exclude<keyof LlamaLayer, 'keyCountPower'>;

export interface LlamaModel {
  readonly config: LlamaConfig;
  readonly embedding: Float32Array;
  readonly layers: readonly LlamaLayer[];
  readonly finalNorm: Float32Array;
  /** Output head, vocabSize x dim; the embedding itself when tied. */
  readonly head: Float32Array;
  /** SHA-256 of the model file, hex: what plans and calibrations are bound to. */
  readonly digest: string;
  /** Faster products of the matrices above; see `accelerate`. */
  readonly products?: MatrixProducts;
}

/** Names and shapes of the tensors of one layer, in no file order. */
const layerTensors = (c: LlamaConfig): Record<StockTensor, number> => ({
  attentionNorm: c.dim,
  wq: attentionWidthOf(c) * c.dim,
  wk: kvDimOf(c) * c.dim,
  wv: kvDimOf(c) * c.dim,
  wo: c.dim * attentionWidthOf(c),
  feedForwardNorm: c.dim,
  w1: c.hiddenDim * c.dim,
  w2: c.dim * c.hiddenDim,
  w3: c.hiddenDim * c.dim,
});

/** The order in which llama2.c version 0 stores them: each name for all layers, then the next name. */
const fileOrder: readonly StockTensor[] = [
  'attentionNorm',
  'wq',
  'wk',
  'wv',
  'wo',
  'feedForwardNorm',
  'w1',
  'w2',
  'w3',
];

function weightCount(c: LlamaConfig): number {
  const layer = Object.values(layerTensors(c)).reduce((sum, size) => sum + size, 0);
  return (
    c.vocabSize * c.dim +
    c.layerCount * layer +
    c.dim +
    c.contextLength * headDimOf(c) +
    (c.tied ? 0 : c.vocabSize * c.dim)
  );
}

/** The seven integers in front of a llama2.c checkpoint. @throws `MODEL_CONFIG_INVALID`, `DATA_TRUNCATED`. */
export function readLlama2cConfig(bytes: Uint8Array): LlamaConfig {
  return readHeader(new ByteReader(bytes, 'model file'));
}

function readHeader(reader: ByteReader): LlamaConfig {
  const [dim, hiddenDim, layerCount, headCount, kvHeadCount, vocab, contextLength] = Array.from(
    { length: 7 },
    () => reader.i32(),
  ) as [number, number, number, number, number, number, number];
  const config: LlamaConfig = {
    dim,
    hiddenDim,
    layerCount,
    headCount,
    kvHeadCount,
    vocabSize: Math.abs(vocab),
    contextLength,
    tied: vocab > 0,
    normEps: 1e-5,
    ropeBase: 10000,
  };
  checkConfig(config);
  return config;
}

/**
 * Reads a llama2.c version 0 checkpoint: seven little-endian int32 (dim, hidden, layers, heads, kv heads, vocabulary,
 * context; a negative vocabulary means an untied head), then float32 tensors. The two stored RoPE tables are ignored.
 *
 * @throws SottoError `MODEL_CONFIG_INVALID`, `DATA_TRUNCATED`, `DATA_TRAILING_BYTES`, `MODEL_WEIGHTS_NOT_FINITE`.
 */
export function readLlama2c(bytes: Uint8Array): LlamaModel {
  const reader = new ByteReader(bytes, 'model file');
  const config = readHeader(reader);
  const { dim, layerCount, contextLength } = config;
  const neededBytes = 4 * weightCount(config);
  if (reader.remaining < neededBytes) {
    throw new SottoError('The model file is truncated.', {
      code: 'DATA_TRUNCATED',
      facts: { neededBytes, availableBytes: reader.remaining },
      fix: 'Fetch the file again.',
    });
  }
  const tensor = (size: number, name: string): Float32Array => {
    const values = new Float32Array(reader.words(size).buffer);
    for (let i = 0; i < size; i++) {
      if (!Number.isFinite(values[i])) {
        throw new SottoError('The model holds a weight that is no finite number.', {
          code: 'MODEL_WEIGHTS_NOT_FINITE',
          facts: { tensor: name, index: i },
          fix: 'Fetch or export the model again.',
        });
      }
    }
    return values;
  };
  const embedding = tensor(config.vocabSize * dim, 'embedding');
  const sizes = layerTensors(config);
  const layers = Array.from({ length: layerCount }, () => ({}) as Record<StockTensor, Float32Array>);
  for (const name of fileOrder) for (const layer of layers) layer[name] = tensor(sizes[name], name);
  const finalNorm = tensor(dim, 'finalNorm');
  reader.bytes(4 * contextLength * headDimOf(config));
  const head = config.tied ? embedding : tensor(config.vocabSize * dim, 'head');
  reader.end();
  return { config, embedding, layers, finalNorm, head, digest: toHex(sha256(bytes)) };
}

/**
 * Writes what {@link readLlama2c} reads; the RoPE tables are zero.
 *
 * @throws SottoError `MODEL_KIND_UNWRITABLE` for a model that is no plain Llama: the format has no place for its kind.
 */
export function writeLlama2c(model: Omit<LlamaModel, 'digest'>): Uint8Array {
  const c = model.config;
  checkConfig(c);
  if (!isPlainLlama(c) || attentionWidthOf(c) !== c.dim) {
    throw new SottoError('The format has no place for what is special about this model.', {
      code: 'MODEL_KIND_UNWRITABLE',
      facts: { format: 'llama2.c' },
      fix: 'Write it as safetensors with its configuration.',
    });
  }
  const writer = new ByteWriter();
  const header = [
    c.dim,
    c.hiddenDim,
    c.layerCount,
    c.headCount,
    c.kvHeadCount,
    c.tied ? c.vocabSize : -c.vocabSize,
  ];
  for (const value of [...header, c.contextLength]) writer.u32(value >>> 0);
  const tensor = (values: Float32Array): void => {
    writer.words(new Uint32Array(values.buffer, values.byteOffset, values.length));
  };
  tensor(model.embedding);
  for (const name of fileOrder) for (const layer of model.layers) tensor(layer[name]);
  tensor(model.finalNorm);
  tensor(new Float32Array(c.contextLength * headDimOf(c)));
  if (!c.tied) tensor(model.head);
  return writer.finish();
}
