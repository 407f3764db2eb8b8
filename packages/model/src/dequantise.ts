import { SottoError } from '@sotto/base';
import { halfValues } from './half.js';

/** How a GGUF tensor type packs numbers: blocks of `elements` numbers in `sizeBytes` bytes. */
export interface BlockFormat {
  readonly name: string;
  readonly elements: number;
  readonly sizeBytes: number;
  /** Unpacks all blocks. `out.length` is a multiple of `elements`. */
  decode(bytes: Uint8Array, out: Float32Array): void;
}

/** Fixed seat for halves: two bytes at `at`, little-endian. */
const halfAt = (table: Float32Array, bytes: Uint8Array, at: number): number =>
  table[bytes[at]! | (bytes[at + 1]! << 8)]!;

function decodeF32(bytes: Uint8Array, out: Float32Array): void {
  new Uint8Array(out.buffer, out.byteOffset, out.byteLength).set(bytes);
}

function decodeF16(bytes: Uint8Array, out: Float32Array): void {
  const table = halfValues();
  for (let i = 0; i < out.length; i++) out[i] = halfAt(table, bytes, 2 * i);
}

function decodeBf16(bytes: Uint8Array, out: Float32Array): void {
  const words = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let i = 0; i < out.length; i++) words[i] = (bytes[2 * i]! << 16) | (bytes[2 * i + 1]! << 24);
}

/** Scale (half), 32 signed bytes. */
function decodeQ8(bytes: Uint8Array, out: Float32Array): void {
  const table = halfValues();
  for (let block = 0, at = 0; block < out.length; block += 32, at += 34) {
    const scale = halfAt(table, bytes, at);
    for (let i = 0; i < 32; i++) out[block + i] = scale * ((bytes[at + 2 + i]! << 24) >> 24);
  }
}

/** Scale (half), 16 bytes whose low halves are numbers 0..15 and high halves numbers 16..31; 8 stands for zero. */
function decodeQ40(bytes: Uint8Array, out: Float32Array): void {
  const table = halfValues();
  for (let block = 0, at = 0; block < out.length; block += 32, at += 18) {
    const scale = halfAt(table, bytes, at);
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 2 + i]!;
      out[block + i] = scale * ((pair & 15) - 8);
      out[block + 16 + i] = scale * ((pair >> 4) - 8);
    }
  }
}

/** Scale and minimum (halves), 16 bytes as in Q4_0; zero stands for the minimum. */
function decodeQ41(bytes: Uint8Array, out: Float32Array): void {
  const table = halfValues();
  for (let block = 0, at = 0; block < out.length; block += 32, at += 20) {
    const scale = halfAt(table, bytes, at);
    const minimum = halfAt(table, bytes, at + 2);
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 4 + i]!;
      out[block + i] = scale * (pair & 15) + minimum;
      out[block + 16 + i] = scale * (pair >> 4) + minimum;
    }
  }
}

/**
 * Scale of the scales and scale of the minima (halves), eight 6-bit scales and eight 6-bit minima in 12 bytes, 128 bytes of
 * which 32 carry two runs of 32 numbers: low halves, then high halves.
 */
function decodeQ4K(bytes: Uint8Array, out: Float32Array): void {
  const table = halfValues();
  for (let block = 0, at = 0; block < out.length; block += 256, at += 144) {
    const d = halfAt(table, bytes, at);
    const dMinimum = halfAt(table, bytes, at + 2);
    const packed = at + 4;
    for (let run = 0; run < 8; run++) {
      let scale: number;
      let minimum: number;
      if (run < 4) {
        scale = bytes[packed + run]! & 63;
        minimum = bytes[packed + run + 4]! & 63;
      } else {
        const low = bytes[packed + run + 4]!;
        scale = (low & 15) | ((bytes[packed + run - 4]! >> 6) << 4);
        minimum = (low >> 4) | ((bytes[packed + run]! >> 6) << 4);
      }
      const from = at + 16 + 32 * (run >> 1);
      const shift = 4 * (run & 1);
      for (let i = 0; i < 32; i++) {
        const quant = (bytes[from + i]! >> shift) & 15;
        out[block + 32 * run + i] = d * scale * quant - dMinimum * minimum;
      }
    }
  }
}

/** 128 bytes of low halves, 64 bytes of upper pairs of bits, 16 signed scales (each for 16 numbers), scale (half); 32 is zero. */
function decodeQ6K(bytes: Uint8Array, out: Float32Array): void {
  const table = halfValues();
  for (let block = 0, at = 0; block < out.length; block += 256, at += 210) {
    const d = halfAt(table, bytes, at + 208);
    for (let run = 0; run < 8; run++) {
      const half = run >> 2;
      const lane = run & 3;
      const low = at + 64 * half + 32 * (lane & 1);
      const high = at + 128 + 32 * half;
      for (let i = 0; i < 32; i++) {
        const nibble = (bytes[low + i]! >> (4 * (lane >> 1))) & 15;
        const quant = (nibble | (((bytes[high + i]! >> (2 * lane)) & 3) << 4)) - 32;
        const scale = (bytes[at + 192 + 2 * run + (i >> 4)]! << 24) >> 24;
        out[block + 32 * run + i] = d * scale * quant;
      }
    }
  }
}

/** The tensor types that are read, by their number in GGUF. */
export const blockFormats: ReadonlyMap<number, BlockFormat> = new Map([
  [0, { name: 'F32', elements: 1, sizeBytes: 4, decode: decodeF32 }],
  [1, { name: 'F16', elements: 1, sizeBytes: 2, decode: decodeF16 }],
  [2, { name: 'Q4_0', elements: 32, sizeBytes: 18, decode: decodeQ40 }],
  [3, { name: 'Q4_1', elements: 32, sizeBytes: 20, decode: decodeQ41 }],
  [8, { name: 'Q8_0', elements: 32, sizeBytes: 34, decode: decodeQ8 }],
  [12, { name: 'Q4_K', elements: 256, sizeBytes: 144, decode: decodeQ4K }],
  [14, { name: 'Q6_K', elements: 256, sizeBytes: 210, decode: decodeQ6K }],
  [30, { name: 'BF16', elements: 1, sizeBytes: 2, decode: decodeBf16 }],
]);

/** @throws `MODEL_TENSOR_TYPE` for a type that is not read. */
export function blockFormat(type: number, tensor: string): BlockFormat {
  const format = blockFormats.get(type);
  if (format) return format;
  throw new SottoError('A tensor has a type that is not read.', {
    code: 'MODEL_TENSOR_TYPE',
    facts: { tensor, type, types: [...blockFormats.values()].map(({ name }) => name).join(', ') },
    fix: 'Use a file quantised to one of these types, for example Q8_0.',
  });
}
