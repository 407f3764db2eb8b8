import { SottoError } from '@sotto/base';
import type { Backend, Ring, RingOptions } from '../../backend.js';
import { CheckedRing, checkRingOptions } from '../checked-ring.js';
import { ABI, type Functions, type Machine, signatures } from '../compiled/functions.js';
import { CompiledKernels } from '../compiled/kernels.js';
import { wasmBase64 } from './module.js';

const PAGE_BYTES = 65536;
const MAX_PAGES = 65536;

let compiled: WebAssembly.Module | undefined;

function compile(): WebAssembly.Module {
  if (compiled !== undefined) return compiled;
  try {
    compiled = new WebAssembly.Module(Uint8Array.from(atob(wasmBase64), (c) => c.charCodeAt(0)));
  } catch (cause) {
    throw new SottoError('WebAssembly with SIMD does not run here.', {
      code: 'BACKEND_UNAVAILABLE',
      facts: { backend: 'wasm' },
      fix: 'Use Node 20 or a browser of 2023 or later.',
      cause,
    });
  }
  return compiled;
}

/**
 * The portable backend: WebAssembly SIMD128, one thread, at most 4 GiB a ring. Runs in Node and browsers; rings are made
 * synchronously.
 */
export function createWasmBackend(): Backend {
  const backend: Backend = {
    name: 'wasm',
    isa: 'simd128',
    threads: 1,
    createRing(options: RingOptions): Ring {
      checkRingOptions(options);
      return new CheckedRing(backend, options, new CompiledKernels(wasmMachine(compile()), options));
    },
  };
  return backend;
}

function wasmMachine(module: WebAssembly.Module): Machine {
  const memory = new WebAssembly.Memory({ initial: 16, maximum: MAX_PAGES });
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const functions = {} as Functions;
  for (const [name, kinds] of Object.entries(signatures) as [keyof Functions, string][]) {
    const raw = exports[name] as (...args: number[]) => number;
    functions[name] = kinds[0] === 'v' ? raw : (...args) => raw(...args) >>> 0;
  }
  if (functions.sotto_abi() !== ABI) {
    throw new SottoError('The WebAssembly module does not fit this version.', {
      code: 'BACKEND_UNAVAILABLE',
      facts: { backend: 'wasm', abi: functions.sotto_abi(), expected: ABI },
      fix: 'Rebuild it with `npm run kernels:wasm`.',
    });
  }
  const heapBase = (exports.__heap_base as WebAssembly.Global).value as number;
  const base = Math.ceil(heapBase / 4096) * 4096;
  let words = new Uint32Array(memory.buffer);
  let bytes = new Uint8Array(memory.buffer);
  const refresh = () => {
    words = new Uint32Array(memory.buffer);
    bytes = new Uint8Array(memory.buffer);
  };
  return {
    functions,
    base,
    limitBytes: MAX_PAGES * PAGE_BYTES - base,
    pool: 0,
    commit(sizeBytes) {
      const have = memory.buffer.byteLength / PAGE_BYTES;
      const need = Math.ceil((base + sizeBytes) / PAGE_BYTES);
      if (need <= have) return true;
      // Growing by a quarter keeps the number of growths small; near the limit only what is needed.
      for (const pages of [Math.min(MAX_PAGES, Math.ceil(1.25 * have)), need]) {
        if (pages < need) continue;
        try {
          memory.grow(pages - have);
          refresh();
          return true;
        } catch {}
      }
      return false;
    },
    view: (at, count) => words.subarray(at / 4, at / 4 + count),
    write: (at, data) => bytes.set(data, at),
    read: (at, count) => words.slice(at / 4, at / 4 + count),
    dispose() {
      words = new Uint32Array(0);
      bytes = new Uint8Array(0);
    },
  };
}
