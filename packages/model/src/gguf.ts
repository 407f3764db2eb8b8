import { ByteReader, SottoError } from '@sotto/base';
import { type BlockFormat, blockFormat } from './dequantise.js';
import { type ByteSource, checkRange } from './source.js';
import { elementCount, shownName, type TensorStore } from './tensor-store.js';

export type GgufScalar = number | boolean | string;
/** Numbers are plain numbers: a 64-bit integer beyond 2^53 is refused. */
export type GgufValue = GgufScalar | readonly GgufScalar[];

/** Metadata and tensors of a GGUF file. */
export interface GgufFile extends TensorStore {
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
}

const MAGIC = 0x46554747;
const FIRST_HEADER_BYTES = 4 * 1024 * 1024;
const MAX_HEADER_BYTES = 256 * 1024 * 1024;
const MAX_ENTRIES = 65536;
const MAX_NAME_BYTES = 1024;
const MAX_STRING_BYTES = 16 * 1024 * 1024;
const MAX_ARRAY = 4 * 1024 * 1024;
const MAX_DIMENSIONS = 4;
const MAX_ALIGNMENT = 65536;

const types = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  i64: 11,
  f64: 12,
};
/** Bytes of a value by type; a string takes at least its length field. */
const smallestBytes = [1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8];

function fail(reason: string, facts: Record<string, string | number> = {}): never {
  throw new SottoError(`The GGUF file is broken: ${reason}.`, {
    code: 'GGUF_INVALID',
    facts,
    fix: 'Fetch or make the file again.',
  });
}

class HeaderReader extends ByteReader {
  u64(): number {
    const low = this.u32();
    const value = low + 2 ** 32 * this.u32();
    if (!Number.isSafeInteger(value)) fail('a 64-bit number is impossible', { offset: this.offset });
    return value;
  }

  i64(): number {
    const low = this.u32();
    const value = low + 2 ** 32 * this.i32();
    if (!Number.isSafeInteger(value)) fail('a 64-bit number is impossible', { offset: this.offset });
    return value;
  }

  string(largestBytes: number): string {
    const sizeBytes = this.u64();
    if (sizeBytes > largestBytes) fail('a text is too long', { sizeBytes, largestBytes });
    return new TextDecoder().decode(this.bytes(sizeBytes));
  }

  scalar(type: number): GgufScalar {
    switch (type) {
      case types.u8:
        return this.u8();
      case types.i8:
        return (this.u8() << 24) >> 24;
      case types.u16:
        return this.u16();
      case types.i16:
        return (this.u16() << 16) >> 16;
      case types.u32:
        return this.u32();
      case types.i32:
        return this.i32();
      case types.f32:
        return this.f32();
      case types.bool:
        return this.u8() !== 0;
      case types.string:
        return this.string(MAX_STRING_BYTES);
      case types.u64:
        return this.u64();
      case types.i64:
        return this.i64();
      case types.f64:
        return this.f64();
      default:
        return fail('a value has an unknown type', { type, offset: this.offset });
    }
  }

  value(): GgufValue {
    const type = this.u32();
    if (type !== types.array) return this.scalar(type);
    const elementType = this.u32();
    const count = this.u64();
    if (elementType === types.array) fail('an array holds arrays');
    if (count > MAX_ARRAY) fail('an array is too long', { count, largest: MAX_ARRAY });
    // Known to be too short before anything of that length is made.
    if (count * (smallestBytes[elementType] ?? 1) > this.remaining) this.bytes(this.remaining + 1);
    const values: GgufScalar[] = [];
    for (let i = 0; i < count; i++) values.push(this.scalar(elementType));
    return values;
  }
}

interface TensorEntry {
  readonly name: string;
  readonly shape: readonly number[];
  readonly format: BlockFormat;
  /** From the start of the tensor data. */
  readonly offset: number;
  readonly sizeBytes: number;
}

function readTensorEntry(reader: HeaderReader): TensorEntry {
  const name = reader.string(MAX_NAME_BYTES);
  const tensor = shownName(name);
  const dimensions = reader.u32();
  if (dimensions < 1 || dimensions > MAX_DIMENSIONS) fail('a tensor has an impossible shape', { tensor });
  const sizes = Array.from({ length: dimensions }, () => reader.u64());
  const format = blockFormat(reader.u32(), tensor);
  const offset = reader.u64();
  const count = elementCount(sizes);
  if (count < 1 || !Number.isSafeInteger(4 * count) || sizes[0]! % format.elements !== 0)
    fail('a tensor has an impossible shape', { tensor });
  const sizeBytes = (count / format.elements) * format.sizeBytes;
  // The file has the fastest index first.
  return { name, shape: sizes.reverse(), format, offset, sizeBytes };
}

interface Header {
  readonly version: number;
  readonly metadata: Map<string, GgufValue>;
  readonly tensors: TensorEntry[];
  readonly dataOffset: number;
}

function parseHeader(bytes: Uint8Array): Header {
  const reader = new HeaderReader(bytes, 'GGUF file');
  if (reader.u32() !== MAGIC) fail('it does not begin with GGUF');
  const version = reader.u32();
  if (version !== 2 && version !== 3) fail('its version is not read', { version, versions: '2, 3' });
  const tensorCount = reader.u64();
  const metadataCount = reader.u64();
  if (tensorCount > MAX_ENTRIES || metadataCount > MAX_ENTRIES)
    fail('its header counts are impossible', { tensorCount, metadataCount });
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < metadataCount; i++) {
    const key = reader.string(MAX_NAME_BYTES);
    if (metadata.has(key)) fail('a metadata key comes twice', { key: shownName(key) });
    metadata.set(key, reader.value());
  }
  const tensors = Array.from({ length: tensorCount }, () => readTensorEntry(reader));
  const alignment = metadata.get('general.alignment') ?? 32;
  if (typeof alignment !== 'number' || !(alignment >= 8 && alignment <= MAX_ALIGNMENT) || alignment % 8 !== 0)
    fail('the alignment is impossible');
  const dataOffset = Math.ceil(reader.offset / alignment) * alignment;
  if (tensors.some(({ offset }) => offset % alignment !== 0)) fail('a tensor is not aligned', { alignment });
  return { version, metadata, tensors, dataOffset };
}

async function readHeader(source: ByteSource): Promise<Header> {
  for (let prefix = FIRST_HEADER_BYTES; ; prefix *= 2) {
    const sizeBytes = Math.min(prefix, source.sizeBytes);
    try {
      return parseHeader(await source.read(0, sizeBytes));
    } catch (error) {
      const ended = SottoError.is(error) && error.code === 'DATA_TRUNCATED';
      if (!ended || sizeBytes === source.sizeBytes || 2 * prefix > MAX_HEADER_BYTES) throw error;
    }
  }
}

/**
 * Opens a GGUF file of version 2 or 3 (little-endian): metadata, then a table of tensors, then their data. Tensors are
 * dequantised to float32 one at a time when they are read; see `dequantise.ts` for the types.
 *
 * @throws SottoError `GGUF_INVALID`, `DATA_TRUNCATED`, `MODEL_TENSOR_TYPE`.
 */
export async function openGguf(source: ByteSource): Promise<GgufFile> {
  const { version, metadata, tensors, dataOffset } = await readHeader(source);
  const byName = new Map<string, TensorEntry>();
  let end = 0;
  for (const entry of [...tensors].sort((a, b) => a.offset - b.offset)) {
    if (byName.has(entry.name)) fail('a tensor comes twice', { tensor: shownName(entry.name) });
    if (entry.offset < end) fail('tensors overlap', { tensor: shownName(entry.name) });
    checkRange('GGUF file', dataOffset + entry.offset, entry.sizeBytes, source.sizeBytes);
    end = entry.offset + entry.sizeBytes;
    byName.set(entry.name, entry);
  }
  return {
    version,
    metadata,
    shapes: new Map([...byName].map(([name, { shape }]) => [name, shape])),
    types: new Map([...byName].map(([name, { format }]) => [name, format.name])),
    async read(name) {
      const entry = byName.get(name);
      if (!entry) fail('it lacks a tensor', { tensor: shownName(name) });
      const bytes = await source.read(dataOffset + entry.offset, entry.sizeBytes);
      const values = new Float32Array(elementCount(entry.shape));
      entry.format.decode(bytes, values);
      return values;
    },
  };
}
