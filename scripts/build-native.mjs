// Builds the native kernels with the C compiler on PATH: one library for each instruction set, into build/native.
// Never fails: without a compiler, or when compiling fails, a note is printed and WebAssembly serves.
// Nothing is rebuilt while sources, flags and compiler stay the same. Safe to run several times at once.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const sources = join(root, 'kernels');
const target = join(root, 'build/native');
const extension = process.platform === 'darwin' ? 'dylib' : 'so';

const common = [
  '-O3',
  '-std=gnu11',
  '-fPIC',
  '-shared',
  '-ffp-contract=off',
  '-fvisibility=hidden',
  '-pthread',
  // Never unloaded: worker threads may still run its code while the process exits.
  ...(process.platform === 'linux' ? ['-Wl,-z,nodelete'] : []),
];
const isas = { portable: ['-DSOTTO_PORTABLE'] };
if (process.arch === 'x64') {
  isas.avx2 = ['-mavx2', '-mfma'];
  isas.avx512 = ['-mavx512f', '-mavx512bw', '-mavx512dq', '-mavx512vl', '-mfma', '-mprefer-vector-width=512'];
}

function findCompiler() {
  for (const command of [process.env.CC, 'cc', 'clang', 'gcc', 'clang-19'].filter(Boolean)) {
    const run = spawnSync(command, ['--version'], { encoding: 'utf8' });
    if (run.status === 0) return { command, version: run.stdout.split('\n')[0] };
  }
  return null;
}

function digest() {
  const hash = createHash('sha256').update(JSON.stringify([common, isas, process.platform, process.arch]));
  for (const file of readdirSync(sources)
    .filter((name) => /\.[ch]$/.test(name))
    .sort()) {
    hash.update(file).update(readFileSync(join(sources, file)));
  }
  return hash.digest('hex');
}

function readManifest() {
  try {
    return JSON.parse(readFileSync(join(target, 'manifest.json'), 'utf8'));
  } catch {
    return null;
  }
}

function compile(compiler, isa, out) {
  return new Promise((resolve) => {
    const child = spawn(compiler.command, [...common, ...isas[isa], 'sotto.c', '-o', out], { cwd: sources });
    let text = '';
    child.stderr.on('data', (chunk) => {
      text += chunk;
    });
    child.on('error', (error) => resolve({ isa, failure: error.message }));
    child.on('close', (code) =>
      resolve({ isa, failure: code === 0 ? null : text.trim().split('\n')[0] || `exit ${code}` }),
    );
  });
}

async function main() {
  if (process.platform === 'win32') return 'native kernels: not built on Windows; WebAssembly is used';
  const compiler = findCompiler();
  const wanted = digest();
  const built = readManifest();
  const current =
    built !== null &&
    built.digest === wanted &&
    built.libraries.every((name) => existsSync(join(target, name)));
  if (current && (compiler === null || built.compiler === compiler.version)) {
    return `native kernels: up to date (${built.libraries.length} libraries)`;
  }
  if (compiler === null) {
    // Libraries of other sources must not serve these.
    rmSync(target, { recursive: true, force: true });
    return 'native kernels: no C compiler found; WebAssembly is used';
  }
  mkdirSync(target, { recursive: true });
  const work = mkdtempSync(join(target, 'work-'));
  try {
    const startMs = performance.now();
    const results = await Promise.all(
      Object.keys(isas).map((isa) => compile(compiler, isa, join(work, isa))),
    );
    const libraries = [];
    for (const { isa, failure } of results) {
      const name = `libsotto-${isa}.${extension}`;
      if (failure === null) {
        renameSync(join(work, isa), join(target, name));
        libraries.push(name);
      } else rmSync(join(target, name), { force: true });
    }
    const manifest = JSON.stringify({ digest: wanted, compiler: compiler.version, libraries });
    writeFileSync(join(work, 'manifest.json'), manifest);
    renameSync(join(work, 'manifest.json'), join(target, 'manifest.json'));
    const done = results.filter(({ failure }) => failure === null).map(({ isa }) => isa);
    const failures = results.filter(({ failure }) => failure !== null);
    const failed = failures.map(({ isa, failure }) => `; ${isa} failed: ${failure}`).join('');
    const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
    const made =
      done.length > 0
        ? `built ${done.join(', ')} with ${compiler.command} in ${seconds} s`
        : 'not built; WebAssembly is used';
    return `native kernels: ${made}${failed}`;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

try {
  console.log(await main());
} catch (error) {
  console.log(`native kernels: not built (${error.message}); WebAssembly is used`);
}
