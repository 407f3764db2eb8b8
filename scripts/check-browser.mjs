// What a page bundles: nothing that the client reaches under the condition `browser` names a module or a global of Node, and every
// module for browsers stands for one for Node with the same exports.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { importGraph, report } from './imports.mjs';

const entry = 'packages/client/src/index.browser.ts';
/** Packages from the registry that are known to run in pages. */
const portable = new Set(['zod', '@huggingface/jinja', '@huggingface/tokenizers']);
/** Reached through `globalThis` or behind `typeof` they may be absent; by their bare names they may not. */
const nodeGlobals = /(?<![.\w'"`])(Buffer|setImmediate|__dirname|__filename|require)\s*[.(]/;

const code = (text) => text.replace(/\/\*[\s\S]*?\*\/|(?<!:)\/\/[^\n]*|`[^`]*`/g, '');

/** Names that a module of this repository exports, by their statements. */
function exportsOf(text) {
  const names = new Set();
  for (const [, list] of code(text).matchAll(/export\s*(?:type\s*)?\{([^}]*)\}/g)) {
    for (const name of list.split(','))
      names.add(
        name
          .replace(/^\s*type\s/, '')
          .trim()
          .split(/\s+as\s+/)
          .at(-1),
      );
  }
  for (const [, name] of code(text).matchAll(/export\s+(?:async\s+)?(?:function\*?|const|class)\s+(\w+)/g))
    names.add(name);
  names.delete('');
  return names;
}

/** @returns one line a violation. */
export function checkBrowser(root) {
  if (!existsSync(join(root, entry))) return [`${entry} not found: there is nothing to check`];
  const read = (path) => readFileSync(join(root, path), 'utf8');
  const graph = importGraph(root, ['browser', 'default']);
  const cameFrom = new Map([[entry, null]]);
  const found = [];
  const chainTo = (path) => {
    const chain = [];
    for (let at = path; at !== null; at = cameFrom.get(at)) chain.unshift(at);
    return chain.join(' -> ');
  };
  for (const path of cameFrom.keys()) {
    const bare = nodeGlobals.exec(code(read(path)));
    if (bare) found.push(`${chainTo(path)} uses ${bare[1]}`);
    for (const [, list, specifier] of code(read(path)).matchAll(
      /import\s*\{([^}]*)\}\s*from\s*'(@sotto\/[^']+|#[^']+)'/g,
    )) {
      const target = graph.get(path)?.find((found) => found.specifier === specifier)?.target;
      if (!target?.endsWith('.browser.ts')) continue;
      const there = exportsOf(read(target));
      const names = list.split(',').map((name) => name.trim().split(/\s+as\s+/)[0]);
      const missing = names.filter((name) => name !== '' && !name.startsWith('type ') && !there.has(name));
      if (missing.length > 0)
        found.push(`${path} takes ${missing.join(', ')} from ${specifier}, which ${target} lacks`);
    }
    for (const { specifier, typeOnly, target } of graph.get(path) ?? []) {
      if (typeOnly) continue;
      if (target === null) {
        if (!portable.has(specifier)) found.push(`${chainTo(path)} -> ${specifier}`);
      } else if (!graph.has(target)) found.push(`${chainTo(path)} -> ${specifier}, which is not there`);
      else if (!cameFrom.has(target)) cameFrom.set(target, path);
    }
  }
  for (const path of cameFrom.keys()) {
    const twin = path.replace(/\.browser\.ts$/, '.ts');
    if (twin === path || /\/index\.browser\.ts$/.test(path)) continue;
    const own = exportsOf(read(path));
    const missing = [...exportsOf(read(twin))].filter((name) => !own.has(name));
    if (missing.length > 0) found.push(`${path} lacks ${missing.join(', ')} of ${twin}`);
  }
  return found;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  report('browser', checkBrowser(fileURLToPath(new URL('..', import.meta.url))));
}
