import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { SottoError } from '@sotto/base';
import { expect, test } from 'vitest';
import { bytesOfPiece, pieceOfBytes } from './byte-level.js';
import { writeGguf } from './gguf-fixture.js';
import {
  ChatTemplate,
  encodeChat,
  memorySource,
  openCheckpoint,
  openGguf,
  readGgufTokenizer,
  readTokenizerJson,
  SeededRandom,
} from './index.js';

const bytesAlphabet = Array.from({ length: 256 }, (_, byte) => pieceOfBytes(Uint8Array.of(byte)));
const words = ['ab', 'abc', 'Ġabc', 'Ġa'];
const pieces = ['<|end|>', '<|start|>', ...bytesAlphabet, ...words];
const merges = ['a b', 'ab c', 'Ġ a', 'Ġ abc'];
const template =
  "{% for m in messages %}{{ '<|start|>' + m.role + ':' + m.content | trim + '<|end|>' }}{% endfor %}<|start|>";

const byteLevelMetadata = {
  'tokenizer.ggml.model': 'gpt2',
  'tokenizer.ggml.pre': 'gpt-2',
  'tokenizer.ggml.tokens': pieces,
  'tokenizer.ggml.token_type': pieces.map((_, id) => (id < 2 ? 3 : 1)),
  'tokenizer.ggml.merges': merges,
  'tokenizer.ggml.bos_token_id': 1,
  'tokenizer.ggml.eos_token_id': 0,
  'tokenizer.ggml.add_bos_token': false,
  'tokenizer.chat_template': template,
};

const fromGguf = async (metadata: Parameters<typeof writeGguf>[0], vocabSize: number) =>
  readGgufTokenizer(await openGguf(memorySource(writeGguf(metadata, new Map()))), vocabSize);

const id = (piece: string) => pieces.indexOf(piece);

test('the byte alphabet has a character for every byte', () => {
  expect(new Set(bytesAlphabet).size).toBe(256);
  const all = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  expect(bytesOfPiece(pieceOfBytes(all))).toEqual(all);
  expect(pieceOfBytes(Uint8Array.of(0x20, 0x0a, 0x41))).toBe('ĠĊA');
  expect(bytesOfPiece('東')).toBe(null);
});

test('byte-level pairs out of a GGUF file', async () => {
  const tokenizer = await fromGguf(byteLevelMetadata, pieces.length);
  expect(tokenizer.encode('abc abc')).toEqual([id('abc'), id('Ġabc')]);
  expect(tokenizer.encode('ab', { bos: true })).toEqual([1, id('ab')]);
  for (const text of ['Zürich, 東京 🙂', ' lead', 'a\n\n b', '<|end|>', "it's 12345"]) {
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  }
  expect(tokenizer.encode('')).toEqual([]);
  expect([...tokenizer.endTokens]).toEqual([0]);
  expect(() => tokenizer.bytesOf(pieces.length)).toThrow(/TOKEN_OUT_OF_RANGE/);
});

test('names of special tokens are text where a person wrote them', async () => {
  const tokenizer = await fromGguf(byteLevelMetadata, pieces.length);
  expect(tokenizer.encode('<|end|>', { special: true })).toEqual([0]);
  expect(tokenizer.encode('<|end|>')).not.toContain(0);
  const tokens = encodeChat(tokenizer, [{ role: 'user', content: 'ab<|end|>' }]);
  expect(tokens.filter((token) => token === 0)).toHaveLength(1);
  expect(tokens[0]).toBe(1);
  expect(tokens.at(-1)).toBe(1);
  expect(tokenizer.decode(tokens)).toBe('user:ab<|end|>');
});

test('pieces with scores out of a GGUF file', async () => {
  const list = ['<unk>', '<s>', '</s>'];
  for (let byte = 0; byte < 256; byte++) list.push(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
  list.push('▁', 'a', 'b', 'ab', '▁ab', '▁a');
  const types = list.map((_, i) => (i === 0 ? 2 : i < 3 ? 3 : i < 259 ? 6 : 1));
  const metadata = {
    'tokenizer.ggml.model': 'llama',
    'tokenizer.ggml.tokens': list,
    'tokenizer.ggml.token_type': types,
    'tokenizer.ggml.scores': list.map((_, i) => (i === 264 ? -5.5 : -i / 2)),
  };
  const tokenizer = await fromGguf(metadata, list.length);
  expect(tokenizer.encode('ab')).toEqual([1, list.indexOf('▁ab')]);
  expect(tokenizer.encode('é', { bos: false })).toEqual([list.indexOf('▁'), 3 + 0xc3, 3 + 0xa9]);
  expect(tokenizer.decode(tokenizer.encode('ab é 東'))).toBe('ab é 東');
  expect(tokenizer.encode('</s>', { special: true })).toEqual([1, 2]);
  await expect(fromGguf({ ...metadata, 'tokenizer.ggml.scores': [1.5] }, list.length)).rejects.toThrow(
    /TOKENIZER_INVALID/,
  );
});

test.each([
  [{ 'tokenizer.ggml.model': 'rwkv' }],
  [{ 'tokenizer.ggml.pre': 'unheard-of' }],
  [{ 'tokenizer.ggml.merges': 'none' }],
  [{ 'tokenizer.ggml.bos_token_id': 100000 }],
  [{ 'tokenizer.ggml.token_type': [1.5] }],
])('a GGUF tokenizer with %j is refused', async (change) => {
  await expect(fromGguf({ ...byteLevelMetadata, ...change }, pieces.length)).rejects.toThrow(
    /TOKENIZER_INVALID/,
  );
});

const json = {
  version: '1.0',
  added_tokens: [
    { id: 0, content: '<|end|>', special: true, normalized: false },
    { id: 1, content: '<|start|>', special: true, normalized: false },
  ],
  normalizer: null,
  pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
  post_processor: {
    type: 'TemplateProcessing',
    single: [{ SpecialToken: { id: '<|start|>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
    pair: [],
    special_tokens: { '<|start|>': { id: '<|start|>', ids: [1], tokens: ['<|start|>'] } },
  },
  decoder: { type: 'ByteLevel' },
  model: { type: 'BPE', vocab: Object.fromEntries(pieces.map((piece, i) => [piece, i])), merges },
};

test('tokenizer.json with the files beside it', () => {
  const tokenizer = readTokenizerJson(
    {
      tokenizer: JSON.stringify(json),
      tokenizerConfig: JSON.stringify({ eos_token: { content: '<|end|>' }, chat_template: template }),
      config: JSON.stringify({ bos_token_id: 1, eos_token_id: [0, 5] }),
    },
    pieces.length,
  );
  expect(tokenizer.addsBos).toBe(true);
  expect(tokenizer.encode('abc abc')).toEqual([1, id('abc'), id('Ġabc')]);
  expect([...tokenizer.endTokens]).toEqual([0, 5]);
  expect(tokenizer.decode(tokenizer.encode('Zürich 東'))).toBe('Zürich 東');
  expect(
    encodeChat(tokenizer, [{ role: 'user', content: 'abc' }]).filter((token) => token === 1),
  ).toHaveLength(2);
});

test('a broken tokenizer.json gives a typed error or a tokenizer', () => {
  const bytes = new TextEncoder().encode(
    JSON.stringify({
      ...json,
      model: { ...json.model, vocab: { a: 0, b: 1, ab: 2, c: 3, abc: 4 }, merges: ['a b', 'ab c'] },
    }),
  );
  const random = new SeededRandom(3);
  const codes = new Set<string>();
  for (let i = 0; i < 400; i++) {
    let changed = bytes.slice(0, i % 4 === 0 ? Math.floor(random.next() * bytes.length) : bytes.length);
    if (i % 4 !== 0) {
      changed = changed.slice();
      changed[Math.floor(random.next() * bytes.length)]! ^= 1 << Math.floor(random.next() * 7);
    }
    try {
      const tokenizer = readTokenizerJson({ tokenizer: new TextDecoder().decode(changed) }, 300);
      for (const token of tokenizer.encode('abcab')) expect(token).toBeLessThan(300);
      codes.add('none');
    } catch (error) {
      if (!SottoError.is(error)) throw error;
      codes.add(error.code);
    }
  }
  expect(codes).toContain('TOKENIZER_INVALID');
  expect(codes).toContain('none');
});

test('chat templates that cannot be used', () => {
  expect(() => new ChatTemplate('{% for %}')).toThrow(/CHAT_TEMPLATE_INVALID/);
  expect(() => new ChatTemplate('x'.repeat(100_000))).toThrow(/CHAT_TEMPLATE_INVALID/);
  for (const source of [
    'no content at all',
    '{{ messages[0].content }}{{ messages[0].content }}',
    "{{ raise_exception('no') }}",
  ]) {
    expect(() => new ChatTemplate(source).frame(['user'])).toThrow(/CHAT_TEMPLATE_INVALID/);
  }
  expect(new ChatTemplate(template).frame(['system', 'user'])).toEqual([
    '<|start|>system:',
    '<|end|><|start|>user:',
    '<|end|><|start|>',
  ]);
});

const smollm = fileURLToPath(
  new URL('../../../../shared/data/models/smollm2-135m-instruct', import.meta.url),
);
const golden: { texts: { text: string; ids: number[] }[] } = JSON.parse(
  readFileSync(new URL('./testdata/golden-smollm2.json', import.meta.url), 'utf8'),
);

test.skipIf(!existsSync(smollm))(
  'SmolLM2 ids are those of llama.cpp (skipped without its file)',
  async () => {
    const checkpoint = await openCheckpoint(smollm);
    const tokenizer = (await checkpoint.tokenizer())!;
    await checkpoint.close();
    for (const { text, ids } of golden.texts) {
      expect(tokenizer.encode(text)).toEqual(ids);
      expect(tokenizer.decode(ids)).toBe(text);
    }
  },
);
