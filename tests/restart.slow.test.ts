// A server that is killed while it computes: started again it continues, and the result is the same to the last bit.
import { randomBytes, randomInt } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Session } from '@sotto/client';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadLocalModel } from '../packages/client/src/local-model.js';
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

/** Everything that one session sends and receives, so that the same block can be sent once more. */
async function record(refresh: 'bootstrap' | 'client') {
  const token = randomBytes(32).toString('hex');
  const seen: { block?: Uint8Array; result?: Uint8Array; request?: string; publicPart?: string } = {};
  const recording: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    const path = new URL(String(input)).pathname;
    const body = init?.body as Uint8Array | undefined;
    if (path === '/v1/sessions') seen.request = Buffer.from(body!).toString();
    if (path.endsWith('/public')) seen.publicPart = Buffer.from(body!).toString();
    if (path.endsWith('/blocks')) seen.block = body!.slice();
    if (path.endsWith('/result')) seen.result = new Uint8Array(await response.clone().arrayBuffer());
    return response;
  };
  const session = await Session.connect(tiny.server.url, {
    model: await loadLocalModel(tiny.files),
    refresh,
    parameters: 'insecure-toy',
    key: { token },
    fetch: recording,
  });
  const tokens: number[] = [];
  for await (const answer of session.ask({ publicText: 'ab', privateText: 'hat', maxTokens: 1 }))
    tokens.push(answer.token);
  await session.close();
  return { token, tokens, ...(seen as Required<typeof seen>) };
}

const call = async (method: string, path: string, token: string, body?: string | Uint8Array) => {
  for (let tries = 0; ; tries++) {
    try {
      return await fetch(`${tiny.server.url}${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: body as BodyInit }),
      });
    } catch (error) {
      if (tries > 50) throw error;
      await pause(100);
    }
  }
};

it('gives the bit-identical result after kills at random moments, without new keys', async () => {
  const first = await record('bootstrap');
  const opened = (await (await call('POST', '/v1/sessions', first.token, first.request)).json()) as {
    sessionId: string;
    token: string;
  };
  const at = `/v1/sessions/${opened.sessionId}`;
  for (let keys = { loaded: 0, total: 1 }; keys.loaded < keys.total; await pause(50))
    keys = (await (await call('GET', `${at}/keys`, opened.token)).json()) as typeof keys;
  expect((await call('POST', `${at}/public`, opened.token, first.publicPart)).status).toBe(200);
  const accepted = (await (await call('POST', `${at}/blocks`, opened.token, first.block)).json()) as {
    jobId: string;
  };
  expect(accepted.jobId).toMatch(/^[0-9a-f]{32}$/);
  const job = `/v1/jobs/${accepted.jobId}`;
  const states = new Set<string>();
  const state = async () => {
    const { state } = (await (await call('GET', job, opened.token)).json()) as { state: string };
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
  const result = new Uint8Array(await (await call('GET', `${job}/result`, opened.token)).arrayBuffer());
  expect(Buffer.from(result).equals(Buffer.from(first.result))).toBe(true);
  // Fetching is idempotent, and survives a kill after the end.
  await tiny.server.kill();
  await tiny.server.start();
  const again = new Uint8Array(await (await call('GET', `${job}/result`, opened.token)).arrayBuffer());
  expect(Buffer.from(again).equals(Buffer.from(first.result))).toBe(true);
  const events = await (await call('GET', `${job}/events`, opened.token)).text();
  expect(events).toContain('"type":"done"');
  expect((await call('DELETE', at, opened.token)).status).toBe(204);
  expect(readdirSync(join(folder, 'server', 'sessions'))).toEqual([]);
}, 400_000);

it('answers across kills, bootstrapping', async () => {
  const { tokens, clear, keyBytes } = await askAcrossKills(tiny, 'bootstrap', 3);
  expect(tokens).toEqual(clear);
  expect(keyBytes).toBe(0);
}, 400_000);
