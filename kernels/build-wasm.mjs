// Builds the WebAssembly kernels and writes them as a TypeScript module. Needs clang and wasm-ld of LLVM 19, so that the
// bytes are reproducible. `--check` compares instead of writing and exits 1 on a difference.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const target = join(here, '../packages/he/src/ring/backends/wasm/module.ts');
const compiler = 'clang-19';

const flags = [
  '--target=wasm32', '-O3', '-std=gnu11', '-ffp-contract=off', '-msimd128', '-mbulk-memory', '-nostdlib', '-ffreestanding',
  '-fvisibility=hidden', '-Wall', '-Wextra', '-Werror', '-Wl,--no-entry', '-Wl,--export-dynamic',
  '-Wl,--export=__heap_base', '-Wl,--import-memory', '-Wl,-z,stack-size=262144', '-Wl,--max-memory=4294967296', '-Wl,--strip-all',
];

/** The module's bytes, or null (with a reason) when this machine lacks the compiler. */
export function buildWasm() {
  const version = spawnSync(compiler, ['--version'], { encoding: 'utf8' });
  if (version.status !== 0) return { bytes: null, reason: `${compiler} is not installed` };
  const directory = mkdtempSync(join(tmpdir(), 'sotto-wasm-'));
  try {
    const out = join(directory, 'sotto.wasm');
    const run = spawnSync(compiler, [...flags, 'sotto.c', '-o', out], { cwd: here, encoding: 'utf8' });
    if (run.status !== 0) return { bytes: null, reason: run.stderr.trim() };
    return { bytes: readFileSync(out), reason: null };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The TypeScript module that holds the bytes. */
export function moduleText(bytes) {
  return `// Built by kernels/build-wasm.mjs from kernels/*.c and *.h.\nexport const wasmBase64 =\n  '${bytes.toString('base64')}';\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { bytes, reason } = buildWasm();
  if (bytes === null) {
    console.error(`The WebAssembly kernels were not built: ${reason}`);
    process.exit(1);
  }
  const text = moduleText(bytes);
  if (process.argv.includes('--check')) {
    const same = readFileSync(target, 'utf8') === text;
    console.log(same ? 'The WebAssembly module is up to date.' : 'The WebAssembly module is out of date: npm run kernels:wasm');
    process.exit(same ? 0 : 1);
  }
  writeFileSync(target, text);
  console.log(`${target}: ${bytes.length} bytes of WebAssembly`);
}
