import { readFileSync } from 'node:fs';
import { SottoError } from '@sotto/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { randomModel, toGguf, writeGguf } from './gguf-fixture.js';
import {
  assembleGguf,
  embeddedModel,
  memorySource,
  openGguf,
  openSafetensors,
  readHuggingFaceConfig,
  readLlama2c,
  readTextVocabulary,
  readTokenizer,
  toHuggingFace,
  writeLlama2c,
  writeSafetensors,
} from './index.js';

/** A change of a valid file; places count from its start, where the structure is, three times out of four. */
const mutation = fc.oneof(
  fc.record({ kind: fc.constant('flip' as const), at: fc.nat(), bit: fc.nat(7), head: fc.boolean() }),
  fc.record({ kind: fc.constant('cut' as const), at: fc.nat() }),
  fc.record({ kind: fc.constant('fill' as const), at: fc.nat(), value: fc.constantFrom(0, 0x7f, 0xff) }),
  fc.record({ kind: fc.constant('insert' as const), at: fc.nat(), bytes: fc.uint8Array({ maxLength: 16 }) }),
);
type Mutation = typeof mutation extends fc.Arbitrary<infer T> ? T : never;

const HEAD_BYTES = 512;

function mutated(valid: Uint8Array, changes: readonly Mutation[]): Uint8Array {
  let bytes = Uint8Array.from(valid);
  for (const change of changes) {
    if (bytes.length === 0) break;
    const at = change.at % bytes.length;
    const early = change.at % Math.min(bytes.length, HEAD_BYTES);
    if (change.kind === 'cut') bytes = bytes.slice(0, at);
    else if (change.kind === 'flip') bytes[change.head ? early : at]! ^= 1 << change.bit;
    else if (change.kind === 'fill') bytes.fill(change.value, early, early + 8);
    else bytes = Uint8Array.from([...bytes.subarray(0, early), ...change.bytes, ...bytes.subarray(early)]);
  }
  return bytes;
}

const model = randomModel(false);
const text = (value: string) => new TextEncoder().encode(value);
const read = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

const readers: readonly [name: string, valid: Uint8Array, reader: (bytes: Uint8Array) => unknown][] = [
  ['llama2.c', writeLlama2c(model), readLlama2c],
  [
    'safetensors',
    writeSafetensors(toHuggingFace(model).tensors),
    async (bytes) => {
      const store = await openSafetensors(memorySource(bytes));
      for (const name of store.shapes.keys()) await store.read(name);
    },
  ],
  [
    'GGUF',
    writeGguf(...toGguf(model)),
    async (bytes) => assembleGguf(await openGguf(memorySource(bytes)), 'digest'),
  ],
  ['config.json', text(toHuggingFace(model).config), (b) => readHuggingFaceConfig(read(b))],
  ['tokenizer.bin', readFileSync(embeddedModel.tokenizer), (bytes) => readTokenizer(bytes, 512)],
  [
    'vocabulary',
    text('<unk>\t0\n<s>\t0\n</s>\t0\na\t-1\nab\t-2\n'),
    (bytes) => readTextVocabulary(read(bytes)),
  ],
];

test.each(readers)(
  '%s: a damaged file is read or refused, with bounded time and memory',
  async (_, valid, reader) => {
    await reader(valid);
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 4 }), async (changes) => {
        const bytes = mutated(valid, changes);
        const before = process.memoryUsage().arrayBuffers;
        const startMs = performance.now();
        try {
          await reader(bytes);
        } catch (error) {
          if (!SottoError.is(error)) throw error;
          refused++;
        }
        expect(performance.now() - startMs).toBeLessThan(5000);
        expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * valid.length + 2 ** 24);
      }),
      { numRuns: 100 },
    );
    expect(refused).toBeGreaterThan(valid.length > 20 ? 10 : -1);
  },
);
