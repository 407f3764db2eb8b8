// Builds one C file as a WebAssembly module of f32/f64 kernels and writes it as a TypeScript module beside the package's sources. Needs
// clang and wasm-ld of LLVM 19, so that the bytes are reproducible. `--check` compares instead of writing and exits 1 on a difference.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const flags = [
  '--target=wasm32',
  '-O3',
  '-std=gnu11',
  '-ffp-contract=off',
  '-msimd128',
  '-nostdlib',
  '-ffreestanding',
  '-fvisibility=hidden',
  '-Wall',
  '-Wextra',
  '-Werror',
  '-Wl,--no-entry',
  '-Wl,--export-dynamic',
  '-Wl,--import-memory',
  '-Wl,-z,stack-size=16384',
  '-Wl,--max-memory=4294967296',
  '-Wl,--strip-all',
];

/**
 * @param {string | URL} folder the package's `kernels/`, with a slash at the end.
 * @param {string} name `kernels/NAME.c` becomes `src/NAME-module.ts`, which exports `NAMEModule`.
 * @param {string} what begins the module's comment.
 */
export function buildWasmModule(folder, name, what) {
  const here = fileURLToPath(folder);
  const target = join(here, `../src/${name}-module.ts`);
  const directory = mkdtempSync(join(tmpdir(), `sotto-${name}-`));
  try {
    const out = join(directory, `${name}.wasm`);
    const run = spawnSync('clang-19', [...flags, `${name}.c`, '-o', out], { cwd: here, encoding: 'utf8' });
    if (run.status !== 0) throw new Error(run.stderr?.trim() || 'clang-19 is not installed');
    const lines = readFileSync(out)
      .toString('base64')
      .match(/.{1,110}/g);
    const body = lines.map((line) => `  '${line}',`).join('\n');
    const text = `/** ${what}: kernels/${name}.c, written by kernels/build.mjs. */\nexport const ${name}Module: string = [\n${body}\n].join('');\n`;
    if (!process.argv.includes('--check')) writeFileSync(target, text);
    else if (readFileSync(target, 'utf8') !== text) {
      process.stderr.write(
        `src/${name}-module.ts is not what kernels/${name}.c gives: run \`node kernels/build.mjs\`.\n`,
      );
      process.exitCode = 1;
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
