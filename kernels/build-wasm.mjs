// Builds the WebAssembly kernels, with and without threads, and writes each as a TypeScript module. Needs clang and wasm-ld of LLVM 19, so that the
// bytes are reproducible. `--check` compares instead of writing and exits 1 on a difference.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const folder = join(here, '../packages/he/src/ring/backends/wasm');
const compiler = 'clang-19';

const flags = [
  '--target=wasm32', '-O3', '-std=gnu11', '-ffp-contract=off', '-msimd128', '-mbulk-memory', '-nostdlib', '-ffreestanding',
  '-fvisibility=hidden', '-Wall', '-Wextra', '-Werror', '-Wl,--no-entry', '-Wl,--export-dynamic',
  '-Wl,--export=__heap_base', '-Wl,--import-memory', '-Wl,-z,stack-size=262144', '-Wl,--max-memory=4294967296', '-Wl,--strip-all',
];

const variants = {
  'module.ts': [],
  'threaded-module.ts': ['-matomics', '-Wl,--shared-memory', '-Wl,--export=__stack_pointer'],
};

/** The bytes of one module of `variants`, or null (with a reason) when this machine lacks the compiler. */
export function buildWasm(name) {
  const version = spawnSync(compiler, ['--version'], { encoding: 'utf8' });
  if (version.status !== 0) return { bytes: null, version: null, reason: `${compiler} is not installed` };
  const directory = mkdtempSync(join(tmpdir(), 'sotto-wasm-'));
  try {
    const out = join(directory, 'sotto.wasm');
    const run = spawnSync(compiler, [...flags, ...variants[name], 'sotto.c', '-o', out], { cwd: here, encoding: 'utf8' });
    if (run.status !== 0) return { bytes: null, version: null, reason: run.stderr.trim() };
    return { bytes: readFileSync(out), version: version.stdout.split('\n')[0], reason: null };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The TypeScript module that holds the bytes. */
export function moduleText(bytes, version) {
  return [
    '// Built by kernels/build-wasm.mjs from kernels/*.c and *.h.',
    `export const compiler = '${version}';`,
    'export const wasmBase64 =',
    `  '${bytes.toString('base64')}';`,
    '',
  ].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const name of Object.keys(variants)) {
    const target = join(folder, name);
    const { bytes, version, reason } = buildWasm(name);
    if (bytes === null) {
      console.error(`The WebAssembly kernels were not built: ${reason}`);
      process.exit(1);
    }
    const text = moduleText(bytes, version);
    if (process.argv.includes('--check')) {
      const same = readFileSync(target, 'utf8') === text;
      console.log(`${name} is ${same ? 'up to date' : 'out of date: npm run kernels:wasm'}`);
      if (!same) process.exitCode = 1;
      continue;
    }
    writeFileSync(target, text);
    console.log(`${name}: ${bytes.length} bytes of WebAssembly`);
  }
}
