import { SottoError } from '@sotto/base';

/** Shape of a Llama model. */
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
}

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
  if (config.dim % config.headCount !== 0) fail('dim is no multiple of headCount', config.dim);
  if ((config.dim / config.headCount) % 2 !== 0)
    fail('the head dimension is odd', config.dim / config.headCount);
  if (config.headCount % config.kvHeadCount !== 0)
    fail('headCount is no multiple of kvHeadCount', config.kvHeadCount);
}

export function headDimOf(config: LlamaConfig): number {
  return config.dim / config.headCount;
}

/** Width of one row of keys or values. */
export function kvDimOf(config: LlamaConfig): number {
  return config.kvHeadCount * headDimOf(config);
}
