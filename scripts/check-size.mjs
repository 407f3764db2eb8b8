// Files stay short enough to be read in one sitting: 600 lines, or a reason in size-exceptions.json.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { listFiles, report } from './imports.mjs';

const LARGEST_LINES = 600;
const folders = ['packages', 'scripts', 'tests', 'bench', 'examples', 'kernels'];
const endings = ['.ts', '.mjs', '.js', '.c', '.h'];

/** @returns one line a violation. */
export function checkSize(root) {
  const list = join(root, 'scripts/size-exceptions.json');
  const exceptions = existsSync(list) ? JSON.parse(readFileSync(list, 'utf8')) : {};
  const found = [];
  const long = new Set();
  const files = folders.flatMap((folder) => listFiles(root, folder, endings));
  if (files.length === 0) return ['no files found'];
  for (const path of files) {
    const lines = readFileSync(join(root, path), 'utf8').split('\n').length - 1;
    if (lines <= LARGEST_LINES) continue;
    long.add(path);
    if (!exceptions[path])
      found.push(`${path} has ${lines} lines; split it, or give a reason in scripts/size-exceptions.json`);
  }
  for (const path of Object.keys(exceptions)) {
    if (!long.has(path)) found.push(`size-exceptions.json lists ${path}, which needs no exception`);
  }
  return found;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  report('size', checkSize(fileURLToPath(new URL('..', import.meta.url))));
}
