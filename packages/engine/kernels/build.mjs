// Builds the kernel of feature products and writes it as a TypeScript module. Needs clang and wasm-ld of LLVM 19, so that the bytes are
// reproducible. `--check` compares instead of writing and exits 1 on a difference.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const target = join(here, '../src/sums-module.ts');
const directory = mkdtempSync(join(tmpdir(), 'sotto-sums-'));
try {
  const out = join(directory, 'sums.wasm');
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
  const run = spawnSync('clang-19', [...flags, 'sums.c', '-o', out], { cwd: here, encoding: 'utf8' });
  if (run.status !== 0) throw new Error(run.stderr?.trim() || 'clang-19 is not installed');
  const lines = readFileSync(out)
    .toString('base64')
    .match(/.{1,110}/g);
  const body = lines.map((line) => `  '${line}',`).join('\n');
  const text = `/** Kernel of feature products: kernels/sums.c, written by kernels/build.mjs. */\nexport const sumsModule: string = [\n${body}\n].join('');\n`;
  if (!process.argv.includes('--check')) writeFileSync(target, text);
  else if (readFileSync(target, 'utf8') !== text) {
    process.stderr.write(
      'src/sums-module.ts is not what kernels/sums.c gives: run `node kernels/build.mjs`.\n',
    );
    process.exitCode = 1;
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
