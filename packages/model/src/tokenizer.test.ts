import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { BOS_TOKEN, embeddedModel, readTextVocabulary, readTokenizer } from './index.js';

const bytes = new Uint8Array(readFileSync(embeddedModel.tokenizer));
const tokenizer = readTokenizer(bytes, 512);

test('texts survive encode and decode', () => {
  for (const text of [
    'Once upon a time',
    ' leading space',
    'Lily\nand\tBen',
    'Zürich, 東京 🙂',
    '<s>',
    'a',
    '  ',
  ]) {
    const tokens = tokenizer.encode(text);
    expect(tokens[0]).toBe(BOS_TOKEN);
    expect(tokens.slice(1).every((token) => token > 2)).toBe(true);
    expect(tokenizer.decode(tokens)).toBe(text);
  }
  expect(tokenizer.encode('')).toEqual([BOS_TOKEN]);
  expect(tokenizer.encode('Lily', { bos: false })[0]).not.toBe(BOS_TOKEN);
});

test('a character without a piece becomes its bytes, three up', () => {
  const tokens = tokenizer.encode('東', { bos: false });
  expect(tokens.slice(-3)).toEqual([0xe6 + 3, 0x9d + 3, 0xb1 + 3]);
});

test('merging takes the best pair first', () => {
  expect(tokenizer.encode('Once upon a time', { bos: false })).toEqual([403, 407, 261, 378]);
});

test('broken files and tokens are refused', () => {
  expect(() => readTokenizer(bytes.subarray(0, 3000), 512)).toThrow(/DATA_TRUNCATED/);
  expect(() => readTokenizer(bytes, 511)).toThrow(/DATA_TRAILING_BYTES/);
  const absurd = bytes.slice();
  new DataView(absurd.buffer).setInt32(8, 1 << 30, true);
  expect(() => readTokenizer(absurd, 512)).toThrow(/TOKENIZER_INVALID/);
  expect(() => tokenizer.decode([512])).toThrow(/TOKEN_OUT_OF_RANGE/);
});

test('a vocabulary without byte pieces refuses unknown characters without repeating them', () => {
  const small = readTextVocabulary('<unk>\t0\n<s>\t0\n</s>\t0\n\u2581\t-1\na\t-2\nb\t-3\nab\t-1.5\n');
  expect(small.encode('ab a')).toEqual([1, 3, 6, 3, 4]);
  expect(small.decode([1, 3, 6, 3, 4])).toBe('ab a');
  let message = '';
  try {
    small.encode('abc');
  } catch (error) {
    message = String(error);
  }
  expect(message).toMatch(/TOKENIZER_CHARACTER_UNKNOWN/);
  expect(message).toMatch(/position: 2/);
  expect(message).not.toContain('abc');
  expect(() => readTextVocabulary('<unk>\n')).toThrow(/TOKENIZER_INVALID/);
});

const vocabulary = new URL(
  '../../../../shared/data/models/babyllama-char-0.9M/tok105.vocab',
  import.meta.url,
);

test.skipIf(!existsSync(vocabulary))('the character vocabulary of a second model', () => {
  const characters = readTextVocabulary(readFileSync(vocabulary, 'utf8'));
  expect(characters.vocabSize).toBe(105);
  expect(characters.decode(characters.encode('Once upon a time'))).toBe('Once upon a time');
});
