import { SottoError } from '@sotto/base';
import { type WordVectors, wordVectors } from './vectors.js';
import { SANITIZED_WORD } from './wink.js';

/**
 * Word vectors as text, one word a line with its coordinates behind it (GloVe, fastText, word2vec text format; a first line with two
 * counts is skipped). Words must come most frequent first; those that the sanitizer does not treat as words are left out.
 *
 * @throws `VECTORS_INVALID`
 */
export function readTextVectors(text: string, wordCount: number): WordVectors {
  const words: string[] = [];
  const rows: Float32Array[] = [];
  const seen = new Set<string>();
  let at = 0;
  while (at < text.length && words.length < wordCount) {
    const end = text.indexOf('\n', at);
    const fields = text
      .slice(at, end < 0 ? undefined : end)
      .trimEnd()
      .split(' ');
    at = end < 0 ? text.length : end + 1;
    const word = fields[0]!;
    if (fields.length <= 2 || !SANITIZED_WORD.test(word) || seen.has(word)) continue;
    seen.add(word);
    words.push(word);
    rows.push(Float32Array.from(fields.slice(1), Number));
  }
  const dimension = rows[0]?.length ?? 0;
  if (rows.some(({ length }) => length !== dimension)) {
    throw new SottoError('The lines of the word vectors differ in length.', {
      code: 'VECTORS_INVALID',
      facts: { dimension },
      fix: 'Give one word a line, followed by as many numbers in every line.',
    });
  }
  const values = new Float32Array(words.length * dimension);
  rows.forEach((row, i) => {
    values.set(row, i * dimension);
  });
  return wordVectors(words, dimension, values);
}
