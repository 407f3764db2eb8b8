// A server that is killed while it computes: started again it continues with the client's question.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { askAcrossKills, startTinyServer, type TinyServer } from './fixtures/tiny-server.js';

const folder = mkdtempSync(join(tmpdir(), 'sotto-restart-'));
let tiny: TinyServer | undefined;
afterAll(async () => {
  await tiny?.server.kill();
  rmSync(folder, { recursive: true });
});

it('answers across a kill and a stop as if nothing had happened, and asks for no key again', async () => {
  tiny = await startTinyServer(folder, 2);
  const { tokens, clear, keyBytes } = await askAcrossKills(tiny, 'client', 2);
  expect(tokens).toEqual(clear);
  expect(keyBytes).toBe(0);
  expect(tiny.server.log).toContain('session restored');
}, 300_000);
