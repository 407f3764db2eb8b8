import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import { type WordVectors, wordVectors } from './vectors.js';

/**
 * Vectors of the words of some blocks of the shipped tables (every 50th), rounded to 8 bits: enough to judge published mechanisms on
 * these blocks. Public GloVe vectors, see `data/README.md`.
 */
export async function readBlockVectors(): Promise<WordVectors> {
  const packed = await readFile(new URL('../../data/block-vectors.json.gz', import.meta.url));
  const { words, dimension, values } = JSON.parse(gunzipSync(packed).toString('utf8')) as {
    words: string[];
    dimension: number;
    values: string;
  };
  return wordVectors(words, dimension, Float32Array.from(new Int8Array(Buffer.from(values, 'base64'))));
}
