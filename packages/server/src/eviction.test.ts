// Sessions whose keys do not fit into memory together, with the stand-in engine: planned sizes are what counts here.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Connection, uploadKeySet } from '@sotto/client';
import { decodeFrame, decodeRows, jobStatusSchema, sessionSchema } from '@sotto/protocol';
import { afterEach, expect, it } from 'vitest';
import { keyBytes, sealed, startEngine } from '../../../tests/fixtures/stand-in-engine.mjs';
import {
  callsOf,
  standInModel as model,
  standInBlock,
  standInKeySet,
} from '../../../tests/fixtures/stand-in-server.js';
import { type Engine, type RunningServer, type ServeOptions, serve } from './index.js';

const folder = mkdtempSync(join(tmpdir(), 'sotto-eviction-'));
const call = callsOf(() => server.url);
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
let server: RunningServer;
let engines: Set<Engine>;
let mostEngines: number;

afterEach(async () => {
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Every engine plans 600 bytes. */
async function start(overrides: Partial<ServeOptions> = {}): Promise<void> {
  engines = new Set();
  mostEngines = 0;
  server = await serve({
    ...{ model, modelPath: 'none', backend: 'auto', threads: 1, maxSessions: 4, keepMs: 0 },
    ...{ keysFolder: join(folder, 'keys'), stateFolder: join(folder, 'state') },
    requestsPerSecond: 100_000,
    startEngine: async (options) => {
      const started: Engine = { ...(await startEngine(options)), memoryBytes: 600 };
      const engine: Engine = {
        ...started,
        async close() {
          engines.delete(engine);
          await started.close();
        },
      };
      engines.add(engine);
      mostEngines = Math.max(mostEngines, engines.size);
      return engine;
    },
    ...overrides,
  });
}

async function user(refresh: 'bootstrap' | 'client' = 'bootstrap') {
  const token = randomBytes(32).toString('hex');
  const keySet = randomBytes(16).toString('hex');
  await uploadKeySet(new Connection(server.url), token, keySet, standInKeySet(refresh), {
    makeKey: keyBytes,
  });
  const request = { protocol: 1, modelDigest: model.digest, refresh, parameters: 'secure', keySet };
  const opened = await call('POST', '/v1/sessions', token, request);
  const session = sessionSchema.parse(await opened.json());
  const at = `/v1/sessions/${session.sessionId}`;
  expect((await call('POST', `${at}/public`, session.token, { tokens: [] })).status).toBe(200);
  return { token: session.token, at };
}
type User = Awaited<ReturnType<typeof user>>;

const post = async ({ at, token }: User, position: number, ...data: number[]) => {
  const response = await call('POST', `${at}/blocks`, token, standInBlock(position, ...data));
  return `/v1/jobs/${((await response.json()) as { jobId: string }).jobId}`;
};
const statusOf = async ({ token }: User, job: string) =>
  jobStatusSchema.parse(await (await call('GET', job, token)).json());

async function resultOf(who: User, job: string): Promise<Uint8Array> {
  for (;;) {
    const { state } = await statusOf(who, job);
    if (state === 'done') break;
    expect(['queued', 'running']).toContain(state);
    await pause(5);
  }
  const frame = await (await call('GET', `${job}/result`, who.token)).arrayBuffer();
  return decodeRows(decodeFrame(new Uint8Array(frame), 'result').payload).ciphertexts[0]!;
}

it('answers all, with as many key sets in memory as the budget allows', async () => {
  await start({ memoryBudgetBytes: 1300 });
  const users = await Promise.all([user(), user(), user()]);
  for (let position = 0; position < 3; position++) {
    const results = users.map(async (one, i) => resultOf(one, await post(one, position, 10 * i + position)));
    expect(await Promise.all(results)).toEqual(users.map((_, i) => sealed(10 * i + position + 1)));
  }
  expect(mostEngines).toBe(2);
  for (const { at, token } of users) await call('DELETE', at, token);
  expect(engines.size).toBe(0);
});

it('says that a job waits for memory, which what runs does not give', async () => {
  await start({ memoryBudgetBytes: 1000 });
  const [first, second] = [await user('client'), await user('client')];
  const running = await post(first, 0, 1);
  while ((await statusOf(first, running)).state !== 'running') await pause(5);
  const waiting = await post(second, 0, 2);
  await pause(50);
  expect(await statusOf(second, waiting)).toMatchObject({ state: 'queued', waitingFor: 'memory' });
  expect((await statusOf(first, running)).waitingFor).toBeUndefined();
  await call('DELETE', running, first.token);
  while ((await statusOf(second, waiting)).state !== 'running') await pause(5);
  // A job that waits can be cancelled like any other.
  const third = await user('client');
  const cancelled = await post(third, 0, 3);
  await call('DELETE', cancelled, third.token);
  while ((await statusOf(third, cancelled)).state !== 'cancelled') await pause(5);
  await call('DELETE', waiting, second.token);
});

it('counts on memory that sent keys hold: they stay until the session is closed', async () => {
  await start({ memoryBudgetBytes: 1000 });
  const request = { protocol: 1, modelDigest: model.digest, refresh: 'bootstrap', parameters: 'secure' };
  const opened = await call('POST', '/v1/sessions', '', request);
  const session = sessionSchema.parse(await opened.json());
  expect(await (await call('POST', '/v1/sessions', '', request)).json()).toMatchObject({
    error: { code: 'SERVER_BUSY', retryable: true },
  });
  const one = await user();
  const job = await post(one, 0, 7);
  await pause(50);
  expect((await statusOf(one, job)).waitingFor).toBe('memory');
  await call('DELETE', `/v1/sessions/${session.sessionId}`, session.token);
  expect(await resultOf(one, job)).toEqual(sealed(8));
  expect(mostEngines).toBe(1);
});

it('refuses what can never fit', async () => {
  await start({ memoryBudgetBytes: 599 });
  const request = { protocol: 1, modelDigest: model.digest, refresh: 'bootstrap', parameters: 'secure' };
  expect(await (await call('POST', '/v1/sessions', '', request)).json()).toMatchObject({
    error: { code: 'MEMORY_INSUFFICIENT', facts: { budgetMB: 0, neededMB: 1 } },
  });
  expect(engines.size).toBe(0);
});
