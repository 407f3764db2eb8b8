import {
  decodeFrame,
  decodeRows,
  encodeFrame,
  encodeRows,
  errorBodySchema,
  type JobEvent,
  StreamEventParser,
  sessionSchema,
} from '@sotto/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keyBytes, sealed, startEngine } from '../../../tests/fixtures/stand-in-engine.mjs';
import { callsOf, standInModel as model } from '../../../tests/fixtures/stand-in-server.js';
import { type LogFields, type RunningServer, serve } from './index.js';

let server: RunningServer;
let lines: { event: string; fields: LogFields }[];

beforeEach(async () => {
  lines = [];
  server = await serve({
    model,
    modelPath: 'none',
    backend: 'auto',
    threads: 1,
    allowInsecure: true,
    log: (event, fields = {}) => lines.push({ event, fields }),
    startEngine,
  });
});
afterEach(() => server.close());

const request = { protocol: 1, modelDigest: model.digest, refresh: 'bootstrap', parameters: 'secure' };

const calls = callsOf(() => server.url);
const call = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
  calls(method, path, '', body, headers);

async function failure(response: Promise<Response>): Promise<{ status: number; code: string }> {
  const { status, code } = await (async () => {
    const received = await response;
    const text = await received.text();
    expect(received.ok, text).toBe(false);
    return { status: received.status, code: errorBodySchema.parse(JSON.parse(text)).error.code };
  })();
  return { status, code };
}

async function openSession(overrides: object = {}) {
  const response = await call('POST', '/v1/sessions', { ...request, ...overrides });
  const session = sessionSchema.parse(await response.json());
  const auth = { authorization: `Bearer ${session.token}` };
  const at = `/v1/sessions/${session.sessionId}`;
  return { session, auth, at };
}

async function withKeys(overrides: object = {}) {
  const opened = await openSession(overrides);
  for (const { index } of opened.session.keys) {
    const put = await call(
      'PUT',
      `${opened.at}/keys/${index}`,
      encodeFrame('key', index, keyBytes(index)),
      opened.auth,
    );
    expect(put.status).toBe(200);
  }
  return opened;
}

const block = (position: number, rows: number, ...ciphertexts: Uint8Array[]) =>
  encodeFrame('block', position, encodeRows({ position, rows, ciphertexts }));

async function* eventsOf(jobId: string, auth: Record<string, string>, lastId = 0): AsyncGenerator<JobEvent> {
  const response = await call('GET', `/v1/jobs/${jobId}/events`, undefined, {
    ...auth,
    'last-event-id': String(lastId),
  });
  const parser = new StreamEventParser();
  for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
    for (const { data } of parser.push(piece)) yield JSON.parse(data) as JobEvent;
  }
}

async function runBlock(body: Uint8Array, at: string, auth: Record<string, string>) {
  const response = await call('POST', `${at}/blocks`, body, auth);
  expect(response.status).toBe(202);
  const { jobId } = (await response.json()) as { jobId: string };
  const events: JobEvent[] = [];
  for await (const event of eventsOf(jobId, auth)) events.push(event);
  return { jobId, events };
}

describe('a session', () => {
  it('runs from keys to results, each answer repeatable', async () => {
    const { at, auth } = await withKeys();
    expect((await call('POST', `${at}/public`, { tokens: [1, 2] }, auth)).status).toBe(200);
    expect((await call('POST', `${at}/public`, { tokens: [1, 2] }, auth)).status).toBe(200);
    const { jobId, events } = await runBlock(block(2, 2, sealed(7, 8)), at, auth);
    expect(events.map((event) => event.type)).toEqual(['progress', 'done']);
    for (let repeat = 0; repeat < 2; repeat++) {
      const response = await call('GET', `/v1/jobs/${jobId}/result`, undefined, auth);
      const rows = decodeRows(decodeFrame(new Uint8Array(await response.arrayBuffer()), 'result').payload);
      expect(rows).toEqual({ position: 2, rows: 2, ciphertexts: [sealed(8, 9)] });
    }
    const again = await call('POST', `${at}/blocks`, block(2, 2, sealed(7, 8)), auth);
    expect(((await again.json()) as { jobId: string }).jobId).toBe(jobId);

    const done = events.at(-1)!;
    expect(done.type === 'done' && done.status.serverSaw).toMatchObject({
      publicTokens: 2,
      privateRows: 2,
      droppedRows: 0,
      keyBytes: 3000,
    });
    expect(done.type === 'done' && done.status.bootstraps).toBe(1);
    expect((await call('DELETE', at, undefined, auth)).status).toBe(204);
    expect(await failure(call('GET', at, undefined, auth))).toEqual({ status: 404, code: 'SESSION_UNKNOWN' });
  });

  it('exchanges ciphertexts with the client when the client refreshes', async () => {
    const { at, auth } = await withKeys({ refresh: 'client' });
    expect(await failure(call('POST', `${at}/blocks`, block(0, 1, sealed(5)), auth))).toEqual({
      status: 409,
      code: 'PUBLIC_MISSING',
    });
    await call('POST', `${at}/public`, { tokens: [] }, auth);
    const posted = await call('POST', `${at}/blocks`, block(0, 1, sealed(5)), auth);
    const { jobId } = (await posted.json()) as { jobId: string };
    const types: string[] = [];
    for await (const event of eventsOf(jobId, auth)) {
      types.push(event.type);
      if (event.type !== 'refresh') continue;
      const path = `/v1/jobs/${jobId}/refresh/${event.refreshId}`;
      expect(await failure(call('GET', `/v1/jobs/${jobId}/refresh/9`, undefined, auth))).toMatchObject({
        code: 'REFRESH_UNKNOWN',
      });
      const asked = new Uint8Array(await (await call('GET', path, undefined, auth)).arrayBuffer());
      const frame = decodeFrame(asked, 'refreshRequest');
      expect(frame.payload).toEqual(sealed(5));
      const damaged = encodeFrame('refreshReply', 0, sealed(50));
      damaged[damaged.length - 1]! ^= 1;
      expect(await failure(call('PUT', path, damaged, auth))).toEqual({
        status: 400,
        code: 'FRAME_CHECKSUM',
      });
      for (let repeat = 0; repeat < 2; repeat++) {
        expect((await call('PUT', path, encodeFrame('refreshReply', 0, sealed(50)), auth)).status).toBe(204);
      }
    }
    expect(types).toEqual(['refresh', 'progress', 'done']);
    const result = await call('GET', `/v1/jobs/${jobId}/result`, undefined, auth);
    const frame = decodeFrame(new Uint8Array(await result.arrayBuffer()), 'result');
    expect(decodeRows(frame.payload).ciphertexts).toEqual([sealed(51)]);
    const replayed: string[] = [];
    for await (const event of eventsOf(jobId, auth, 2)) replayed.push(event.type);
    expect(replayed).toEqual(['done']);
  });

  it('frees its place when it is closed, and only then', async () => {
    const { at, auth } = await openSession();
    expect(await failure(call('POST', '/v1/sessions', request))).toEqual({
      status: 503,
      code: 'SERVER_BUSY',
    });
    await call('DELETE', at, undefined, auth);
    await openSession();
  });
});

describe('bad input', () => {
  it('for opening a session', async () => {
    const other = { ...request, modelDigest: 'ee'.repeat(32) };
    expect(await failure(call('POST', '/v1/sessions', other))).toEqual({
      status: 409,
      code: 'MODEL_MISMATCH',
    });
    expect(await failure(call('POST', '/v1/sessions', { ...request, refresh: 'magic' }))).toEqual({
      status: 400,
      code: 'MESSAGE_INVALID',
    });
    expect(await failure(call('POST', '/v1/sessions', new TextEncoder().encode('{')))).toMatchObject({
      code: 'MESSAGE_INVALID',
    });
    const large = new Uint8Array((1 << 20) + 1);
    expect(await failure(call('POST', '/v1/sessions', large))).toEqual({
      status: 413,
      code: 'BODY_TOO_LARGE',
    });
    expect(await failure(call('GET', '/v1/nothing'))).toEqual({ status: 404, code: 'ROUTE_UNKNOWN' });
  });

  it('for authorisation', async () => {
    const { at } = await openSession();
    expect(await failure(call('GET', at))).toEqual({ status: 401, code: 'AUTH_REQUIRED' });
    const wrong = { authorization: `Bearer ${'0'.repeat(64)}` };
    expect(await failure(call('GET', at, undefined, wrong))).toMatchObject({ code: 'SESSION_UNKNOWN' });
    expect(await failure(call('GET', '/v1/model', undefined, { origin: 'http://example.org' }))).toEqual({
      status: 403,
      code: 'ORIGIN_NOT_ALLOWED',
    });
  });

  it('for keys', async () => {
    const { at, auth } = await openSession();
    const put = (index: number, body: Uint8Array, path = index) =>
      failure(call('PUT', `${at}/keys/${path}`, body, auth));
    const good = encodeFrame('key', 1, keyBytes(1));
    expect(await put(9, encodeFrame('key', 9, keyBytes(9)))).toEqual({ status: 404, code: 'KEY_UNKNOWN' });
    expect(await put(1, good.slice(0, 500))).toEqual({ status: 400, code: 'DATA_TRUNCATED' });
    const flipped = good.slice();
    flipped[700]! ^= 4;
    expect(await put(1, flipped)).toEqual({ status: 400, code: 'FRAME_CHECKSUM' });
    expect(await put(1, good, 2)).toMatchObject({ code: 'FRAME_INDEX' });
    expect(await put(1, encodeFrame('key', 1, keyBytes(1).slice(1)))).toMatchObject({ code: 'KEY_SIZE' });
    expect(await put(1, encodeFrame('key', 1, new Uint8Array(1001)))).toMatchObject({
      code: 'BODY_TOO_LARGE',
    });
    expect(await put(1, encodeFrame('block', 1, keyBytes(1)))).toMatchObject({ code: 'FRAME_KIND' });
    expect(await put(1, encodeFrame('key', 1, keyBytes(2)))).toEqual({ status: 400, code: 'KEY_PARAMETERS' });
    for (let repeat = 0; repeat < 2; repeat++) {
      const stored = await call('PUT', `${at}/keys/1`, good, auth);
      expect(await stored.json()).toEqual({ index: 1, missing: 2 });
    }
    expect(await put(1, encodeFrame('key', 1, keyBytes(2)))).toEqual({ status: 409, code: 'KEY_CONFLICT' });
    expect(await failure(call('POST', `${at}/blocks`, block(0, 1, sealed(1)), auth))).toEqual({
      status: 409,
      code: 'KEYS_MISSING',
    });
  });

  it('for the public part and blocks', async () => {
    const { at, auth } = await withKeys();
    const post = (body: Uint8Array) => failure(call('POST', `${at}/blocks`, body, auth));
    const tokens = (list: unknown) => failure(call('POST', `${at}/public`, { tokens: list }, auth));
    expect(await tokens([99])).toMatchObject({ code: 'TOKEN_UNKNOWN' });
    expect(await tokens(['a'])).toMatchObject({ code: 'MESSAGE_INVALID' });
    expect(await tokens(Array(13).fill(1))).toMatchObject({ code: 'PROMPT_TOO_LONG' });
    await call('POST', `${at}/public`, { tokens: [1, 2, 3] }, auth);
    expect(await tokens([1, 2])).toEqual({ status: 409, code: 'PUBLIC_CONFLICT' });
    expect(await post(block(0, 1, sealed(1)))).toMatchObject({ code: 'BLOCK_OUT_OF_ORDER' });
    expect(await post(block(3, 0))).toMatchObject({ code: 'BLOCK_EMPTY' });
    expect(await post(block(3, 5, sealed(1)))).toMatchObject({ code: 'BLOCK_TOO_LONG' });
    expect(await failure(call('GET', `/v1/jobs/${'0'.repeat(32)}/result`, undefined, auth))).toMatchObject({
      code: 'JOB_UNKNOWN',
    });
    const wrong = await runBlock(block(3, 1, new Uint8Array([1, 2])), at, auth);
    expect(wrong.events.at(-1)).toMatchObject({ type: 'failed', error: { code: 'CIPHERTEXT_PARAMETERS' } });
    expect(await failure(call('GET', `/v1/jobs/${wrong.jobId}/result`, undefined, auth))).toEqual({
      status: 409,
      code: 'JOB_NOT_DONE',
    });
    for (let position = 3; position < 11; position += 4)
      await runBlock(block(position, 4, sealed(1)), at, auth);
    expect(await post(block(11, 2, sealed(1)))).toMatchObject({ code: 'PROMPT_TOO_LONG' });
  });

  it('never puts the message of an unforeseen failure on the wire or in the log', async () => {
    const { at, auth } = await withKeys();
    await call('POST', `${at}/public`, { tokens: [] }, auth);
    const { events } = await runBlock(block(0, 3, sealed(1)), at, auth);
    expect(events.at(-1)).toMatchObject({ type: 'failed', error: { code: 'INTERNAL' } });
    expect(JSON.stringify(events) + JSON.stringify(lines)).not.toContain('canary-message');
  });
});
