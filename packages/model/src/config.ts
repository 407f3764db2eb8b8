import { SottoError } from '@sotto/base';
import { BOS_TOKEN } from './tokenizer.js';

/**
 * How a head weighs its keys by their scores s.
 *
 * - `softmax`: e^s over the sum of all.
 * - `kernel4-rms`: the sum of (1 + s/4)^4 v over the keys, times a power of their number that is a weight of the head, over its root
 *   mean square (softened by `headEps`). Products and one reciprocal root: what an encrypted computation does well.
 */
export type AttentionKind = 'softmax' | 'kernel4-rms';

/** The feed-forward half: SiLU of the gate times up, or the plain product of both. */
export type GateKind = 'silu' | 'bilinear';

/** Shape of a model of the Llama family. */
export interface LlamaConfig {
  readonly dim: number;
  /** Width of the feed-forward block. */
  readonly hiddenDim: number;
  readonly layerCount: number;
  readonly headCount: number;
  /** Key/value heads; divides headCount (grouped-query attention). */
  readonly kvHeadCount: number;
  readonly vocabSize: number;
  readonly contextLength: number;
  /** The output head is the embedding table. */
  readonly tied: boolean;
  readonly normEps: number;
  readonly ropeBase: number;
  /** Width of a head; dim / headCount when absent. */
  readonly headDim?: number;
  /** The token with which every text begins; {@link BOS_TOKEN} when absent. */
  readonly bosToken?: number;
  /** `softmax` when absent. */
  readonly attention?: AttentionKind;
  /** Added to the mean square of a head's sums; with `kernel4-rms` only. */
  readonly headEps?: number;
  /** `silu` when absent. */
  readonly gate?: GateKind;
}

export const attentionKindOf = (config: LlamaConfig): AttentionKind => config.attention ?? 'softmax';
export const gateKindOf = (config: LlamaConfig): GateKind => config.gate ?? 'silu';

export const bosTokenOf = (config: LlamaConfig): number => config.bosToken ?? BOS_TOKEN;

/** The field of a configuration for what a file gives as its first token; nothing for the usual one or none. */
export const bosTokenField = (token: unknown): Pick<LlamaConfig, 'bosToken'> =>
  typeof token !== 'number' || token === BOS_TOKEN ? {} : { bosToken: token };

/** Whether the model computes what other programs call a Llama. */
export const isPlainLlama = (config: LlamaConfig): boolean =>
  attentionKindOf(config) === 'softmax' && gateKindOf(config) === 'silu';

const limits: Record<string, number> = {
  dim: 16384,
  hiddenDim: 65536,
  layerCount: 256,
  headCount: 256,
  kvHeadCount: 256,
  vocabSize: 262144,
  contextLength: 1048576,
};

/** Throws `MODEL_CONFIG_INVALID` unless every number is possible and the shapes fit together. */
export function checkConfig(config: LlamaConfig): void {
  const fail = (what: string, value: number): never => {
    throw new SottoError(`The model header is impossible: ${what}.`, {
      code: 'MODEL_CONFIG_INVALID',
      facts: { value },
      fix: 'Use a complete checkpoint of a Llama model.',
    });
  };
  for (const [name, limit] of Object.entries(limits)) {
    const value = config[name as keyof LlamaConfig] as number;
    if (!Number.isInteger(value) || value < 1 || value > limit) fail(`${name} is not in 1..${limit}`, value);
  }
  for (const name of ['normEps', 'ropeBase'] as const) {
    if (!(config[name] > 0 && config[name] < 1e12)) fail(`${name} is not positive`, config[name]);
  }
  const bos = bosTokenOf(config);
  if (!Number.isInteger(bos) || bos < 0 || (config.bosToken !== undefined && bos >= config.vocabSize))
    fail('the first token is not in the vocabulary', bos);
  if (config.headDim === undefined && config.dim % config.headCount !== 0)
    fail('dim is no multiple of headCount', config.dim);
  const headDim = headDimOf(config);
  if (!Number.isInteger(headDim) || headDim < 1 || headDim > config.dim)
    fail('the head dimension is not in 1..dim', headDim);
  if (headDim % 2 !== 0) fail('the head dimension is odd', headDim);
  if (attentionKindOf(config) === 'kernel4-rms' && !((config.headEps ?? 0) > 0 && config.headEps! < 1e12))
    fail('headEps is not positive', config.headEps ?? 0);
  if (config.headCount % config.kvHeadCount !== 0)
    fail('headCount is no multiple of kvHeadCount', config.kvHeadCount);
}

export function headDimOf(config: LlamaConfig): number {
  return config.headDim ?? config.dim / config.headCount;
}

/** Width of all heads together. */
export function attentionWidthOf(config: LlamaConfig): number {
  return config.headCount * headDimOf(config);
}

/** Width of one row of keys or values. */
export function kvDimOf(config: LlamaConfig): number {
  return config.kvHeadCount * headDimOf(config);
}
