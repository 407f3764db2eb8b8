import { ByteReader, ByteWriter, SottoError, sha256, toHex } from '@sotto/base';
import { type Block, type BlockStage, type SanitizerTable, structureError } from './table.js';

const MAGIC = 'SOTTOSAN';
const VERSION = 1;
const DIGEST_BYTES = 32;
const LARGEST_BLOCK = 4096;
const LARGEST_VOCABULARY = 1 << 20;

/** A table as a file: little-endian fields, then the SHA-256 of everything before. Equal tables give equal bytes. */
export function encodeTable(table: SanitizerTable): Uint8Array {
  const out = new ByteWriter();
  out.bytes(new TextEncoder().encode(MAGIC)).u16(VERSION);
  out
    .u8(table.notion === 'ldp-within-block' ? 1 : 2)
    .text(table.name)
    .text(table.provenance);
  out.text(table.claimed.numerator.toString()).text(table.claimed.denominator.toString());
  out.u32(table.high).u32(table.low).u16(table.k).u16(table.m);
  out.u32(table.commonWords).u32(table.words.length);
  for (const word of table.words) out.text(word);
  out.u32(table.blocks.length);
  for (const { members, weights } of table.blocks) {
    out.u16(members.length).words(members);
    if (weights.kind === 'staircase') {
      out.u8(1).u16(weights.near);
      for (const at of weights.support) out.u16(at);
    } else {
      out.u8(2).words(weights.rows);
    }
  }
  if (table.stage === null) out.u8(0);
  else {
    const { high, low, near, support } = table.stage;
    out.u8(1).u32(high).u32(low).u16(near).words(support);
  }
  return out.bytes(sha256(out.finish())).finish();
}

/** Hex SHA-256 that names a table file: the digest at its end. */
export function tableDigest(bytes: Uint8Array): string {
  return toHex(bytes.subarray(Math.max(0, bytes.length - DIGEST_BYTES)));
}

/**
 * Reads a table file; every length, id and weight is checked. Whether the claim holds is for `certify` to say.
 * @throws `TABLE_CORRUPT`, `TABLE_VERSION`, `DATA_TRUNCATED`, `DATA_TRAILING_BYTES`, `TABLE_STRUCTURE`
 */
export function decodeTable(bytes: Uint8Array): SanitizerTable {
  const body = bytes.subarray(0, Math.max(0, bytes.length - DIGEST_BYTES));
  if (bytes.length < DIGEST_BYTES || toHex(sha256(body)) !== tableDigest(bytes)) {
    throw new SottoError('The sanitizer table does not match its digest.', {
      code: 'TABLE_CORRUPT',
      facts: { sizeBytes: bytes.length },
      fix: 'Fetch or build the table again.',
    });
  }
  const reader = new ByteReader(body, 'sanitizer table');
  const magic = new TextDecoder().decode(reader.bytes(MAGIC.length));
  const version = reader.u16();
  if (magic !== MAGIC || version !== VERSION) {
    throw new SottoError('The file is no sanitizer table of a known version.', {
      code: 'TABLE_VERSION',
      facts: { version, expectedVersion: VERSION },
      fix: 'Use a table built for this version.',
    });
  }
  const notionCode = reader.u8();
  if (notionCode !== 1 && notionCode !== 2) structureError('unknown notion', notionCode);
  const name = reader.text();
  const provenance = reader.text();
  const claimed = { numerator: readInteger(reader), denominator: readInteger(reader) };
  if (claimed.numerator < claimed.denominator) structureError('claimed ratio below 1', 0);
  const high = reader.u32();
  const low = reader.u32();
  const k = reader.u16();
  const m = reader.u16();
  const commonWords = reader.u32();
  const wordCount = reader.u32();
  if (wordCount === 0 || wordCount > LARGEST_VOCABULARY) structureError('number of words', wordCount);
  if (commonWords > wordCount) structureError('number of common words', commonWords);
  const words = Array.from({ length: wordCount }, () => reader.text());
  if (new Set(words).size !== wordCount) structureError('a word occurs twice', 0);
  const blockCount = reader.u32();
  if (blockCount === 0 || blockCount > wordCount) structureError('number of blocks', blockCount);
  const blocks: Block[] = [];
  for (let b = 0; b < blockCount; b++) blocks.push(readBlock(reader, b, wordCount, commonWords, high, low));
  const stage = reader.u8() === 0 ? null : readStage(reader, blockCount);
  reader.end();
  if ((notionCode === 2) !== (stage !== null)) structureError('notion and block stage disagree', notionCode);
  return {
    name,
    provenance,
    notion: notionCode === 1 ? 'ldp-within-block' : 'ldp-whole-vocabulary',
    claimed,
    high,
    low,
    k,
    m,
    words,
    commonWords,
    blocks,
    stage,
  };
}

function readInteger(reader: ByteReader): bigint {
  const text = reader.text();
  if (!/^[1-9]\d{0,199}$/.test(text)) structureError('integer', reader.offset);
  return BigInt(text);
}

function readBlock(
  reader: ByteReader,
  b: number,
  wordCount: number,
  commonWords: number,
  high: number,
  low: number,
): Block {
  const k = reader.u16();
  if (k === 0 || k > LARGEST_BLOCK) structureError('block size', b);
  const members = reader.words(k);
  if (members.some((word) => word >= wordCount)) structureError('word id', b);
  if (members.some((word) => word < commonWords !== members[0]! < commonWords)) {
    structureError('a block mixes common words with others', b);
  }
  if (reader.u8() === 2) {
    const rows = reader.words(k * k);
    for (let x = 0; x < k; x++) checkTotal(rows.subarray(x * k, (x + 1) * k), b);
    return { members, weights: { kind: 'dense', rows } };
  }
  const near = reader.u16();
  if (near === 0 || near > k) structureError('number of near outputs', b);
  if (near * high + (k - near) * low >= 2 ** 31 || low === 0) structureError('weights', b);
  const packed = reader.bytes(2 * k * near);
  const support = new Uint16Array(k * near);
  for (let i = 0; i < support.length; i++) support[i] = packed[2 * i]! | (packed[2 * i + 1]! << 8);
  for (let x = 0; x < k; x++) {
    const row = support.subarray(x * near, (x + 1) * near);
    if (new Set(row).size !== near || row.some((at) => at >= k)) structureError('near outputs', b);
  }
  return { members, weights: { kind: 'staircase', near, support } };
}

/** The sampler's running sums must stay below 2^31. */
function checkTotal(row: Uint32Array, at: number): void {
  let sum = 0;
  for (const weight of row) sum += weight;
  if (sum === 0 || sum >= 2 ** 31) structureError('weights', at);
}

function readStage(reader: ByteReader, blockCount: number): BlockStage {
  const high = reader.u32();
  const low = reader.u32();
  const near = reader.u16();
  if (near === 0 || near > blockCount) structureError('near blocks', near);
  if (low === 0 || near * high + (blockCount - near) * low >= 2 ** 31) structureError('weights', 0);
  const support = reader.words(blockCount * near);
  for (let b = 0; b < blockCount; b++) {
    const row = support.subarray(b * near, (b + 1) * near);
    if (row.some((to) => to >= blockCount) || new Set(row).size !== near || !row.includes(b)) {
      structureError('near blocks', b);
    }
  }
  return { high, low, near, support };
}
