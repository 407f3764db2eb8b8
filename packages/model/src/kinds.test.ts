import { SottoError } from '@sotto/base';
import { describe, expect, test } from 'vitest';
import {
  accelerate,
  argmax,
  assembleHuggingFace,
  checkConfig,
  forward,
  KvCache,
  type LlamaConfig,
  type LlamaModel,
  memorySource,
  openSafetensors,
  readHuggingFaceConfig,
  SeededRandom,
  toHuggingFace,
  writeLlama2c,
  writeSafetensors,
} from './index.js';

const kernelConfig: LlamaConfig = {
  dim: 12,
  hiddenDim: 10,
  layerCount: 2,
  headCount: 4,
  kvHeadCount: 2,
  vocabSize: 20,
  contextLength: 32,
  tied: true,
  normEps: 0.25,
  ropeBase: 10000,
  headDim: 4,
  attention: 'kernel4-rms',
  headEps: 0.5,
  gate: 'bilinear',
};

function randomKernelModel(config = kernelConfig): LlamaModel {
  const random = new SeededRandom(5);
  const tensor = (size: number, scale: number) =>
    Float32Array.from({ length: size }, () => scale * random.normal());
  const { dim, hiddenDim, headCount, kvHeadCount, headDim } = config;
  const width = headCount * headDim!;
  const embedding = tensor(config.vocabSize * dim, 1);
  const layers = Array.from({ length: config.layerCount }, () => ({
    attentionNorm: tensor(dim, 1),
    wq: tensor(width * dim, 0.5),
    wk: tensor(kvHeadCount * headDim! * dim, 0.5),
    wv: tensor(kvHeadCount * headDim! * dim, 0.5),
    wo: tensor(dim * width, 0.5),
    feedForwardNorm: tensor(dim, 1),
    w1: tensor(hiddenDim * dim, 0.3),
    w2: tensor(dim * hiddenDim, 0.3),
    w3: tensor(hiddenDim * dim, 0.3),
    keyCountPower: tensor(headCount, 0.5),
  }));
  return { config, embedding, layers, finalNorm: tensor(dim, 1), head: embedding, digest: '' };
}

const codeOf = (work: () => unknown): string => {
  try {
    work();
    return 'none';
  } catch (error) {
    if (SottoError.is(error)) return error.code;
    throw error;
  }
};

describe('kernel attention with a bilinear gate', () => {
  const model = randomKernelModel();
  const tokens = [1, 7, 4, 9, 13, 2];

  test('is written and read as safetensors, weight by weight', async () => {
    const { config, tensors } = toHuggingFace(model);
    const store = await openSafetensors(memorySource(writeSafetensors(tensors)));
    const read = await assembleHuggingFace(store, readHuggingFaceConfig(config), '');
    expect(read).toEqual(model);
    expect(JSON.parse(config)).toMatchObject({
      model_type: 'sotto',
      attention: 'kernel4_rms',
      gate: 'bilinear',
    });
  });

  test('gives what its definition says', () => {
    const cache = new KvCache(2);
    const seen: Record<string, number[]> = {};
    const { logits } = forward(model, tokens, cache, (name, layer, position, values, head) => {
      if (layer === 1 && position === 5) seen[`${name} ${head}`] = Array.from(values);
    });
    const rows = cache.values[1]!;
    for (let head = 0; head < 4; head++) {
      const power = model.layers[1]!.keyCountPower![head]!;
      const sums = [0, 1, 2, 3].map((i) =>
        seen[`scores ${head}`]!.reduce(
          (sum, s, j) => sum + ((4 + s) ** 4 / 256 / 6 ** power) * rows[j]![4 * Math.floor(head / 2) + i]!,
          0,
        ),
      );
      const root = Math.sqrt(sums.reduce((sum, x) => sum + x * x, 0) / 4 + 0.5);
      const got = seen['attention 0']!.slice(4 * head, 4 * head + 4);
      got.forEach((value, i) => {
        expect(value).toBeCloseTo(sums[i]! / root, 10);
      });
    }
    const inner = seen['gate 0']!.map((gate, i) => gate * seen['up 0']![i]!);
    expect(seen['inner 0']).toEqual(inner);
    const fast = forward(accelerate(model), tokens, new KvCache(2)).logits;
    expect(argmax(fast[5]!)).toBe(argmax(logits[5]!));
  });

  test('has no place in llama2.c', () => {
    expect(codeOf(() => writeLlama2c(model))).toBe('MODEL_KIND_UNWRITABLE');
  });
});

test.each<[Record<string, unknown>, string]>([
  [{ attention: 'linear' }, 'MODEL_NOT_LLAMA'],
  [{ attention: undefined }, 'MODEL_NOT_LLAMA'],
  [{ gate: 'gelu' }, 'MODEL_NOT_LLAMA'],
  [{ head_eps: undefined }, 'MODEL_NOT_LLAMA'],
  [{ head_eps: 0 }, 'MODEL_CONFIG_INVALID'],
  [{ head_dim: 3 }, 'MODEL_CONFIG_INVALID'],
  [{ head_dim: 2.5 }, 'MODEL_CONFIG_INVALID'],
  // Without its type, the kinds would be left out.
  [{ model_type: 'llama' }, 'MODEL_NOT_LLAMA'],
])('a configuration with %j is refused', (change, code) => {
  const config = { ...JSON.parse(toHuggingFace(randomKernelModel()).config), ...change };
  expect(codeOf(() => readHuggingFaceConfig(JSON.stringify(config)))).toBe(code);
});

test('the kinds need what they are made of', () => {
  const { headEps: _, ...without } = kernelConfig;
  expect(codeOf(() => checkConfig(without))).toBe('MODEL_CONFIG_INVALID');
  expect(codeOf(() => checkConfig(kernelConfig))).toBe('none');
});
