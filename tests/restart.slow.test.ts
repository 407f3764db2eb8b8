// A server that is killed while it computes: started again it continues, and the result is the same to the last bit.
import { randomInt } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { callPatiently, recordSession, sendAgain } from './fixtures/recorded-session.js';
import { askAcrossKills, pause, startTinyServer, type TinyServer } from './fixtures/tiny-server.js';

const folder = mkdtempSync(join(tmpdir(), 'sotto-restart-'));
let tiny: TinyServer;
beforeAll(async () => {
  tiny = await startTinyServer(folder, 3);
}, 60_000);
afterAll(async () => {
  await tiny.server.kill();
  rmSync(folder, { recursive: true });
});

it('gives the bit-identical result after kills at random moments, without new keys', async () => {
  const first = await recordSession(tiny, 'bootstrap');
  const { at, job, token } = await sendAgain(tiny, first);
  const call = (method: string, path: string) => callPatiently(tiny, method, path, token);
  const states = new Set<string>();
  const state = async () => {
    const { state } = (await (await call('GET', job)).json()) as { state: string };
    states.add(state);
    return state;
  };
  for (let kills = 0; kills < 3; kills++) {
    await pause(randomInt(50, 1500));
    await tiny.server.kill();
    await tiny.server.start();
    await state();
  }
  while (!['done', 'failed', 'cancelled'].includes(await state())) await pause(50);
  expect(states).toContain('done');
  const result = new Uint8Array(await (await call('GET', `${job}/result`)).arrayBuffer());
  expect(Buffer.from(result).equals(Buffer.from(first.result))).toBe(true);
  // Fetching is idempotent, and survives a kill after the end.
  await tiny.server.kill();
  await tiny.server.start();
  const again = new Uint8Array(await (await call('GET', `${job}/result`)).arrayBuffer());
  expect(Buffer.from(again).equals(Buffer.from(first.result))).toBe(true);
  const events = await (await call('GET', `${job}/events`)).text();
  expect(events).toContain('"type":"done"');
  expect((await call('DELETE', at)).status).toBe(204);
  expect(readdirSync(join(folder, 'server', 'sessions'))).toEqual([]);
}, 400_000);

it('answers across kills, bootstrapping', async () => {
  const { tokens, clear, keyBytes } = await askAcrossKills(tiny, 'bootstrap', 3);
  expect(tokens).toEqual(clear);
  expect(keyBytes).toBe(0);
}, 400_000);
