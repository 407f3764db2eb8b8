import { expect, it } from 'vitest';
import { buildWasm } from '../../../../../../kernels/build-wasm.mjs';
import { wasmBase64 } from './module.js';

const { bytes, reason } = buildWasm();

it.skipIf(bytes === null)(
  `holds the bytes of kernels/*.c${reason === null ? '' : ` (skipped: ${reason})`}`,
  () => {
    expect(wasmBase64 === bytes!.toString('base64'), 'run npm run kernels:wasm').toBe(true);
  },
);
