import { SottoError } from '@sotto/base';
import { ABI, type Functions, signatures } from '../compiled/functions.js';

/** Instruction sets with a library of their own, best first. */
export const nativeIsas = ['avx512', 'avx2', 'portable'] as const;
export type NativeIsa = (typeof nativeIsas)[number];

/** Functions that only the native libraries have; kinds as in `signatures`. */
const nativeSignatures = {
  sotto_best_isa: 'i',
  sotto_reserve: 'pl',
  sotto_release: 'vpl',
  sotto_store_map: 'iipll',
  sotto_store_unmap: 'vipll',
  sotto_pool_create: 'pi',
  sotto_pool_threads: 'ip',
  sotto_pool_destroy: 'vp',
} as const;

type Address = number;

export interface NativeLibrary {
  readonly isa: NativeIsa;
  readonly functions: Functions & Record<keyof typeof nativeSignatures, (...args: number[]) => number>;
  /** Copies between the process's memory and a typed array. */
  copyIn(to: Address, from: Uint8Array): void;
  copyOut(to: Uint8Array, from: Address): void;
  /** An ArrayBuffer over native memory. */
  viewBytes(at: Address, sizeBytes: number): ArrayBuffer;
  readonly totalMemoryBytes: number;
  readonly processors: number;
}

interface KoffiLibrary {
  func(name: string, result: string, parameters: string[]): (...args: unknown[]) => unknown;
}

interface Koffi {
  load(path: string): KoffiLibrary;
  view(address: bigint | number, sizeBytes: number): ArrayBuffer;
}

function unavailable(reason: string, fix: string, cause?: unknown): SottoError {
  return new SottoError('The native kernels cannot be used here.', {
    code: 'BACKEND_UNAVAILABLE',
    facts: { backend: 'native', reason },
    fix,
    cause,
  });
}

const loaded = new Map<NativeIsa | 'best', NativeLibrary | SottoError>();

/**
 * Loads the library of one instruction set, or of the best this processor has.
 * @throws BACKEND_UNAVAILABLE
 */
export function loadNativeLibrary(isa: NativeIsa | 'best' = 'best'): NativeLibrary {
  let result = loaded.get(isa);
  if (result === undefined) {
    try {
      result = load(isa);
    } catch (error) {
      if (!SottoError.is(error)) throw error;
      result = error;
    }
    loaded.set(isa, result);
  }
  if (SottoError.is(result)) throw result;
  return result;
}

/** Apart from the address that it is part of: bundlers would take the libraries into a page. */
const built = '../../../../../../build/native/';

function load(isa: NativeIsa | 'best'): NativeLibrary {
  // Node's modules are asked for at run time, so that browsers can load this file.
  const builtin = globalThis.process?.getBuiltinModule;
  if (builtin === undefined) throw unavailable('not running in Node', 'Use the WebAssembly backend.');
  const { createRequire } = builtin('node:module');
  const { existsSync } = builtin('node:fs');
  const { fileURLToPath } = builtin('node:url');
  const os = builtin('node:os');
  let koffi: Koffi;
  try {
    koffi = createRequire(import.meta.url)('koffi') as Koffi;
  } catch (cause) {
    throw unavailable(
      'the optional package koffi is not installed',
      'Run `npm install` with optional packages.',
      cause,
    );
  }
  const extension = os.platform() === 'darwin' ? 'dylib' : 'so';
  const path = (name: NativeIsa) =>
    fileURLToPath(new URL(`${built}libsotto-${name}.${extension}`, import.meta.url));
  const open = (name: NativeIsa) => {
    if (!existsSync(path(name)))
      throw unavailable(`the ${name} library is not built`, 'Run `npm run build` with a C compiler.');
    try {
      return koffi.load(path(name));
    } catch (cause) {
      throw unavailable(
        `the ${name} library does not load`,
        'Delete build/native and run `npm run build`.',
        cause,
      );
    }
  };
  // The portable library runs on every processor, so it is the one to ask what this processor has.
  const best = Number(bind(open('portable'), 'sotto_best_isa', 'i')());
  const runs = { portable: true, avx2: best >= 2, avx512: best >= 3 };
  const chosen = isa === 'best' ? nativeIsas.find((name) => runs[name] && existsSync(path(name)))! : isa;
  if (!runs[chosen]) throw unavailable(`this processor has no ${chosen}`, 'Use another instruction set.');
  const library = open(chosen);
  const functions = Object.fromEntries(
    Object.entries({ ...signatures, ...nativeSignatures }).map(([name, kinds]) => [
      name,
      bind(library, name, kinds),
    ]),
  ) as NativeLibrary['functions'];
  if (functions.sotto_abi() !== ABI) {
    throw unavailable('the library is of another version', 'Delete build/native and run `npm run build`.');
  }
  return {
    isa: chosen,
    functions,
    copyIn: copier(library, 'uintptr_t', 'const void *'),
    copyOut: copier(library, 'void *', 'uintptr_t'),
    viewBytes: (at, sizeBytes) => koffi.view(BigInt(at), sizeBytes),
    totalMemoryBytes: usableMemoryBytes(os.totalmem()),
    processors: os.availableParallelism(),
  };
}

/** A container may allow less than the machine has; Node tells 0 or a huge number where there is no such limit. */
function usableMemoryBytes(installedBytes: number): number {
  const allowedBytes = process.constrainedMemory?.() ?? 0;
  return allowedBytes > 0 ? Math.min(installedBytes, allowedBytes) : installedBytes;
}

const types: Record<string, string> = { v: 'void', i: 'uint32_t', p: 'uintptr_t', l: 'uint64_t' };

function bind(library: KoffiLibrary, name: string, kinds: string): (...args: number[]) => number {
  const [result, ...parameters] = [...kinds].map((kind) => types[kind]!);
  return library.func(name, result!, parameters) as (...args: number[]) => number;
}

function copier<A, B>(library: KoffiLibrary, to: string, from: string): (a: A, b: B) => void {
  const copy = library.func('sotto_bytes_copy', 'void', [to, from, 'uint64_t']);
  return (a, b) => {
    const bytes = (a instanceof Uint8Array ? a : b) as Uint8Array;
    copy(a, b, bytes.byteLength);
  };
}
