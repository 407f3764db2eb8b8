import { SottoError } from '@sotto/base';
import type { Backend, Ring, RingOptions } from '../../backend.js';
import { CheckedRing } from '../checked-ring.js';
import { ABI, type Functions, type Machine, signatures } from '../compiled/functions.js';
import { CompiledKernels } from '../compiled/kernels.js';
import { checkRingOptions } from '../limits.js';
import { wasmBase64 as singleBase64 } from './module.js';
import { wasmBase64 as threadedBase64 } from './threaded-module.js';
import { startWorkers, usefulThreads, workersAvailable } from './threads.js';

export interface WasmOptions {
  /** Threads that share each kernel, the calling one included; the processors, at most 8, when absent. 1 in pages that are not isolated. */
  threads?: number;
}

const PAGE_BYTES = 65536;
const MAX_PAGES = 65536;

const STACK_BYTES = 262144;
const MAX_THREADS = 64;
const DEFAULT_MAX_THREADS = 8;
/** Below this degree the kernels never share their work (`LEAST_PARALLEL_LOG_N` in kernels/pool.h). */
const LEAST_PARALLEL_LOG_N = 12;

const compiled = new Map<string, WebAssembly.Module>();

function compile(base64: string): WebAssembly.Module {
  let module = compiled.get(base64);
  if (module !== undefined) return module;
  try {
    module = new WebAssembly.Module(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)));
  } catch (cause) {
    throw new SottoError('WebAssembly with SIMD does not run here.', {
      code: 'BACKEND_UNAVAILABLE',
      facts: { backend: 'wasm' },
      fix: 'Use Node 20 or a browser of 2023 or later.',
      cause,
    });
  }
  compiled.set(base64, module);
  return module;
}

/**
 * The portable backend: WebAssembly SIMD128, at most 4 GiB a ring besides cold memory. Runs in Node and browsers; rings are made synchronously.
 * With threads (see `threads.ts`) each ring has its own workers, which end when it is disposed of. Results do not depend on threads.
 */
export function createWasmBackend({
  threads = usefulThreads(DEFAULT_MAX_THREADS),
}: WasmOptions = {}): Backend {
  if (!Number.isInteger(threads) || threads < 1 || threads > MAX_THREADS) {
    throw new SottoError('The number of threads is not usable.', {
      code: 'HE_RING_ARGUMENT',
      facts: { threads },
    });
  }
  const real = workersAvailable() ? threads : 1;
  const backend: Backend = {
    name: 'wasm',
    isa: 'simd128',
    threads: real,
    createRing(options: RingOptions): Ring {
      checkRingOptions(options);
      return new CheckedRing(
        backend,
        options,
        new CompiledKernels(wasmMachine(options.logN < LEAST_PARALLEL_LOG_N ? 1 : real), options),
      );
    },
  };
  return backend;
}

/** Lets the workers of rings that were dropped without dispose go. */
const dropped = new FinalizationRegistry((stop: () => void) => stop());

function wasmMachine(threads: number): Machine {
  const shared = threads > 1;
  const module = compile(shared ? threadedBase64 : singleBase64);
  const memory = new WebAssembly.Memory({ initial: 16, maximum: MAX_PAGES, shared });
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const call = (name: string) => exports[name] as (...args: number[]) => number;
  const functions = {} as Functions;
  for (const [name, kinds] of Object.entries(signatures) as [keyof Functions, string][]) {
    const raw = call(name);
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
  const pool = Math.ceil(heapBase / 4096) * 4096;
  // Above the heap base: the pool, then one stack for each worker, then rows.
  const stacks = Array.from({ length: threads - 1 }, (_, i) => pool + 4096 + (i + 1) * STACK_BYTES);
  const base = pool + 4096 + (threads - 1) * STACK_BYTES;
  const missingPages = Math.ceil(base / PAGE_BYTES) - memory.buffer.byteLength / PAGE_BYTES;
  if (missingPages > 0) memory.grow(missingPages);
  const stop = () => {
    if (shared) call('sotto_pool_stop')(pool);
  };
  if (shared) startWorkers({ module, memory, pool, stacks });
  let words = new Uint32Array(memory.buffer);
  let bytes = new Uint8Array(memory.buffer);
  const refresh = () => {
    words = new Uint32Array(memory.buffer);
    bytes = new Uint8Array(memory.buffer);
  };
  const machine: Machine = {
    functions,
    base,
    limitBytes: MAX_PAGES * PAGE_BYTES - base,
    coldOutside: true,
    coldFile: null,
    pool: shared ? pool : 0,
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
      stop();
      words = new Uint32Array(0);
      bytes = new Uint8Array(0);
    },
  };
  if (shared) dropped.register(machine, stop);
  return machine;
}
