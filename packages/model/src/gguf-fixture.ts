import { ByteWriter } from '@sotto/base';
import type { GgufScalar } from './gguf.js';
import type { LlamaModel } from './llama2c.js';
import { SeededRandom } from './random.js';

/** A random model of awkward sizes: no powers of two, grouped queries. */
export function randomModel(tied: boolean, vocabSize = 40): LlamaModel {
  const random = new SeededRandom(5);
  const numbers = (count: number) => Float32Array.from({ length: count }, () => 0.2 * random.normal());
  const config = {
    dim: 36,
    hiddenDim: 50,
    layerCount: 2,
    headCount: 6,
    kvHeadCount: 2,
    vocabSize,
    contextLength: 64,
    tied,
    normEps: 1e-5,
    ropeBase: 50000,
  };
  const layers = Array.from({ length: 2 }, () => ({
    attentionNorm: numbers(36),
    wq: numbers(36 * 36),
    wk: numbers(12 * 36),
    wv: numbers(12 * 36),
    wo: numbers(36 * 36),
    feedForwardNorm: numbers(36),
    w1: numbers(50 * 36),
    w2: numbers(36 * 50),
    w3: numbers(50 * 36),
  }));
  const embedding = numbers(vocabSize * 36);
  const head = tied ? embedding : numbers(vocabSize * 36);
  return { config, embedding, layers, finalNorm: numbers(36), head, digest: '' };
}

type Metadata = Readonly<Record<string, GgufScalar | readonly GgufScalar[]>>;

/** Integers are written as u32, other numbers as f32; numbers in arrays as f32. */
export function writeGguf(
  metadata: Metadata,
  tensors: ReadonlyMap<string, { shape: readonly number[]; values: Float32Array }>,
  version = 3,
): Uint8Array {
  const writer = new ByteWriter();
  const u64 = (value: number) => writer.u32(value >>> 0).u32(Math.floor(value / 2 ** 32));
  const text = (value: string) => {
    const bytes = new TextEncoder().encode(value);
    u64(bytes.length);
    writer.bytes(bytes);
  };
  const f32 = (value: number) => writer.words(new Uint32Array(Float32Array.of(value).buffer));
  writer.u32(0x46554747).u32(version);
  u64(tensors.size);
  u64(Object.keys(metadata).length);
  for (const [key, value] of Object.entries(metadata)) {
    text(key);
    if (Array.isArray(value)) {
      const isText = typeof value[0] === 'string';
      writer.u32(9).u32(isText ? 8 : 6);
      u64(value.length);
      for (const entry of value) isText ? text(String(entry)) : f32(Number(entry));
    } else if (typeof value === 'string') {
      writer.u32(8);
      text(value);
    } else if (typeof value === 'boolean') writer.u32(7).u8(Number(value));
    else if (Number.isInteger(value)) writer.u32(4).u32(value as number);
    else {
      writer.u32(6);
      f32(value as number);
    }
  }
  let at = 0;
  for (const [name, { shape, values }] of tensors) {
    text(name);
    writer.u32(shape.length);
    for (const size of [...shape].reverse()) u64(size);
    writer.u32(0);
    u64(at);
    at += 32 * Math.ceil((4 * values.length) / 32);
  }
  const pad = () => {
    while (writer.length % 32 !== 0) writer.u8(0);
  };
  pad();
  for (const { values } of tensors.values()) {
    writer.words(new Uint32Array(values.buffer, values.byteOffset, values.length));
    pad();
  }
  return writer.finish();
}

/** Metadata and tensors of a model as a converter of this architecture writes them. */
export function toGguf(model: LlamaModel, extra: Metadata = {}): Parameters<typeof writeGguf> {
  const c = model.config;
  const tensors = new Map<string, { shape: readonly number[]; values: Float32Array }>();
  tensors.set('token_embd.weight', { shape: [c.vocabSize, c.dim], values: model.embedding });
  const kvDim = (c.dim / c.headCount) * c.kvHeadCount;
  model.layers.forEach((w, l) => {
    const put = (name: string, shape: readonly number[], values: Float32Array) =>
      tensors.set(`blk.${l}.${name}.weight`, { shape, values });
    put('attn_norm', [c.dim], w.attentionNorm);
    put('attn_q', [c.dim, c.dim], w.wq);
    put('attn_k', [kvDim, c.dim], w.wk);
    put('attn_v', [kvDim, c.dim], w.wv);
    put('attn_output', [c.dim, c.dim], w.wo);
    put('ffn_norm', [c.dim], w.feedForwardNorm);
    put('ffn_gate', [c.hiddenDim, c.dim], w.w1);
    put('ffn_down', [c.dim, c.hiddenDim], w.w2);
    put('ffn_up', [c.hiddenDim, c.dim], w.w3);
  });
  tensors.set('output_norm.weight', { shape: [c.dim], values: model.finalNorm });
  if (!c.tied) tensors.set('output.weight', { shape: [c.vocabSize, c.dim], values: model.head });
  const metadata = {
    'general.architecture': 'llama',
    'llama.block_count': c.layerCount,
    'llama.context_length': c.contextLength,
    'llama.embedding_length': c.dim,
    'llama.feed_forward_length': c.hiddenDim,
    'llama.attention.head_count': c.headCount,
    'llama.attention.head_count_kv': c.kvHeadCount,
    'llama.attention.layer_norm_rms_epsilon': c.normEps,
    'llama.rope.freq_base': c.ropeBase,
    ...extra,
  };
  return [metadata, tensors];
}
