// The secret wall: nothing that runs at the server, the engine and the command that starts it included, reaches `he/secret` or the client, not even through
// other modules or for types only.
import { fileURLToPath } from 'node:url';
import { importGraph, report } from './imports.mjs';

const insideWall = /^packages\/(server\/src\/|engine\/src\/|cli\/src\/commands\/serve\.ts$)/;
const forbidden = /^packages\/(he\/src\/secret|client\/src)\//;

/** @returns one line a violation: the chain of imports from the server's side to the secret. */
export function checkSecretWall(root) {
  const graph = importGraph(root);
  const starts = [...graph.keys()].filter((path) => insideWall.test(path));
  if (starts.length === 0) return ['no server or engine sources found'];
  if (![...graph.keys()].some((path) => /^packages\/he\/src\/secret\//.test(path))) {
    return ['packages/he/src/secret not found: the wall has nothing to guard'];
  }
  const cameFrom = new Map(starts.map((path) => [path, null]));
  const queue = [...starts];
  const found = [];
  for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
    for (const { target } of graph.get(path) ?? []) {
      if (target === null || cameFrom.has(target)) continue;
      cameFrom.set(target, path);
      if (forbidden.test(target)) {
        const chain = [target];
        for (let at = path; at !== null; at = cameFrom.get(at)) chain.unshift(at);
        found.push(chain.join(' -> '));
      } else if (graph.has(target)) {
        queue.push(target);
      }
    }
  }
  return found;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  report('secret wall', checkSecretWall(fileURLToPath(new URL('..', import.meta.url))));
}
