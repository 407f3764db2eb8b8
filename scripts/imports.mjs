// The import graph of the workspace's TypeScript sources, for the checks beside this file.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, posix, relative, sep } from 'node:path';

/** Files below `folder` with one of the endings, as paths relative to `root` with forward slashes. */
export function listFiles(root, folder, endings) {
  const found = [];
  const walk = (at) => {
    for (const entry of readdirSync(at, { withFileTypes: true })) {
      if (entry.name === 'node_modules' || entry.name === 'dist' || entry.name.startsWith('.')) continue;
      const path = join(at, entry.name);
      if (entry.isDirectory()) walk(path);
      else if (endings.some((ending) => entry.name.endsWith(ending))) {
        found.push(relative(root, path).split(sep).join('/'));
      }
    }
  };
  if (existsSync(join(root, folder))) walk(join(root, folder));
  return found.sort();
}

const isTest = (path) => /\.(test|bench)\.ts$/.test(path);

/** Product sources: every TypeScript file of every package that is neither test nor benchmark. */
export function productSources(root) {
  return listFiles(root, 'packages', ['.ts']).filter(
    (path) => /^packages\/[^/]+\/src\//.test(path) && !isTest(path) && !path.endsWith('.d.ts'),
  );
}

const patterns = [
  // import ... from 'x', export ... from 'x', import 'x'
  /(?:^|[\n;}])\s*(import|export)\s+(type\s+)?(?:[\w*{}\s,$]+?\s+from\s+)?['"]([^'"]+)['"]/g,
  // import('x'), require('x'), import.meta.resolve('x')
  /()()\b(?:import|require|import\.meta\.resolve|require\.resolve)\s*\(\s*['"`]([^'"`$]+)['"`]/g,
  // new URL('./x.js', import.meta.url)
  /()()new\s+URL\(\s*['"`]([^'"`$]+\.[mc]?js)['"`]\s*,\s*import\.meta\.url/g,
];

/** Blanks out comments, so that examples in documentation are no imports. */
function withoutComments(text) {
  return text.replace(/\/\*[\s\S]*?\*\/|(^|[^:'"`\\])\/\/[^\n]*/g, (match, before) =>
    match.startsWith('/*') ? match.replace(/[^\n]/g, ' ') : before,
  );
}

/** Every module that a source text names: `{ specifier, typeOnly, lazy }`; a lazy one is loaded later, if at all. */
export function importsOf(text) {
  const code = withoutComments(text);
  return patterns.flatMap((pattern, i) =>
    [...code.matchAll(pattern)].map(([, , typeOnly, specifier]) => ({
      specifier,
      typeOnly: Boolean(typeOnly),
      lazy: i > 0,
    })),
  );
}

/** The target of an entry of `exports` or `imports` under the first of the conditions that it has. */
const targetOf = (entry, conditions) =>
  typeof entry === 'string' ? entry : conditions.map((name) => entry?.[name]).find(Boolean);

const sourceOf = (folder, built) =>
  posix.join(folder, built.replace(/^\.\/dist\//, 'src/').replace(/\.js$/, '.ts'));

/**
 * Source file behind a specifier, relative to `root`; null for packages that are not of this workspace.
 *
 * @param conditions of the manifests, e.g. `['browser', 'default']`.
 */
export function resolveImport(root, from, specifier, conditions = ['default']) {
  if (specifier.startsWith('.')) {
    const target = posix.normalize(posix.join(dirname(from), specifier));
    const candidates = [target.replace(/\.js$/, '.ts'), target, `${target}.ts`, `${target}/index.ts`];
    return (
      candidates.find((path) => existsSync(join(root, path)) && statSync(join(root, path)).isFile()) ?? target
    );
  }
  if (specifier.startsWith('#')) {
    const folder = from.split('/').slice(0, 2).join('/');
    const { imports = {} } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'));
    const built = targetOf(imports[specifier], conditions);
    return built ? sourceOf(folder, built) : specifier;
  }
  const match = /^@sotto\/([^/]+)(\/.+)?$/.exec(specifier);
  if (!match) return null;
  const folder = `packages/${match[1]}`;
  const manifest = join(root, folder, 'package.json');
  if (!existsSync(manifest)) return folder;
  const { exports = {} } = JSON.parse(readFileSync(manifest, 'utf8'));
  const built = targetOf(exports[`.${match[2] ?? ''}`], conditions);
  return built ? sourceOf(folder, built) : `${folder}${match[2] ?? ''}`;
}

/** path -> [{ specifier, typeOnly, target }] over all product sources, in Node or under other conditions. */
export function importGraph(root, conditions = ['default']) {
  return new Map(
    productSources(root).map((path) => [
      path,
      importsOf(readFileSync(join(root, path), 'utf8')).map((found) => ({
        ...found,
        target: resolveImport(root, path, found.specifier, conditions),
      })),
    ]),
  );
}

/** Prints violations and sets the exit code, when the calling script is the one that was started. */
export function report(name, violations) {
  for (const violation of violations) console.error(`${name}: ${violation}`);
  if (violations.length > 0) process.exitCode = 1;
  else console.log(`${name}: ok`);
}
