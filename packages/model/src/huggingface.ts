import {
  assembleLlama,
  type LayerNames,
  layerShapes,
  notLlama,
  type TensorNames,
  unpairRows,
} from './assemble.js';
import {
  attentionKindOf,
  bosTokenField,
  bosTokenOf,
  checkConfig,
  gateKindOf,
  headDimOf,
  isPlainLlama,
  type LlamaConfig,
} from './config.js';
import type { LlamaLayer, LlamaModel } from './llama2c.js';
import type { SafetensorsType, TensorData } from './safetensors.js';
import { shownName, type TensorStore } from './tensor-store.js';

const suffixes: Record<keyof LlamaLayer, string> = {
  attentionNorm: 'input_layernorm',
  wq: 'self_attn.q_proj',
  wk: 'self_attn.k_proj',
  wv: 'self_attn.v_proj',
  wo: 'self_attn.o_proj',
  feedForwardNorm: 'post_attention_layernorm',
  w1: 'mlp.gate_proj',
  w2: 'mlp.down_proj',
  w3: 'mlp.up_proj',
  keyCountPower: 'self_attn.key_count_power',
};

const names: TensorNames = {
  embedding: 'model.embed_tokens.weight',
  finalNorm: 'model.norm.weight',
  head: 'lm_head.weight',
  layer: (index) =>
    Object.fromEntries(
      Object.entries(suffixes).map(([key, suffix]) => [key, `model.layers.${index}.${suffix}.weight`]),
    ) as LayerNames,
};

type Json = Record<string, unknown>;

const absent = (value: unknown): boolean => value === undefined || value === null || value === false;

function numberOf(config: Json, key: string, fallback?: number): number {
  const value = config[key] ?? fallback;
  if (typeof value !== 'number' || !Number.isFinite(value))
    notLlama('the configuration lacks a number', { key });
  return value;
}

/** Rotary base; newer configurations keep it in `rope_parameters`. Positions that are scaled are refused. */
function ropeBaseOf(config: Json): number {
  for (const key of ['rope_scaling', 'rope_parameters']) {
    const rope = config[key];
    if (absent(rope)) continue;
    if (typeof rope !== 'object') notLlama('its rotary parameters are no object');
    const { rope_type: type, type: oldType, rope_theta: base } = rope as Json;
    if ((type ?? oldType ?? 'default') !== 'default') notLlama('its rotary positions are scaled');
    if (base !== undefined) return numberOf(rope as Json, 'rope_theta');
  }
  return numberOf(config, 'rope_theta', 10000);
}

/** Type of configurations of this family that other programs would take for something else. */
const OWN_TYPE = 'sotto';
const attentionNames = { softmax: 'softmax', kernel4_rms: 'kernel4-rms' } as const;

/** The kinds of attention and gate: stock for type `llama`, named for type `sotto`. */
function readKinds(config: Json): Pick<LlamaConfig, 'attention' | 'gate' | 'headEps'> {
  const shown = (value: unknown): string => shownName(String(value));
  if (config.model_type === 'llama') {
    const activation = config.hidden_act ?? 'silu';
    if (activation !== 'silu') notLlama('its activation is not silu', { got: shown(activation) });
    for (const key of ['attention', 'gate'])
      if (!absent(config[key])) notLlama('its configuration asks for what is not computed here', { key });
    return {};
  }
  if (config.model_type !== OWN_TYPE) notLlama('it is of another type', { type: shown(config.model_type) });
  const attention = attentionNames[config.attention as keyof typeof attentionNames];
  if (attention === undefined)
    notLlama('its attention is of another kind', { attention: shown(config.attention) });
  const { gate } = config;
  if (gate !== 'silu' && gate !== 'bilinear') notLlama('its gate is of another kind', { gate: shown(gate) });
  return { attention, gate, ...(attention === 'softmax' ? {} : { headEps: numberOf(config, 'head_eps') }) };
}

/**
 * The shape of a model from its `config.json`.
 *
 * @throws SottoError `MODEL_NOT_LLAMA` for what the transformer here does not compute, `MODEL_CONFIG_INVALID`.
 */
export function readHuggingFaceConfig(text: string): LlamaConfig {
  let config: Json;
  try {
    config = JSON.parse(text) as Json;
  } catch {
    notLlama('config.json is no JSON');
  }
  if (typeof config !== 'object' || config === null || Array.isArray(config))
    notLlama('config.json is no JSON object');
  const kinds = readKinds(config);
  for (const key of [
    'attention_bias',
    'mlp_bias',
    'quantization_config',
    'rope_interleaved',
    'sliding_window',
  ]) {
    if (!absent(config[key])) notLlama('its configuration asks for what is not computed here', { key });
  }
  if (numberOf(config, 'partial_rotary_factor', 1) !== 1) notLlama('only a part of a head is rotated');
  const headCount = numberOf(config, 'num_attention_heads');
  const dim = numberOf(config, 'hidden_size');
  const headDim = numberOf(config, 'head_dim', dim / headCount);
  const read: LlamaConfig = {
    dim,
    hiddenDim: numberOf(config, 'intermediate_size'),
    layerCount: numberOf(config, 'num_hidden_layers'),
    headCount,
    kvHeadCount: numberOf(config, 'num_key_value_heads', headCount),
    vocabSize: numberOf(config, 'vocab_size'),
    contextLength: numberOf(config, 'max_position_embeddings', 2048),
    tied: config.tie_word_embeddings === true,
    normEps: numberOf(config, 'rms_norm_eps', 1e-6),
    ropeBase: ropeBaseOf(config),
    ...(headDim * headCount === dim ? {} : { headDim }),
    ...bosTokenField(config.bos_token_id),
    ...kinds,
  };
  checkConfig(read);
  return read;
}

/** Puts the model of a usual folder together; see {@link assembleLlama}. */
export function assembleHuggingFace(
  store: TensorStore,
  config: LlamaConfig,
  digest: string,
): Promise<LlamaModel> {
  return assembleLlama(store, config, names, digest, {
    halfSplitPairs: true,
    ignore: /^model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq$/,
  });
}

/** Configuration and tensors of a model as they stand in a usual folder: the inverse of reading it. */
export function toHuggingFace(
  model: Omit<LlamaModel, 'digest'>,
  type: SafetensorsType = 'F32',
): { config: string; tensors: Map<string, TensorData> } {
  const c = model.config;
  const tensors = new Map<string, TensorData>();
  const shapes = layerShapes(c);
  const put = (name: string, shape: readonly number[], values: Float32Array) =>
    tensors.set(name, { shape, values, type });
  put(names.embedding, [c.vocabSize, c.dim], model.embedding);
  model.layers.forEach((layer, l) => {
    const layerNames = names.layer(l);
    for (const [key, shape] of Object.entries(shapes) as [keyof LlamaLayer, readonly number[]][]) {
      const values = layer[key]!;
      const paired = key === 'wq' || key === 'wk';
      put(layerNames[key]!, shape, paired ? unpairRows(values, c.dim, headDimOf(c)) : values);
    }
  });
  put(names.finalNorm, [c.dim], model.finalNorm);
  if (!c.tied) put(names.head, [c.vocabSize, c.dim], model.head);
  const kinds = isPlainLlama(c)
    ? { architectures: ['LlamaForCausalLM'], model_type: 'llama', hidden_act: 'silu' }
    : {
        model_type: OWN_TYPE,
        attention: attentionKindOf(c).replace('-', '_'),
        gate: gateKindOf(c),
        ...(c.headEps === undefined ? {} : { head_eps: c.headEps }),
      };
  const config = {
    ...kinds,
    hidden_size: c.dim,
    intermediate_size: c.hiddenDim,
    num_hidden_layers: c.layerCount,
    num_attention_heads: c.headCount,
    num_key_value_heads: c.kvHeadCount,
    head_dim: headDimOf(c),
    vocab_size: c.vocabSize,
    max_position_embeddings: c.contextLength,
    tie_word_embeddings: c.tied,
    rms_norm_eps: c.normEps,
    rope_theta: c.ropeBase,
    bos_token_id: bosTokenOf(c),
    attention_bias: false,
    mlp_bias: false,
  };
  return { config: `${JSON.stringify(config, null, 2)}\n`, tensors };
}
