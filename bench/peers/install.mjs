// Peers on demand, each into its own folder under build/peers: a path to run, or an Error that says why it is skipped.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../../build/peers', import.meta.url));
const here = (name) => fileURLToPath(new URL(name, import.meta.url));

export const LATTIGO = 'v6.2.0';
const NODE_SEAL = '6.0.3';
const TENSEAL = '0.3.18';
const OPENFHE = '1.6.1';

function run(command, args, cwd = folder) {
  const { status, stderr, error } = spawnSync(command, args, { cwd, encoding: 'utf8', timeout: 600_000 });
  if (error || status !== 0) {
    const last = (stderr ?? '').trim().split('\n').at(-1)?.slice(0, 160);
    throw new Error(error?.code === 'ENOENT' ? `${command} is not here` : `${command} failed: ${last}`);
  }
}

export function lattigo() {
  mkdirSync(folder, { recursive: true });
  const binary = join(folder, 'lattigo');
  run('go', ['build', '-o', binary, '.'], here('lattigo'));
  return binary;
}

export function nodeSeal() {
  const at = join(folder, 'node-seal');
  mkdirSync(at, { recursive: true });
  if (!existsSync(join(at, 'node_modules/node-seal'))) {
    run('npm', ['install', '--no-save', '--prefix', at, `node-seal@${NODE_SEAL}`], at);
  }
  return [process.execPath, here('node-seal.mjs'), at];
}

export const tenseal = () => [
  venv('tenseal', ['3.11', '3.10', '3.12'], [`tenseal==${TENSEAL}`]),
  here('tenseal_rows.py'),
];

export const openfhe = () => [venv('openfhe', ['3.10'], [`openfhe==${OPENFHE}.*`]), here('openfhe_rows.py')];

/** The interpreter of a virtual environment with the packages; wheels only. */
function venv(name, versions, packages) {
  mkdirSync(folder, { recursive: true });
  const at = join(folder, name);
  const python = join(at, 'bin/python');
  const ready = existsSync(join(at, 'ready'));
  if (ready) return python;
  const base = versions.map(findPython).find((found) => found !== undefined);
  if (base === undefined) throw new Error(`no CPython ${versions.join(' or ')} is here`);
  run(base, ['-m', 'venv', '--clear', at]);
  run(python, ['-m', 'pip', 'install', '--quiet', '--only-binary', ':all:', ...packages]);
  mkdirSync(join(at, 'ready'));
  return python;
}

function findPython(version) {
  const works = (command) =>
    spawnSync(command, ['--version'], { encoding: 'utf8' }).stdout?.startsWith(`Python ${version}.`);
  if (works(`python${version}`)) return `python${version}`;
  const latest = spawnSync('pyenv', ['latest', version], { encoding: 'utf8' }).stdout?.trim();
  const prefix = latest && spawnSync('pyenv', ['prefix', latest], { encoding: 'utf8' }).stdout?.trim();
  return prefix && works(join(prefix, 'bin/python')) ? join(prefix, 'bin/python') : undefined;
}
