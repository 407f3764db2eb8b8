import { expect, it } from 'vitest';
import { buildWasm } from '../../../../../../kernels/build-wasm.mjs';
import * as single from './module.js';
import * as threaded from './threaded-module.js';

for (const [name, committed] of [
  ['module.ts', single],
  ['threaded-module.ts', threaded],
] as const) {
  const { bytes, version, reason } = buildWasm(name);
  // Another release of the compiler may give other bytes.
  const why = reason ?? (version === committed.compiler ? null : `compiler is ${version}`);
  it.skipIf(why !== null)(
    `${name} holds the bytes of kernels/*.c${why === null ? '' : ` (skipped: ${why})`}`,
    () => {
      expect(committed.wasmBase64 === bytes!.toString('base64'), 'run npm run kernels:wasm').toBe(true);
    },
  );
}
