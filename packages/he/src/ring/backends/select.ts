import { SottoError } from '@sotto/base';
import type { Backend } from '../backend.js';
import { createNativeBackend } from './native/backend.js';
import { loadNativeLibrary, nativeIsas } from './native/library.js';
import { createReferenceBackend } from './reference.js';
import { createWasmBackend } from './wasm/backend.js';

export interface BackendChoice {
  /** The fastest that runs when absent: native vector code, else WebAssembly. */
  name?: 'native' | 'wasm' | 'reference';
  threads?: number;
}

/** @throws BACKEND_UNAVAILABLE when the named backend cannot run here. */
export function selectBackend({ name, threads }: BackendChoice = {}): Backend {
  const options = threads === undefined ? {} : { threads };
  switch (name) {
    case 'reference':
      return createReferenceBackend();
    case 'wasm':
      return createWasmBackend(options);
    case 'native':
      return createNativeBackend(options);
    case undefined:
      try {
        const native = createNativeBackend(options);
        // Without AVX2 an x86 processor runs the WebAssembly kernels twice as fast as the portable C.
        const slow = native.isa === 'portable' && globalThis.process?.arch === 'x64';
        return slow ? createWasmBackend(options) : native;
      } catch (error) {
        if (!SottoError.is(error) || error.code !== 'BACKEND_UNAVAILABLE') throw error;
        return createWasmBackend(options);
      }
    default:
      throw new SottoError('There is no backend of this name.', {
        code: 'BACKEND_UNAVAILABLE',
        facts: { name },
        fix: 'Choose native, wasm or reference.',
      });
  }
}

export interface BackendDescription {
  name: 'native' | 'wasm' | 'reference';
  isa: string;
  available: boolean;
  /** Why it is not available, and what would change that; empty when it is. */
  reason: string;
  fix: string;
}

/** Every backend and instruction set, best first, for a report on this machine. */
export function describeBackends(): BackendDescription[] {
  const probe = (name: BackendDescription['name'], isa: string, open: () => unknown): BackendDescription => {
    try {
      open();
      return { name, isa, available: true, reason: '', fix: '' };
    } catch (error) {
      if (!SottoError.is(error)) throw error;
      return {
        name,
        isa,
        available: false,
        reason: String(error.facts.reason ?? error.short),
        fix: error.fix ?? '',
      };
    }
  };
  return [
    ...nativeIsas.map((isa) => probe('native', isa, () => loadNativeLibrary(isa))),
    probe('wasm', 'simd128', () =>
      createWasmBackend()
        .createRing({ logN: 4, primes: [97] })
        .dispose(),
    ),
    probe('reference', 'scalar', () => {}),
  ];
}
