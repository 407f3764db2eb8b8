import { describe, expect, it } from 'vitest';
import type { Backend } from './backend.js';
import { createNativeBackend } from './backends/native/backend.js';
import { nativeIsas } from './backends/native/library.js';
import { createNullBackend } from './backends/null.js';
import { createReferenceBackend } from './backends/reference.js';
import { describeBackends, selectBackend } from './backends/select.js';
import { createWasmBackend } from './backends/wasm/backend.js';
import {
  checkConversions,
  checkErrors,
  checkMemory,
  checkPermute,
  checkTransform,
  runEveryKernel,
  Workbench,
} from './conformance.js';

const described = describeBackends();
const missing = new Set(described.filter((d) => !d.available).map((d) => `${d.name} ${d.isa}`));
const factories: [string, () => Backend][] = [
  ['reference scalar', createReferenceBackend],
  ['wasm simd128', () => createWasmBackend({ threads: 1 })],
  ...nativeIsas.map((isa): [string, () => Backend] => [
    `native ${isa}`,
    () => createNativeBackend({ isa, threads: 1 }),
  ]),
];

// Degrees around every change of method: below and above one register block, below and above one cache block.
const degrees = [4, 5, 6, 7, 8, 9, 11, 12, 13, 14];
const primeCount = (logN: number) => (logN === 9 ? 30 : logN <= 11 ? 9 : 5);

const expected = new Map<number, Map<string, Uint32Array>>();
function reference(logN: number): Map<string, Uint32Array> {
  let words = expected.get(logN);
  if (words === undefined) {
    words = runEveryKernel(new Workbench(createReferenceBackend(), logN, primeCount(logN)));
    expected.set(logN, words);
  }
  return words;
}

function expectSameWords(backend: Backend, logN: number): void {
  expectWordsOf(new Workbench(backend, logN, primeCount(logN)));
}

function expectWordsOf(bench: Workbench): void {
  const { logN } = bench.ring;
  const got = runEveryKernel(bench);
  const want = reference(logN);
  expect([...got.keys()]).toEqual([...want.keys()]);
  for (const [name, words] of want) {
    const mine = got.get(name)!;
    const at = mine.findIndex((word, i) => word !== words[i]);
    expect(at, `${name} at 2^${logN}: first different word`).toBe(-1);
  }
  bench.ring.dispose();
}

describe.each(factories)('%s', (name, create) => {
  const runs = it.skipIf(missing.has(name));
  runs('multiplies polynomials', () => {
    for (const logN of [4, 7, 10]) checkTransform(new Workbench(create(), logN, 5));
  });
  runs('permutes coefficients', () => {
    for (const logN of [4, 6, 8, 11]) checkPermute(new Workbench(create(), logN, 4));
  });
  runs('extends and divides like big integers', () => {
    for (const [logN, primes] of [
      [4, 5],
      [6, 28],
      [9, 18],
    ] as const)
      checkConversions(new Workbench(create(), logN, primes));
  });
  runs('keeps account of memory', () => checkMemory(create()));
  runs('refuses bad arguments', () => checkErrors(create()));
  runs.skipIf(name === 'reference scalar')('gives the words of the reference', () => {
    for (const logN of degrees) expectSameWords(create(), logN);
  });
});

/** Thousands of short parallel regions in a row: what a lost or repeated item would spoil. */
function manyRegions(backend: Backend): Uint32Array {
  const { ring, full } = new Workbench(backend, 12, 5);
  const [a, b] = [ring.alloc(full.size), ring.alloc(full.size)];
  ring.uniform(a, new Uint8Array(32), 0, full);
  ring.uniform(b, new Uint8Array(32), 1, full);
  for (let i = 0; i < 1500; i++) {
    ring.mulAdd(a, a, b, full);
    if (i % 4 === 0) ring.ntt(a, full);
  }
  const words = ring.read(a, full.size * ring.n);
  ring.dispose();
  return words;
}

describe('threads', () => {
  const single = () => manyRegions(createWasmBackend({ threads: 1 }));
  it.skipIf(missing.has('native portable'))('do not change a word of native', () => {
    for (const threads of [2, 3]) expectSameWords(createNativeBackend({ threads }), 13);
    expect(createNativeBackend({ threads: 3 }).threads).toBe(3);
    expect(manyRegions(createNativeBackend({ threads: 3 }))).toEqual(single());
  });
  it('do not change a word of WebAssembly', async () => {
    for (const threads of [2, 3]) {
      const bench = new Workbench(createWasmBackend({ threads }), 13, primeCount(13));
      // Workers join when they have started.
      await new Promise((resolve) => setTimeout(resolve, 300));
      expectWordsOf(bench);
    }
    expect(createWasmBackend({ threads: 3 }).threads).toBe(3);
    expect(manyRegions(createWasmBackend({ threads: 3 }))).toEqual(single());
    checkMemory(createWasmBackend({ threads: 2 }));
  });
  it('are refused when there can be none', () => {
    for (const threads of [0, 1.5, 1000]) {
      expect(() => createWasmBackend({ threads })).toThrow('HE_RING_ARGUMENT');
      if (!missing.has('native portable')) {
        expect(() => createNativeBackend({ threads })).toThrow('HE_RING_ARGUMENT');
      }
    }
  });
});

describe('null backend', () => {
  it('counts the same work and memory as a real one', () => {
    const real = new Workbench(createReferenceBackend(), 6, 8);
    const none = new Workbench(createNullBackend(), 6, 8);
    runEveryKernel(real);
    runEveryKernel(none);
    expect(none.ring.counts()).toEqual(real.ring.counts());
    expect(none.ring.counts().ntt).toBeGreaterThan(0);
    expect(none.ring.memory()).toEqual(real.ring.memory());
    none.ring.resetCounts();
    expect(none.ring.counts().ntt).toBe(0);
  });
});

describe('selection', () => {
  it('takes native when it is there, else WebAssembly', () => {
    const native = described.some((d) => d.name === 'native' && d.available);
    expect(selectBackend({ threads: 1 }).name).toBe(native ? 'native' : 'wasm');
    expect(selectBackend({ name: 'wasm' }).name).toBe('wasm');
    expect(selectBackend({ name: 'reference' }).name).toBe('reference');
  });
  it('says why a backend is missing', () => {
    expect(described.map((d) => d.isa)).toEqual(['avx512', 'avx2', 'portable', 'simd128', 'scalar']);
    for (const d of described)
      expect(d.available ? '' : d.reason.length > 0, d.isa).toBe(d.available ? '' : true);
  });
});
