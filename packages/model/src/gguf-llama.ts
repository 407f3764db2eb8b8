import { SottoError } from '@sotto/base';
import { assembleLlama, type LayerNames, notLlama, type TensorNames } from './assemble.js';
import { bosTokenField, type LlamaConfig } from './config.js';
import type { GgufFile } from './gguf.js';
import type { LlamaModel, StockTensor } from './llama2c.js';
import { shownName } from './tensor-store.js';

const suffixes: Record<StockTensor, string> = {
  attentionNorm: 'attn_norm',
  wq: 'attn_q',
  wk: 'attn_k',
  wv: 'attn_v',
  wo: 'attn_output',
  feedForwardNorm: 'ffn_norm',
  w1: 'ffn_gate',
  w2: 'ffn_down',
  w3: 'ffn_up',
};

const names: TensorNames = {
  embedding: 'token_embd.weight',
  finalNorm: 'output_norm.weight',
  head: 'output.weight',
  layer: (index) =>
    Object.fromEntries(
      Object.entries(suffixes).map(([key, suffix]) => [key, `blk.${index}.${suffix}.weight`]),
    ) as LayerNames,
};

/** A number of the metadata. @throws `MODEL_CONFIG_INVALID` where it is absent without a fallback, or no number. */
function numberOf(file: GgufFile, key: string, fallback?: number): number {
  const value = file.metadata.get(key) ?? fallback;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw new SottoError('The metadata of the model lacks a number.', {
    code: 'MODEL_CONFIG_INVALID',
    facts: { key },
    fix: 'Use a complete GGUF file of a Llama model.',
  });
}

/**
 * The shape of a model from the metadata of a GGUF file.
 *
 * @throws SottoError `MODEL_NOT_LLAMA`, `MODEL_CONFIG_INVALID`.
 */
export function readGgufConfig(file: GgufFile): LlamaConfig {
  const architecture = file.metadata.get('general.architecture');
  if (architecture !== 'llama')
    notLlama('it is of another architecture', { architecture: shownName(String(architecture)) });
  const headCount = numberOf(file, 'llama.attention.head_count');
  const dim = numberOf(file, 'llama.embedding_length');
  const headDim = dim / headCount;
  for (const key of ['rope.dimension_count', 'attention.key_length', 'attention.value_length']) {
    if (numberOf(file, `llama.${key}`, headDim) !== headDim)
      notLlama('its heads do not add up to its width, or are rotated in part', { key });
  }
  const scaling = String(file.metadata.get('llama.rope.scaling.type') ?? 'none');
  const factor = numberOf(file, 'llama.rope.scaling.factor', numberOf(file, 'llama.rope.scale_linear', 1));
  if (!['none', 'linear'].includes(scaling) || factor !== 1 || file.shapes.has('rope_freqs.weight'))
    notLlama('its rotary positions are scaled');
  for (const key of ['expert_count', 'attention.sliding_window']) {
    if (numberOf(file, `llama.${key}`, 0) !== 0)
      notLlama('its metadata asks for what is not computed here', { key });
  }
  return {
    dim,
    hiddenDim: numberOf(file, 'llama.feed_forward_length'),
    layerCount: numberOf(file, 'llama.block_count'),
    headCount,
    kvHeadCount: numberOf(file, 'llama.attention.head_count_kv', headCount),
    vocabSize: file.shapes.get(names.embedding)?.[0] ?? numberOf(file, 'llama.vocab_size'),
    contextLength: numberOf(file, 'llama.context_length'),
    tied: !file.shapes.has(names.head),
    normEps: numberOf(file, 'llama.attention.layer_norm_rms_epsilon'),
    ropeBase: numberOf(file, 'llama.rope.freq_base', 10000),
    ...bosTokenField(file.metadata.get('tokenizer.ggml.bos_token_id')),
  };
}

/**
 * Puts the model of a GGUF file together. Converters store the query and key rows of this architecture in the order in which
 * rotary pairs are neighbours, so they are taken as they are.
 */
export function assembleGguf(file: GgufFile, digest: string): Promise<LlamaModel> {
  return assembleLlama(file, readGgufConfig(file), names, digest, { halfSplitPairs: false });
}
