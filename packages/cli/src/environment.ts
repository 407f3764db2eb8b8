import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { availableParallelism, cpus, freemem, totalmem } from 'node:os';

/** A module with one SIMD instruction (i32x4.splat): valid exactly where WebAssembly SIMD is. */
const simdProbe = Uint8Array.from([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 8, 1, 6, 0, 65, 0, 253, 17, 11,
]);
/** A module with one atomic load from a shared memory: valid exactly where WebAssembly threads are. */
const threadsProbe = Uint8Array.from([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 5, 4, 1, 3, 1, 1, 10, 11, 1, 9, 0, 65, 0, 254,
  16, 2, 0, 26, 11,
]);

const OLDEST_NODE = [20, 19];

/** What this machine offers. */
export interface Environment {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryMB: { readonly total: number; readonly free: number };
  readonly node: { readonly version: string; readonly supported: boolean };
  readonly platform: string;
  readonly wasm: { readonly simd: boolean; readonly threads: boolean };
  /** First line of `cc --version`, or null. */
  readonly compiler: string | null;
  /** The library that calls native kernels can be loaded. */
  readonly nativeCalls: boolean;
}

/** First C compiler that answers, as its first line of words. */
function findCompiler(): string | null {
  for (const name of [process.env.CC, 'cc', 'clang', 'gcc']) {
    if (!name) continue;
    const result = spawnSync(name, ['--version'], { encoding: 'utf8', timeout: 10_000 });
    if (result.status === 0) return `${name}: ${result.stdout.split('\n')[0]}`;
  }
  return null;
}

function canLoad(name: string): boolean {
  try {
    createRequire(import.meta.url)(name);
    return true;
  } catch {
    return false;
  }
}

export function inspectEnvironment(): Environment {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [oldestMajor = 0, oldestMinor = 0] = OLDEST_NODE;
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryMB: { total: Math.round(totalmem() / 1e6), free: Math.round(freemem() / 1e6) },
    node: {
      version: process.versions.node,
      supported: major > oldestMajor || (major === oldestMajor && minor >= oldestMinor),
    },
    platform: `${process.platform} ${process.arch}`,
    wasm: { simd: WebAssembly.validate(simdProbe), threads: WebAssembly.validate(threadsProbe) },
    compiler: findCompiler(),
    nativeCalls: canLoad('koffi'),
  };
}
