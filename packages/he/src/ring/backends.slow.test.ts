import { expect, it } from 'vitest';
import type { Backend } from './backend.js';
import { createNativeBackend } from './backends/native/backend.js';
import { nativeIsas } from './backends/native/library.js';
import { createReferenceBackend } from './backends/reference.js';
import { describeBackends } from './backends/select.js';
import { createWasmBackend } from './backends/wasm/backend.js';
import { runEveryKernel, Workbench } from './conformance.js';

const missing = new Set(
  describeBackends()
    .filter((d) => !d.available)
    .map((d) => d.isa),
);
const backends: [string, () => Backend][] = [
  ['simd128', () => createWasmBackend({ threads: 1 })],
  ['simd128', () => createWasmBackend({ threads: 2 })],
  ...nativeIsas.map((isa): [string, () => Backend] => [isa, () => createNativeBackend({ isa, threads: 2 })]),
];

it('WebAssembly holds more cold memory than it can address', () => {
  const { ring, full } = new Workbench(createWasmBackend({ threads: 1 }), 16, 5);
  const rows = 2 ** 30 / (4 * ring.n);
  const runs = Array.from({ length: 5 }, () => ring.allocCold(rows));
  expect(ring.memory().liveBytes).toBeGreaterThan(2 ** 32);
  const at = runs[4]! + (rows - full.size) * 4 * ring.n;
  const out = ring.alloc(full.size);
  ring.uniform(out, new Uint8Array(32), 0, full);
  const words = ring.read(out, full.size * ring.n);
  ring.write(
    at,
    Uint32Array.from(words, (_, i) => 2 ** 32 % ring.primes[full.indices[Math.floor(i / ring.n)]!]!),
  );
  ring.mul(out, out, at, full);
  expect(ring.read(out, words.length)).toEqual(words);
  for (const run of runs) ring.free(run);
  ring.dispose();
});

it('every backend gives the words of the reference at the degrees in use', { timeout: 900_000 }, () => {
  for (const logN of [15, 16, 17]) {
    const want = runEveryKernel(new Workbench(createReferenceBackend(), logN, 5));
    for (const [isa, create] of backends.filter(([name]) => !missing.has(name))) {
      const bench = new Workbench(create(), logN, 5);
      for (const [name, words] of runEveryKernel(bench)) {
        const other = want.get(name)!;
        const at = words.findIndex((word, i) => word !== other[i]);
        expect(at, `${name} with ${isa} at 2^${logN}`).toBe(-1);
      }
      bench.ring.dispose();
    }
  }
});
