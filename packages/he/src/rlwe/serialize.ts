import { type ByteReader, type ByteWriter, SottoError, toHex } from '@sotto/base';
import { bitLength } from '../ring/index.js';
import { Ciphertext } from './ciphertext.js';
import type { RingContext } from './context.js';
import { openEnvelope, sealEnvelope } from './envelope.js';
import { type EvaluationKeyId, planOf } from './key-plan.js';
import { SEED_BYTES, type SeededEvaluationKey } from './keys.js';
import { packBits, packedBytes, packedLength, unpackBits } from './packing.js';
import type { Parameters } from './parameters.js';
import type { SeededCiphertext } from './seeded-ciphertext.js';
import { keyBodyBytes } from './wire-size.js';

const KINDS = ['relin', 'galois', 'denseToSparse', 'sparseToDense'] as const;
const SET_ID_BYTES = 16;
const MAX_LOG_SCALE = 256;

/** Body: level, scale, c0, c1. @throws `HE_BASIS` unless the ciphertext is over the basis of its level. */
export function serializeCiphertext(a: Ciphertext): Uint8Array {
  const { context } = a;
  if (a.basis !== context.levelBasis(a.level)) {
    throw new SottoError('Only ciphertexts over the basis of their level have a wire form.', {
      code: 'HE_BASIS',
      facts: { level: a.level },
    });
  }
  const { params } = context;
  const words = context.ring.read(a.c0, 2 * a.basis.size * context.n);
  const rows = [...a.basis.indices, ...a.basis.indices];
  const body = (writer: ByteWriter) => {
    writeShape(writer, a.level, a.scale);
    writeRows(writer, params, words, rows);
  };
  return sealEnvelope('ciphertext', params.digest, body, SHAPE_BYTES + packedBytes(params, rows));
}

/** @throws as {@link openEnvelope}, and `DATA_VALUE` for a level, scale or residue out of range. */
export function deserializeCiphertext(context: RingContext, bytes: Uint8Array): Ciphertext {
  const { params } = context;
  const reader = openEnvelope(bytes, 'ciphertext', params.digest);
  const { level, scale } = readShape(reader, params);
  const rows = params.levels[level].basis;
  const words = readRows(reader, params, [...rows, ...rows], 'ciphertext');
  reader.end();
  const out = new Ciphertext(context, level, scale);
  context.ring.write(out.c0, words);
  return out;
}

/** Body: level, scale, seed, c0. */
export function serializeSeededCiphertext(a: SeededCiphertext): Uint8Array {
  const { parameters } = a;
  const rows = parameters.levels[a.level].basis;
  const body = (writer: ByteWriter) => {
    writeShape(writer, a.level, a.scale);
    writer.bytes(a.seed);
    writeRows(writer, parameters, a.c0, rows);
  };
  const bodyBytes = SHAPE_BYTES + SEED_BYTES + packedBytes(parameters, rows);
  return sealEnvelope('seededCiphertext', parameters.digest, body, bodyBytes);
}

/** @throws as {@link deserializeCiphertext} */
export function deserializeSeededCiphertext(params: Parameters, bytes: Uint8Array): SeededCiphertext {
  const reader = openEnvelope(bytes, 'seededCiphertext', params.digest);
  const { level, scale } = readShape(reader, params);
  const seed = reader.bytes(SEED_BYTES).slice();
  const c0 = readRows(reader, params, params.levels[level].basis, 'seededCiphertext');
  reader.end();
  return { parameters: params, level, scale, seed, c0 };
}

/** Body: kind, Galois element, maxLevel, number of digits, key-set id, seed, b polynomials. */
export function serializeEvaluationKey(key: SeededEvaluationKey): Uint8Array {
  const body = (writer: ByteWriter) => {
    writer.u8(KINDS.indexOf(key.id.kind));
    writer.u32(key.id.kind === 'galois' ? key.id.galois : 0);
    writer.u16(key.plan.maxLevel).u8(key.plan.digits.length);
    writer.bytes(fromHex(key.setId)).bytes(key.seed);
    for (const b of key.b) writeRows(writer, key.parameters, b, key.plan.rows);
  };
  const { parameters, plan } = key;
  return sealEnvelope('evaluationKey', parameters.digest, body, keyBodyBytes(parameters, plan));
}

/** @throws as {@link deserializeCiphertext}, and `HE_KEY_PLAN` when no plan has these digits. */
export function deserializeEvaluationKey(params: Parameters, bytes: Uint8Array): SeededEvaluationKey {
  const reader = openEnvelope(bytes, 'evaluationKey', params.digest);
  const kind = KINDS[reader.u8()];
  const galois = reader.u32();
  const maxLevel = reader.u16();
  const digits = reader.u8();
  if (kind === undefined) throw valueError('evaluationKey', 'kind');
  if (maxLevel >= params.levels.length) throw valueError('evaluationKey', 'maxLevel');
  if (kind === 'galois' ? galois % 2 === 0 || galois >= 2 * params.n : galois !== 0) {
    throw valueError('evaluationKey', 'galois');
  }
  const id: EvaluationKeyId = kind === 'galois' ? { kind, galois } : { kind };
  const plan = planOf(params, kind, maxLevel, digits);
  if (plan.maxLevel !== maxLevel || plan.digits.length !== digits) throw valueError('evaluationKey', 'plan');
  const setId = toHex(reader.bytes(SET_ID_BYTES));
  const seed = reader.bytes(SEED_BYTES).slice();
  const b = plan.digits.map(() => readRows(reader, params, plan.rows, 'evaluationKey'));
  reader.end();
  return { id, plan, setId, parameters: params, seed, b };
}

/** Level and scale. */
const SHAPE_BYTES = 2 + 8;

function writeShape(writer: ByteWriter, level: number, scale: number): void {
  writer.u16(level).f64(scale);
}

function readShape(reader: ByteReader, params: Parameters): { level: number; scale: number } {
  const level = reader.u16();
  const scale = reader.f64();
  if (level >= params.levels.length) throw valueError('ciphertext', 'level');
  if (!(scale >= 1 && Math.log2(scale) < MAX_LOG_SCALE)) throw valueError('ciphertext', 'scale');
  return { level, scale };
}

/** Rows of N residues, packed to the bits of their primes. */
function writeRows(
  writer: ByteWriter,
  params: Parameters,
  words: Uint32Array,
  rows: readonly number[],
): void {
  const { n, primes } = params;
  const packed = new Uint32Array(n);
  rows.forEach((index, row) => {
    writer.words(packBits(words.subarray(row * n, (row + 1) * n), bitLength(primes[index]), packed));
  });
}

/** Inverse of {@link writeRows}; the size is checked before anything is allocated, every residue against its prime. */
function readRows(
  reader: ByteReader,
  params: Parameters,
  rows: readonly number[],
  what: string,
): Uint32Array {
  const { n, primes } = params;
  const sizes = rows.map((index) => packedLength(n, bitLength(primes[index])));
  const packed = reader.words(sizes.reduce((sum, size) => sum + size, 0));
  const words = new Uint32Array(rows.length * n);
  let at = 0;
  rows.forEach((index, row) => {
    const prime = primes[index];
    const out = words.subarray(row * n, (row + 1) * n);
    unpackBits(packed.subarray(at, at + sizes[row]), bitLength(prime), out);
    at += sizes[row];
    let outside = 0;
    for (let i = 0; i < n; i++) outside |= out[i] >= prime ? 1 : 0;
    if (outside !== 0) throw valueError(what, 'residue');
  });
  return words;
}

function valueError(what: string, field: string): SottoError {
  return new SottoError(`The ${what} has a field out of range.`, {
    code: 'DATA_VALUE',
    facts: { field },
    fix: 'Fetch or make it again.',
  });
}

/** Bytes of lower-case hexadecimal text. */
export function fromHex(text: string): Uint8Array {
  return Uint8Array.from({ length: text.length / 2 }, (_, i) =>
    Number.parseInt(text.slice(2 * i, 2 * i + 2), 16),
  );
}
