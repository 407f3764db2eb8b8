// Sessions with an engine process, as built: its module cannot be loaded from TypeScript sources.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const script = `
  import { loadLocalModel } from '@sotto/client';
  import { measureExchange } from './packages/cli/dist/measure-exchange.js';
  const model = await loadLocalModel();
  const small = { keyBytes: 100_000, downBytes: 10_000, upBytes: 50_000 };
  const large = { keyBytes: 2e7, downBytes: 5e6, upBytes: 3e7 };
  const costs = [];
  for (const sizes of [small, large]) costs.push(await measureExchange(model, sizes, 3));
  console.log(JSON.stringify(costs));
`;

it('measures what keys and messages take on their way through a server and an engine process', async () => {
  const args = ['--input-type=module', '--eval', script];
  const cwd = new URL('..', import.meta.url);
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd });
  const [small, large] = JSON.parse(stdout);
  for (const { messageSeconds, keySeconds } of [small, large]) {
    expect(messageSeconds).toBeGreaterThan(1e-5);
    expect(messageSeconds).toBeLessThan(20);
    expect(keySeconds).toBeGreaterThan(1e-5);
    expect(keySeconds).toBeLessThan(20);
  }
  // Hundreds of times the bytes: a way that did not carry them would not be longer.
  expect(large.messageSeconds).toBeGreaterThan(small.messageSeconds);
  expect(large.keySeconds).toBeGreaterThan(small.keySeconds);
}, 60_000);
