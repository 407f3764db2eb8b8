import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SottoError } from '@sotto/base';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { pairRows } from './assemble.js';
import { randomModel, toGguf, writeGguf } from './gguf-fixture.js';
import {
  accelerate,
  argmax,
  assembleGguf,
  assembleHuggingFace,
  forward,
  KvCache,
  type LlamaModel,
  memorySource,
  openCheckpoint,
  openGguf,
  openSafetensors,
  readHuggingFaceConfig,
  readModelFile,
  SeededRandom,
  toHuggingFace,
  writeSafetensors,
  writeShardedSafetensors,
} from './index.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sotto-model-'));
});
afterAll(() => rm(folder, { recursive: true }));

const withoutDigest = ({ digest: _, products: __, ...model }: LlamaModel) => model;

async function codeOf(work: () => unknown): Promise<string> {
  try {
    await work();
    return 'none';
  } catch (error) {
    if (SottoError.is(error)) return error.code;
    throw error;
  }
}

describe('a folder in the usual layout', () => {
  test.each([true, false])('gives back every weight, in one file or in shards (tied: %s)', async (tied) => {
    const model = randomModel(tied);
    const { config, tensors } = toHuggingFace(model);
    const single = join(folder, `single-${tied}`);
    const sharded = join(folder, `sharded-${tied}`);
    const { mkdir } = await import('node:fs/promises');
    for (const path of [single, sharded]) {
      await mkdir(path);
      await writeFile(join(path, 'config.json'), config);
    }
    await writeFile(join(single, 'model.safetensors'), writeSafetensors(tensors));
    const files = writeShardedSafetensors(tensors, 20000);
    expect(files.size).toBeGreaterThan(3);
    for (const [name, bytes] of files) await writeFile(join(sharded, name), bytes);
    const digests = new Set<string>();
    for (const path of [single, sharded, join(sharded, 'model.safetensors.index.json')]) {
      const read = (await readModelFile({ model: path })).weights;
      expect(withoutDigest(read)).toEqual(withoutDigest(model));
      digests.add(read.digest);
    }
    expect(digests.size).toBe(2);
  });

  test('pairs features of a head that lie half a head apart', () => {
    const headDim = 6;
    const random = new SeededRandom(9);
    const stored = Float32Array.from({ length: 12 * 5 }, () => random.normal());
    const x = Float64Array.from({ length: 5 }, () => random.normal());
    const times = (matrix: Float32Array) =>
      Array.from({ length: 12 }, (_, i) => x.reduce((sum, v, j) => sum + v * matrix[5 * i + j]!, 0));
    const turn = (v: number[], head: number, a: number, b: number, angle: number) => [
      v[6 * head + a]! * Math.cos(angle) - v[6 * head + b]! * Math.sin(angle),
      v[6 * head + a]! * Math.sin(angle) + v[6 * head + b]! * Math.cos(angle),
    ];
    const half = times(stored);
    const neighbours = times(pairRows(stored, 5, headDim));
    for (let head = 0; head < 2; head++) {
      for (let i = 0; i < 3; i++) {
        const angle = 1.7 * 100 ** (-i / 3);
        expect(turn(neighbours, head, 2 * i, 2 * i + 1, angle)).toEqual(turn(half, head, i, i + 3, angle));
      }
    }
  });

  test.each(['F16', 'BF16'] as const)('%s rounds to nearest', async (type) => {
    const values = Float32Array.of(0, 1, -2.5, 1 / 3, 1e-7, 65504, 3e-5, -0.1);
    const bytes = writeSafetensors(new Map([['a', { shape: [8], values, type }]]));
    const read = await (await openSafetensors(memorySource(bytes))).read('a');
    const error = type === 'F16' ? 2 ** -11 : 2 ** -8;
    read.forEach((value, i) => {
      expect(Math.abs(value - values[i]!)).toBeLessThanOrEqual(error * Math.abs(values[i]!) + 2 ** -25);
    });
    // What was rounded once stays as it is.
    const again = writeSafetensors(new Map([['a', { shape: [8], values: read, type }]]));
    expect(again).toEqual(bytes);
  });

  test.each([
    [{ model_type: 'gpt2' }],
    [{ hidden_act: 'gelu' }],
    [{ attention_bias: true }],
    [{ mlp_bias: true }],
    [{ rope_scaling: { rope_type: 'llama3', factor: 8 } }],
    [{ rope_parameters: { rope_type: 'yarn', rope_theta: 10000 } }],
    [{ quantization_config: { bits: 4 } }],
    [{ hidden_size: 'wide' }],
    [{ sliding_window: 4096 }],
  ])('%j is refused', async (change) => {
    const config = JSON.stringify({ ...JSON.parse(toHuggingFace(randomModel(true)).config), ...change });
    expect(await codeOf(() => readHuggingFaceConfig(config))).toBe('MODEL_NOT_LLAMA');
  });

  test('rotary base of newer configurations', () => {
    const { rope_theta: _, ...rest } = JSON.parse(toHuggingFace(randomModel(true)).config);
    const config = { ...rest, rope_parameters: { rope_type: 'default', rope_theta: 1234 } };
    expect(readHuggingFaceConfig(JSON.stringify(config)).ropeBase).toBe(1234);
  });

  test('a bias, a missing tensor, a wrong shape and a weight that is no number are refused', async () => {
    const { config, tensors } = toHuggingFace(randomModel(false));
    const load = async (changed: typeof tensors) =>
      assembleHuggingFace(
        await openSafetensors(memorySource(writeSafetensors(changed))),
        readHuggingFaceConfig(config),
        '',
      );
    const name = 'model.layers.1.self_attn.q_proj.weight';
    const without = new Map(tensors);
    without.delete(name);
    const bias = { shape: [36], values: new Float32Array(36) };
    const odd = tensors.get(name)!.values.slice();
    odd[7] = Number.NaN;
    expect(await codeOf(() => load(without))).toBe('MODEL_TENSOR_MISSING');
    expect(await codeOf(() => load(new Map(tensors).set('model.layers.0.self_attn.q_proj.bias', bias)))).toBe(
      'MODEL_NOT_LLAMA',
    );
    expect(await codeOf(() => load(new Map(tensors).set(name, bias)))).toBe('MODEL_TENSOR_SHAPE');
    expect(await codeOf(() => load(new Map(tensors).set(name, { shape: [36, 36], values: odd })))).toBe(
      'MODEL_WEIGHTS_NOT_FINITE',
    );
  });
});

/** A safetensors file with this header and data. */
function rawSafetensors(header: string, dataBytes: number, statedBytes = header.length): Uint8Array {
  const out = new Uint8Array(8 + header.length + dataBytes);
  const view = new DataView(out.buffer);
  view.setUint32(0, statedBytes % 2 ** 32, true);
  view.setUint32(4, Math.floor(statedBytes / 2 ** 32), true);
  out.set(new TextEncoder().encode(header), 8);
  return out;
}

const entry = (begin: number, end: number, shape = [(end - begin) / 4], dtype = 'F32') => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});

test.each([
  ['overlap', { a: entry(0, 8), b: entry(4, 12) }, 12, 'SAFETENSORS_INVALID'],
  ['the same bytes twice', { a: entry(0, 8), b: entry(0, 8) }, 8, 'SAFETENSORS_INVALID'],
  ['a hole', { a: entry(0, 4), b: entry(8, 12) }, 12, 'SAFETENSORS_INVALID'],
  ['bytes at the end', { a: entry(0, 4) }, 8, 'SAFETENSORS_INVALID'],
  ['beyond the end', { a: entry(0, 400) }, 8, 'DATA_TRUNCATED'],
  ['a shape that does not fit', { a: entry(0, 8, [3]) }, 8, 'SAFETENSORS_INVALID'],
  ['a negative size', { a: entry(0, 8, [-2, -1]) }, 8, 'SAFETENSORS_INVALID'],
  ['sizes whose product overflows', { a: entry(0, 8, [2 ** 40, 2 ** 40]) }, 8, 'SAFETENSORS_INVALID'],
  ['an offset before the data', { a: entry(-4, 4) }, 8, 'SAFETENSORS_INVALID'],
  ['another type', { a: entry(0, 8, [8], 'I8') }, 8, 'MODEL_TENSOR_TYPE'],
  ['no tensor at all', { a: null }, 8, 'SAFETENSORS_INVALID'],
])('a safetensors file with %s is refused', async (_, header, dataBytes, code) => {
  const bytes = rawSafetensors(JSON.stringify(header), dataBytes);
  expect(await codeOf(() => openSafetensors(memorySource(bytes)))).toBe(code);
});

test('a safetensors header that is absurd is refused before it is read', async () => {
  for (const [header, stated, code] of [
    ['{}', 2 ** 52, 'SAFETENSORS_INVALID'],
    ['{}', 1 << 24, 'DATA_TRUNCATED'],
    ['[]', 2, 'SAFETENSORS_INVALID'],
    ['{]', 2, 'SAFETENSORS_INVALID'],
  ] as const) {
    expect(await codeOf(() => openSafetensors(memorySource(rawSafetensors(header, 0, stated))))).toBe(code);
  }
});

describe('GGUF', () => {
  test.each([true, false])('gives back every weight (tied: %s), in both versions', async (tied) => {
    const model = randomModel(tied);
    const [metadata, tensors] = toGguf(model);
    for (const version of [2, 3]) {
      const bytes = writeGguf(metadata, tensors, version);
      const read = await assembleGguf(await openGguf(memorySource(bytes)), '');
      expect({ ...read, config: { ...read.config, normEps: 1e-5 } }).toEqual(model);
      expect(read.config.normEps).toBeCloseTo(1e-5, 12);
    }
  });

  test.each([
    [{ 'general.architecture': 'gpt2' }],
    [{ 'llama.rope.dimension_count': 4 }],
    [{ 'llama.rope.scaling.type': 'yarn', 'llama.rope.scaling.factor': 4 }],
    [{ 'llama.expert_count': 8 }],
  ])('%j is refused', async (extra) => {
    const bytes = writeGguf(...toGguf(randomModel(true), extra));
    expect(await codeOf(async () => assembleGguf(await openGguf(memorySource(bytes)), ''))).toBe(
      'MODEL_NOT_LLAMA',
    );
  });

  test('absurd counts are refused before memory is taken for them', async () => {
    const bytes = writeGguf(...toGguf(randomModel(true)));
    const started = performance.now();
    for (const offset of [8, 16, 24]) {
      for (const value of [0xffffffff, 0x7fffffff]) {
        for (const place of [0, 4]) {
          const changed = bytes.slice();
          new DataView(changed.buffer).setUint32(offset + place, value, true);
          expect(await codeOf(() => openGguf(memorySource(changed)))).toMatch(
            /^(GGUF_INVALID|DATA_TRUNCATED)$/,
          );
        }
      }
    }
    const long = writeGguf({ 'general.architecture': ['a', 'b'] }, new Map());
    new DataView(long.buffer).setUint32(24 + 8 + 20 + 8, 4_000_000, true);
    expect(await codeOf(() => openGguf(memorySource(long)))).toBe('DATA_TRUNCATED');
    expect(performance.now() - started).toBeLessThan(2000);
  });
});

/** Every mutation gives a whole model or a typed error; `codeOf` throws anything else. */
async function fuzz(bytes: Uint8Array, headerBytes: number, load: (bytes: Uint8Array) => Promise<unknown>) {
  const random = new SeededRandom(11);
  const seen = new Map<string, number>();
  const note = async (changed: Uint8Array) => {
    const code = await codeOf(() => load(changed));
    seen.set(code, (seen.get(code) ?? 0) + 1);
    return code;
  };
  for (let i = 0; i < 150; i++) {
    expect(await note(bytes.slice(0, Math.floor(random.next() ** 2 * bytes.length)))).not.toBe('none');
  }
  for (let i = 0; i < 500; i++) {
    const changed = bytes.slice();
    for (let flips = 0; flips <= i % 3; flips++) {
      changed[Math.floor(random.next() * headerBytes)]! ^= 1 << Math.floor(random.next() * 8);
    }
    await note(changed);
  }
  return seen;
}

test('a broken GGUF file gives a typed error', async () => {
  const bytes = writeGguf(...toGguf(randomModel(true)));
  const seen = await fuzz(bytes, 1800, async (changed) =>
    assembleGguf(await openGguf(memorySource(changed)), ''),
  );
  expect(seen.size).toBeGreaterThan(4);
});

test('a broken safetensors file gives a typed error', async () => {
  const { config, tensors } = toHuggingFace(randomModel(true));
  const bytes = writeSafetensors(tensors);
  const seen = await fuzz(bytes, 1800, async (changed) =>
    assembleHuggingFace(await openSafetensors(memorySource(changed)), readHuggingFaceConfig(config), ''),
  );
  expect(seen.size).toBeGreaterThan(4);
});

test('a broken configuration gives a typed error', async () => {
  const bytes = new TextEncoder().encode(toHuggingFace(randomModel(true)).config);
  await fuzz(bytes, bytes.length, async (changed) =>
    readHuggingFaceConfig(new TextDecoder().decode(changed)),
  );
});

test('paths that hold no model', async () => {
  expect(await codeOf(() => openCheckpoint(join(folder, 'absent')))).toBe('FILE_UNREADABLE');
  expect(await codeOf(() => openCheckpoint(folder))).toBe('MODEL_FOLDER_UNKNOWN');
});

test('the float kernels compute what the oracle computes', () => {
  for (const tied of [true, false]) {
    const model = randomModel(tied);
    const fast = accelerate(model);
    expect(fast.products).toBeDefined();
    expect(withoutDigest(fast)).toEqual(withoutDigest(model));
    // Eleven rows: two batches of four and three single ones.
    const tokens = Array.from({ length: 11 }, (_, i) => (7 * i + 3) % 40);
    const expected = forward(model, tokens, new KvCache(2)).logits;
    const got = forward(fast, tokens, new KvCache(2)).logits;
    got.forEach((logits, row) => {
      expect(argmax(logits)).toBe(argmax(expected[row]!));
      logits.forEach((value, i) => {
        expect(Math.abs(value - expected[row]![i]!)).toBeLessThan(1e-5);
      });
    });
  }
});
