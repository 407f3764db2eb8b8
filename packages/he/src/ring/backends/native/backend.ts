import { SottoError } from '@sotto/base';
import type { Backend, Ring, RingOptions } from '../../backend.js';
import { CheckedRing } from '../checked-ring.js';
import type { Machine } from '../compiled/functions.js';
import { CompiledKernels } from '../compiled/kernels.js';
import { checkRingOptions } from '../limits.js';
import { loadNativeLibrary, type NativeIsa, type NativeLibrary } from './library.js';

export interface NativeOptions {
  /** Threads that share each kernel, the calling one included; the processors of the machine, at most 16, when absent. */
  threads?: number;
  /** Which library; the best of this processor when absent. */
  isa?: NativeIsa;
}

const HUGE_PAGE_BYTES = 2 ** 21;
const DEFAULT_MAX_THREADS = 16;

/**
 * The fast backend: C kernels for AVX-512, AVX2 or any processor, on a pool of threads that all backends of this size share.
 * Results do not depend on the number of threads.
 * @throws BACKEND_UNAVAILABLE when the library was not built or cannot run here.
 */
export function createNativeBackend({ threads, isa }: NativeOptions = {}): Backend {
  const library = loadNativeLibrary(isa);
  const wanted = threads ?? Math.min(library.processors, DEFAULT_MAX_THREADS);
  if (!Number.isInteger(wanted) || wanted < 1 || wanted > 256) {
    throw new SottoError('The number of threads is not usable.', {
      code: 'HE_RING_ARGUMENT',
      facts: { threads: wanted },
    });
  }
  const pool = threadPool(library, wanted);
  const backend: Backend = {
    name: 'native',
    isa: library.isa,
    threads: pool === 0 ? 1 : library.functions.sotto_pool_threads(pool),
    createRing(options: RingOptions): Ring {
      checkRingOptions(options);
      return new CheckedRing(
        backend,
        options,
        new CompiledKernels(nativeMachine(library, pool, options), options),
      );
    },
  };
  return backend;
}

const pools = new Map<string, number>();

/** Backends of equal size share their threads; these sleep between kernels and end with the process. */
function threadPool({ isa, functions }: NativeLibrary, threads: number): number {
  if (threads === 1) return 0;
  const key = `${isa} ${threads}`;
  let pool = pools.get(key);
  if (pool === undefined) {
    pool = Number(functions.sotto_pool_create(threads));
    pools.set(key, pool);
  }
  return pool;
}

/** Gives back the address space of rings that were dropped without dispose. */
const dropped = new FinalizationRegistry((release: () => void) => release());

function nativeMachine(library: NativeLibrary, pool: number, options: RingOptions): Machine {
  const { functions } = library;
  // Address space for all of the machine's memory; pages become real when they are first written and stay for reuse.
  let limitBytes = Math.ceil(library.totalMemoryBytes / HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES;
  let base = 0;
  while (base === 0) {
    base = Number(functions.sotto_reserve(limitBytes));
    if (base !== 0) break;
    limitBytes = Math.floor(limitBytes / 2 / HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES;
    if (limitBytes < 2 ** 26) {
      throw new SottoError('The system gives no address space for polynomials.', {
        code: 'HE_OUT_OF_MEMORY',
        facts: { neededBytes: 2 ** 26 },
        fix: 'Raise the memory limits of the process.',
      });
    }
  }
  // The first words hold the lists handed over in every call, so they get a view that is made once.
  const VIEW_BYTES = 2 ** 17;
  let staged = new Uint32Array(library.viewBytes(base, VIEW_BYTES));
  const range = { at: base, sizeBytes: limitBytes };
  const file = openColdFile(options);
  const release = () => {
    if (range.sizeBytes === 0) return;
    functions.sotto_release(range.at, range.sizeBytes);
    range.sizeBytes = 0;
    file?.close();
  };
  const machine: Machine = {
    functions,
    base,
    limitBytes,
    coldOutside: false,
    // The file mirrors the addresses, with holes where nothing cold is.
    coldFile: file && {
      map: (at, sizeBytes) => functions.sotto_store_map(file.descriptor, at, at - base, sizeBytes) !== 0,
      unmap: (at, sizeBytes) => {
        functions.sotto_store_unmap(file.descriptor, at, at - base, sizeBytes);
      },
    },
    pool,
    commit: (sizeBytes) => sizeBytes <= limitBytes,
    view(at, words) {
      const offset = at - base;
      if (offset + 4 * words <= VIEW_BYTES) return staged.subarray(offset / 4, offset / 4 + words);
      return new Uint32Array(library.viewBytes(at, 4 * words));
    },
    write: (at, bytes) => library.copyIn(at, bytes),
    read(at, words) {
      const out = new Uint32Array(words);
      library.copyOut(new Uint8Array(out.buffer), at);
      return out;
    },
    dispose() {
      staged = new Uint32Array(0);
      release();
    },
  };
  dropped.register(machine, release);
  return machine;
}

const PAGE_BYTES = 4096;

/** A file that has no name any more, so that it is gone with the process. Null where cold memory is not to be in one. */
function openColdFile({ coldFolder, logN }: RingOptions): { descriptor: number; close(): void } | null {
  const builtin = globalThis.process?.getBuiltinModule;
  if (coldFolder === undefined || builtin === undefined || globalThis.process.platform !== 'linux')
    return null;
  if ((4 * 2 ** logN) % PAGE_BYTES !== 0) return null;
  const { closeSync, openSync, unlinkSync } = builtin('node:fs');
  const { randomBytes } = builtin('node:crypto');
  const path = builtin('node:path').join(coldFolder, `.${randomBytes(16).toString('hex')}.cold`);
  let descriptor: number;
  try {
    descriptor = openSync(path, 'wx+', 0o600);
    unlinkSync(path);
  } catch (cause) {
    throw new SottoError('The folder for cold memory cannot be used.', {
      code: 'HE_COLD_FOLDER',
      facts: { reason: (cause as { code?: string }).code ?? 'unknown' },
      fix: 'Name a folder that exists and is writable, on a disk with room for the keys.',
      cause,
    });
  }
  return { descriptor, close: () => closeSync(descriptor) };
}
