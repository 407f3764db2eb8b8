// A server that is killed while it computes: started again it continues, and the result is the same to the last bit.
import { randomBytes, randomInt } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Session } from '@sotto/client';
import { tinyTestModel } from '@sotto/engine';
import { writeLlama2c } from '@sotto/model';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadLocalModel } from '../packages/client/src/local-model.js';
import { KillableServer } from './fixtures/killable-server.js';

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const folder = mkdtempSync(join(tmpdir(), 'sotto-restart-'));
const files = { model: join(folder, 'tiny.bin'), tokenizer: join(folder, 'tiny-tokens.bin') };
let server: KillableServer;

beforeAll(async () => {
  writeFileSync(files.model, writeLlama2c(tinyTestModel(5, { layerCount: 3 }).model));
  const pieces = ['<unk>', '<s>', '</s>', ' ', ...'abcdefghijklmnopqrst'].map((text) => Buffer.from(text));
  const parts = pieces.flatMap((piece) => [
    Buffer.from(Float32Array.of(0).buffer),
    Buffer.from(Int32Array.of(piece.length).buffer),
    piece,
  ]);
  writeFileSync(files.tokenizer, Buffer.concat([Buffer.from(Int32Array.of(5).buffer), ...parts]));
  server = new KillableServer(join(folder, 'server'), [
    ...['--allow-insecure', '--threads', '1', '--sessions', '2'],
    ...['--model', files.model, '--tokenizer', files.tokenizer],
  ]);
  await server.start();
}, 60_000);
afterAll(async () => {
  await server.kill();
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
  const session = await Session.connect(server.url, {
    model: await loadLocalModel(files),
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
      return await fetch(`${server.url}${path}`, {
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
  const startMs = performance.now();
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
    await server.kill();
    await server.start();
    await state();
  }
  while (!['done', 'failed', 'cancelled'].includes(await state())) await pause(50);
  expect(states).toContain('done');
  const result = new Uint8Array(await (await call('GET', `${job}/result`, opened.token)).arrayBuffer());
  expect(Buffer.from(result).equals(Buffer.from(first.result))).toBe(true);
  // Fetching is idempotent, and survives a kill after the end.
  await server.kill();
  await server.start();
  const again = new Uint8Array(await (await call('GET', `${job}/result`, opened.token)).arrayBuffer());
  expect(Buffer.from(again).equals(Buffer.from(first.result))).toBe(true);
  const events = await (await call('GET', `${job}/events`, opened.token)).text();
  expect(events).toContain('"type":"done"');
  expect(performance.now() - startMs).toBeLessThan(360_000);
  expect((await call('DELETE', at, opened.token)).status).toBe(204);
  expect(readdirSync(join(folder, 'server', 'sessions'))).toEqual([]);
}, 400_000);

it.each(['client', 'bootstrap'] as const)(
  'answers across kills as if nothing had happened, refreshed by %s',
  async (refresh) => {
    const session = await Session.connect(server.url, {
      model: await loadLocalModel(files),
      refresh,
      parameters: 'insecure-toy',
      key: { token: randomBytes(32).toString('hex') },
    });
    const keysUp = () => session.costs.bytes.keysUp;
    const before = keysUp();
    let kills = 0;
    const killing = (async () => {
      for (; kills < 3; kills++) {
        await pause(randomInt(100, 1200));
        await server.kill(kills === 1 ? 'SIGTERM' : 'SIGKILL');
        await server.start();
      }
    })();
    const tokens: number[] = [];
    const clear: number[] = [];
    for await (const answer of session.ask({
      publicText: 'ab',
      privateText: 'hat',
      maxTokens: 3,
      compare: true,
    })) {
      tokens.push(answer.token);
      clear.push(answer.clear!.token);
    }
    await killing;
    expect(tokens).toEqual(clear);
    expect(keysUp()).toBe(before);
    await session.close();
    expect(server.log).toContain('session restored');
  },
  400_000,
);
