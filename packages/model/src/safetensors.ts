import { SottoError } from '@sotto/base';
import { halfValues, numberToBfloat, numberToHalf } from './half.js';
import { type ByteSource, checkRange } from './source.js';
import { elementCount, shownName, type TensorStore } from './tensor-store.js';

export type SafetensorsType = 'F32' | 'F16' | 'BF16';

const elementBytes: Readonly<Record<SafetensorsType, number>> = { F32: 4, F16: 2, BF16: 2 };
const MAX_HEADER_BYTES = 32 * 1024 * 1024;
const MAX_TENSORS = 65536;
const MAX_DIMENSIONS = 8;

interface Entry {
  readonly type: SafetensorsType;
  readonly shape: readonly number[];
  /** From the start of the file. */
  readonly offset: number;
  readonly sizeBytes: number;
}

function fail(reason: string, facts: Record<string, string | number> = {}): never {
  throw new SottoError(`The safetensors file is broken: ${reason}.`, {
    code: 'SAFETENSORS_INVALID',
    facts,
    fix: 'Fetch or export the file again.',
  });
}

function parseObject(text: string, what: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    fail(`${what} is no JSON`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) fail(`${what} is no JSON object`);
  return value as Record<string, unknown>;
}

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function entryOf(name: string, raw: unknown, dataOffset: number): Entry {
  const tensor = shownName(name);
  const { dtype, shape, data_offsets: offsets } = (raw ?? {}) as Record<string, unknown>;
  if (typeof dtype !== 'string') fail('a tensor has no type', { tensor });
  if (!Object.hasOwn(elementBytes, dtype)) {
    throw new SottoError('A tensor has a type that is not read.', {
      code: 'MODEL_TENSOR_TYPE',
      facts: { tensor, type: shownName(dtype), types: Object.keys(elementBytes).join(', ') },
      fix: 'Use a checkpoint in float32, float16 or bfloat16.',
    });
  }
  const type = dtype as SafetensorsType;
  if (!Array.isArray(shape) || shape.length > MAX_DIMENSIONS || !shape.every(isSize))
    fail('a tensor has an impossible shape', { tensor });
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize))
    fail('a tensor has impossible offsets', { tensor });
  const [begin, end] = offsets as [number, number];
  const count = elementCount(shape);
  if (!Number.isSafeInteger(count) || end - begin !== count * elementBytes[type])
    fail('the offsets of a tensor do not fit its shape', { tensor });
  return { type, shape, offset: dataOffset + begin, sizeBytes: end - begin };
}

/**
 * Opens one safetensors file: 64-bit length of the header, JSON header, data. The tensors must cover the data without holes
 * and without overlaps, as the format demands.
 *
 * @throws SottoError `SAFETENSORS_INVALID`, `DATA_TRUNCATED`, `MODEL_TENSOR_TYPE`.
 */
export async function openSafetensors(source: ByteSource): Promise<TensorStore> {
  const front = await source.read(0, 8);
  const view = new DataView(front.buffer, front.byteOffset, 8);
  const headerBytes = view.getUint32(0, true) + 2 ** 32 * view.getUint32(4, true);
  if (headerBytes < 2 || headerBytes > MAX_HEADER_BYTES)
    fail('the header has an impossible length', { headerBytes, largestBytes: MAX_HEADER_BYTES });
  const header = parseObject(new TextDecoder().decode(await source.read(8, headerBytes)), 'the header');
  const dataOffset = 8 + headerBytes;
  const entries = new Map<string, Entry>();
  for (const [name, raw] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    if (entries.size >= MAX_TENSORS) fail('it has too many tensors', { largest: MAX_TENSORS });
    entries.set(name, entryOf(name, raw, dataOffset));
  }
  const inOrder = [...entries.values()].sort((a, b) => a.offset - b.offset || a.sizeBytes - b.sizeBytes);
  let at = dataOffset;
  for (const { offset, sizeBytes } of inOrder) {
    if (offset !== at) fail(offset < at ? 'tensors overlap' : 'there is a hole between tensors', { offset });
    checkRange('safetensors file', offset, sizeBytes, source.sizeBytes);
    at = offset + sizeBytes;
  }
  if (at !== source.sizeBytes) fail('there are bytes after the last tensor', { offset: at });
  return {
    shapes: new Map([...entries].map(([name, { shape }]) => [name, shape])),
    types: new Map([...entries].map(([name, { type }]) => [name, type])),
    async read(name) {
      const entry = entries.get(name);
      if (!entry) fail('it lacks a tensor', { tensor: shownName(name) });
      return decode(await source.read(entry.offset, entry.sizeBytes), entry.type);
    },
  };
}

function decode(bytes: Uint8Array, type: SafetensorsType): Float32Array {
  // A copy: tensors need not lie at multiples of their element size.
  const { buffer } = new Uint8Array(bytes);
  if (type === 'F32') return new Float32Array(buffer);
  const bits = new Uint16Array(buffer);
  const values = new Float32Array(bits.length);
  if (type === 'F16') {
    const table = halfValues();
    for (let i = 0; i < bits.length; i++) values[i] = table[bits[i]!]!;
  } else {
    const words = new Uint32Array(values.buffer);
    for (let i = 0; i < bits.length; i++) words[i] = bits[i]! << 16;
  }
  return values;
}

const MAX_SHARDS = 1024;

/**
 * Opens a sharded checkpoint by its index (`model.safetensors.index.json`): every tensor must be in the file that the index
 * names, and no file may hold a tensor that the index does not name.
 *
 * @param open opens a file of the index by its name, which has no folder in it.
 * @throws the errors of {@link openSafetensors}; `SAFETENSORS_INVALID` for the index.
 */
export async function openShardedSafetensors(
  indexText: string,
  open: (file: string) => Promise<ByteSource>,
): Promise<TensorStore> {
  const map = parseObject(indexText, 'the index').weight_map;
  if (typeof map !== 'object' || map === null || Array.isArray(map)) fail('the index has no weight_map');
  const names = Object.entries(map as Record<string, unknown>);
  const files = [...new Set(names.map(([, file]) => file))];
  if (files.length > MAX_SHARDS) fail('the index names too many files', { largest: MAX_SHARDS });
  const stores = new Map<unknown, TensorStore>();
  for (const file of files) {
    if (typeof file !== 'string' || !/^[\w.-]+\.safetensors$/.test(file))
      fail('the index names something that is no safetensors file beside it');
    stores.set(file, await openSafetensors(await open(file)));
  }
  const shapes = new Map<string, readonly number[]>();
  const types = new Map<string, string>();
  for (const [name, file] of names) {
    const store = stores.get(file)!;
    const shape = store.shapes.get(name);
    if (!shape) fail('a tensor is not in the file that the index names', { tensor: shownName(name) });
    shapes.set(name, shape);
    types.set(name, store.types.get(name)!);
  }
  for (const [file, store] of stores) {
    for (const name of store.shapes.keys()) {
      if ((map as Record<string, unknown>)[name] !== file)
        fail('a file holds a tensor that the index does not name there', { tensor: shownName(name) });
    }
  }
  return {
    shapes,
    types,
    read: async (name) => {
      const store = stores.get((map as Record<string, unknown>)[name]);
      if (!store) fail('it lacks a tensor', { tensor: shownName(name) });
      return store.read(name);
    },
  };
}

/** A tensor to write. */
export interface TensorData {
  readonly shape: readonly number[];
  readonly values: Float32Array;
  /** Default F32; the others round to nearest. */
  readonly type?: SafetensorsType;
}

function encode({ values, type = 'F32' }: TensorData): Uint8Array {
  if (type === 'F32') return new Uint8Array(values.slice().buffer);
  const round = type === 'F16' ? numberToHalf : numberToBfloat;
  return new Uint8Array(Uint16Array.from(values, round).buffer);
}

/** Writes a file that {@link openSafetensors} reads. @throws `MODEL_TENSOR_SHAPE` where values do not fit a shape. */
export function writeSafetensors(
  tensors: ReadonlyMap<string, TensorData>,
  metadata: Readonly<Record<string, string>> = { format: 'pt' },
): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let at = 0;
  for (const [name, { shape, values, type = 'F32' }] of tensors) {
    if (elementCount(shape) !== values.length) {
      throw new SottoError('The values of a tensor do not fit its shape.', {
        code: 'MODEL_TENSOR_SHAPE',
        facts: { tensor: shownName(name), expected: shape.join(' x '), got: values.length },
        fix: 'Give as many values as the shape has elements.',
      });
    }
    const end = at + values.length * elementBytes[type];
    header[name] = { dtype: type, shape, data_offsets: [at, end] };
    at = end;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  // Spaces after the header bring the data to a multiple of eight.
  const headerBytes = Math.ceil(text.length / 8) * 8;
  const out = new Uint8Array(8 + headerBytes + at).fill(0x20, 8 + text.length, 8 + headerBytes);
  new DataView(out.buffer).setUint32(0, headerBytes, true);
  out.set(text, 8);
  let offset = 8 + headerBytes;
  for (const tensor of tensors.values()) {
    const bytes = encode(tensor);
    out.set(bytes, offset);
    offset += bytes.length;
  }
  return out;
}

/**
 * Writes tensors to several files with an index, each file at most `shardBytes` of data (a larger tensor has a file alone).
 *
 * @returns contents by file name; the index is `model.safetensors.index.json`.
 */
export function writeShardedSafetensors(
  tensors: ReadonlyMap<string, TensorData>,
  shardBytes: number,
): Map<string, Uint8Array> {
  const shards: Map<string, TensorData>[] = [];
  let filled = Number.POSITIVE_INFINITY;
  let totalBytes = 0;
  for (const [name, tensor] of tensors) {
    const sizeBytes = tensor.values.length * elementBytes[tensor.type ?? 'F32'];
    if (filled + sizeBytes > shardBytes) {
      shards.push(new Map());
      filled = 0;
    }
    shards[shards.length - 1]!.set(name, tensor);
    filled += sizeBytes;
    totalBytes += sizeBytes;
  }
  const files = new Map<string, Uint8Array>();
  const weightMap: Record<string, string> = {};
  const digits = (value: number) => String(value).padStart(5, '0');
  shards.forEach((shard, i) => {
    const file = `model-${digits(i + 1)}-of-${digits(shards.length)}.safetensors`;
    files.set(file, writeSafetensors(shard));
    for (const name of shard.keys()) weightMap[name] = file;
  });
  const index = JSON.stringify({ metadata: { total_size: totalBytes }, weight_map: weightMap });
  files.set('model.safetensors.index.json', new TextEncoder().encode(index));
  return files;
}
