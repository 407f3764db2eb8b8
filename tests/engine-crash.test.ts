// The process that computes is killed in the middle of a block: the server stays, the block goes on after its last finished layer,
// and the result is the same to the last bit.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  answerAgain,
  callPatiently,
  type Recorded,
  recordSession,
  sendAgain,
} from './fixtures/recorded-session.js';
import { startTinyServer, type TinyServer } from './fixtures/tiny-server.js';

const folder = mkdtempSync(join(tmpdir(), 'sotto-crash-'));
let tiny: TinyServer;
let recorded: Recorded;
beforeAll(async () => {
  tiny = await startTinyServer(folder, 2);
  recorded = await recordSession(tiny, 'client');
}, 300_000);
afterAll(async () => {
  await tiny.server.kill();
  rmSync(folder, { recursive: true });
});

const call = (method: string, path: string, token: string) => callPatiently(tiny, method, path, token);

/** Layers of the block of the only session that are on disk. */
function layersKept(): number {
  try {
    const sessions = join(folder, 'server', 'sessions');
    const names = readdirSync(join(sessions, readdirSync(sessions)[0]!, 'engine'));
    return names.filter((name) => name.endsWith('.cache')).length;
  } catch {
    return 0;
  }
}

const processes = () =>
  tiny.server.log.split('\n').filter((line) => line.includes('"engine process"')).length;

it('a block goes on after the layer that was finished when its process was killed', async () => {
  const sent = await sendAgain(tiny, recorded);
  let layers = 0;
  const state = await answerAgain(tiny, recorded, sent, () => {
    if (layers > 0) return;
    layers = layersKept();
    if (layers > 0) tiny.server.killEngine('SIGKILL');
  });
  expect([layers, state]).toEqual([1, 'done']);
  const response = await call('GET', `${sent.job}/result`, sent.token);
  expect(Buffer.compare(new Uint8Array(await response.arrayBuffer()), recorded.result)).toBe(0);
  expect(tiny.server.log).toMatch(/engine process lost[\s\S]*job restarts/);
  expect((await call('GET', '/health', '')).status).toBe(200);
  expect((await call('DELETE', sent.at, sent.token)).status).toBe(204);
}, 120_000);

it('a block whose process ends again and again fails with its reason, and the server serves on', async () => {
  const sent = await sendAgain(tiny, recorded);
  let seen = processes() - 1;
  const state = await answerAgain(tiny, recorded, sent, () => {
    if (processes() === seen) return;
    seen = processes();
    tiny.server.killEngine('SIGSEGV');
  });
  expect(state).toBe('failed');
  const events = await (await call('GET', `${sent.job}/events`, sent.token)).text();
  expect(events).toContain('"code":"WORKER_LOST"');
  expect(events).toContain('"ends":4');
  expect((await call('DELETE', sent.at, sent.token)).status).toBe(204);
  expect(readdirSync(join(folder, 'server', 'sessions'))).toEqual([]);
}, 120_000);
