// Sessions with an engine process, as built: its module cannot be loaded from TypeScript sources.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const script = `
  import { loadLocalModel } from '@sotto/client';
  import { makeSetup } from '@sotto/engine';
  import { selectBackend } from '@sotto/he/ring';
  import { measureExchange } from './packages/cli/dist/measure-exchange.js';
  const model = await loadLocalModel();
  const request = { refresh: 'client', parameters: 'insecure-toy' };
  const setup = await makeSetup(model.weights, request);
  const backend = selectBackend({ threads: 1 });
  const costs = [];
  for (const [downBytes, upBytes] of [[10_000, 50_000], [5e6, 3e7]])
    costs.push(await measureExchange(model, setup, { backend, request, downBytes, upBytes, refreshes: 3 }));
  console.log(JSON.stringify(costs));
`;

it('measures what keys and messages take on their way through a server and an engine process', async () => {
  const args = ['--input-type=module', '--eval', script];
  const cwd = new URL('..', import.meta.url);
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd });
  const [small, large] = JSON.parse(stdout);
  for (const cost of [small, large]) {
    expect(Object.keys(cost)).toHaveLength(3);
    for (const seconds of Object.values(cost)) {
      expect(seconds).toBeGreaterThan(1e-5);
      expect(seconds).toBeLessThan(60);
    }
  }
  // Hundreds of times the bytes: a way that did not carry them would not be longer.
  expect(large.messageSeconds).toBeGreaterThan(2 * small.messageSeconds);
}, 60_000);
