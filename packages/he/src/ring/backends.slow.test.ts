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
