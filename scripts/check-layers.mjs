// Imports go down only: between packages, between the parts of `he`, and never in a circle. A package imports from outside
// the workspace only what its package.json lists.
import { existsSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { importGraph, report } from './imports.mjs';

/** What each layer may import, besides itself. */
const allowed = {
  base: [],
  'he/ring': ['base'],
  'he/rlwe': ['base', 'he/ring'],
  'he/scheme': ['base', 'he/ring', 'he/rlwe'],
  'he/secret': ['base', 'he/ring', 'he/rlwe', 'he/scheme'],
  'he/ckks': ['base', 'he/ring', 'he/rlwe', 'he/scheme'],
  'he/cleartext': ['base', 'he/ring', 'he/rlwe', 'he/scheme', 'he/ckks'],
  'he/circuits': ['base', 'he/ring', 'he/rlwe', 'he/scheme', 'he/ckks', 'he/cleartext'],
  model: ['base'],
  privacy: ['base'],
  engine: ['base', 'he', 'model'],
  protocol: ['base'],
  client: ['base', 'he', 'model', 'privacy', 'engine', 'protocol'],
  server: ['base', 'he', 'model', 'privacy', 'engine', 'protocol'],
  cli: ['base', 'he', 'model', 'privacy', 'engine', 'protocol', 'client', 'server'],
};

/** `packages/he/src/ring/x.ts` -> `he/ring`; `packages/model/src/x.ts` -> `model`. */
function layerOf(path) {
  const match = /^packages\/([^/]+)\/src\/(?:([^/]+)\/)?/.exec(path);
  if (!match) return null;
  return match[1] === 'he' ? `he/${match[2] ?? ''}` : match[1];
}

function mayImport(from, to) {
  const list = allowed[from];
  return from === to || (list?.includes(to) ?? false) || (list?.includes(to.split('/')[0]) ?? false);
}

function directionViolations(graph) {
  const found = [];
  for (const [path, imports] of graph) {
    const from = layerOf(path);
    if (!(from in allowed)) {
      found.push(`${path} lies in no known layer`);
      continue;
    }
    for (const { specifier, target } of imports) {
      if (target === null) continue;
      const to = layerOf(target) ?? target;
      const crossesPackages = specifier.startsWith('.') && path.split('/')[1] !== target.split('/')[1];
      if (crossesPackages && graph.has(target))
        found.push(`${path} reaches into another package by path: ${specifier}`);
      else if (to in allowed && !mayImport(from, to))
        found.push(`${path} (${from}) may not import ${specifier} (${to})`);
      else if (specifier.startsWith('@sotto/') && !graph.has(target))
        found.push(`${path} imports ${specifier}, which does not exist`);
    }
  }
  return found;
}

const builtin = new Set(builtinModules);

function dependencyViolations(root, graph) {
  const found = [];
  for (const [path, imports] of graph) {
    const manifest = join(root, path.split('/').slice(0, 2).join('/'), 'package.json');
    if (!existsSync(manifest)) continue;
    const {
      name,
      dependencies,
      optionalDependencies,
      imports: own = {},
    } = JSON.parse(readFileSync(manifest, 'utf8'));
    const listed = new Set([name, ...Object.keys({ ...dependencies, ...optionalDependencies })]);
    for (const { specifier } of imports) {
      if (specifier.startsWith('.') || specifier.startsWith('node:') || builtin.has(specifier)) continue;
      if (specifier in own) continue;
      const wanted = specifier
        .split('/')
        .slice(0, specifier.startsWith('@') ? 2 : 1)
        .join('/');
      if (!listed.has(wanted))
        found.push(`${path} imports ${specifier}, which its package.json does not list`);
    }
  }
  return found;
}

/** Circles of modules that load each other; type-only imports are erased, lazy ones come later. */
function cycleViolations(graph) {
  const found = [];
  const state = new Map();
  const visit = (path, trail) => {
    if (state.get(path) === 'done') return;
    if (state.get(path) === 'open') {
      found.push(`import circle: ${[...trail.slice(trail.indexOf(path)), path].join(' -> ')}`);
      return;
    }
    state.set(path, 'open');
    for (const { target, typeOnly, lazy } of graph.get(path) ?? []) {
      if (target !== null && !typeOnly && !lazy && graph.has(target) && target !== path)
        visit(target, [...trail, path]);
    }
    state.set(path, 'done');
  };
  for (const path of graph.keys()) visit(path, []);
  return found;
}

/** @returns one line a violation. */
export function checkLayers(root) {
  const graph = importGraph(root);
  if (graph.size === 0) return ['no sources found'];
  return [...directionViolations(graph), ...dependencyViolations(root, graph), ...cycleViolations(graph)];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  report('layers', checkLayers(fileURLToPath(new URL('..', import.meta.url))));
}
