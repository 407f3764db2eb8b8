// Two users of one server: every address of one is tried with every credential of the other.
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SottoError } from '@sotto/base';
import { Connection, KeySets, uploadKeySet } from '@sotto/client';
import { encodeFrame, jobStatusSchema, sessionSchema } from '@sotto/protocol';
import { type RunningServer, serve } from '@sotto/server';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { keyBytes, sealed, startEngine } from './fixtures/stand-in-engine.mjs';
import { callsOf, standInModel as model, standInBlock, standInKeySet } from './fixtures/stand-in-server.js';

const keySet = standInKeySet('client');
const folder = mkdtempSync(join(tmpdir(), 'sotto-users-'));
let server: RunningServer;

beforeAll(async () => {
  server = await serve({
    ...{ model, modelPath: 'none', backend: 'auto', threads: 1, startEngine },
    ...{ maxSessions: 4, keysFolder: folder, keysQuotaBytes: 7000, requestsPerSecond: 100_000 },
  });
});
afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

const block = (...data: number[]) => standInBlock(0, ...data);
const call = callsOf(() => server.url);
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'no error',
    (error) => (SottoError.is(error) ? error.code : String(error)),
  );

/** A user whose job waits for a refresh that nobody else can answer. */
async function user(id = randomBytes(16).toString('hex')) {
  const token = randomBytes(32).toString('hex');
  await uploadKeySet(new Connection(server.url), token, id, keySet, { makeKey: keyBytes });
  const request = {
    ...{ protocol: 1, modelDigest: model.digest, refresh: 'client', parameters: 'secure', keySet: id },
  };
  const opened = await call('POST', '/v1/sessions', token, request);
  const session = sessionSchema.parse(await opened.json());
  const at = `/v1/sessions/${session.sessionId}`;
  for (;;) {
    const { loaded } = (await (await call('GET', `${at}/keys`, session.token)).json()) as { loaded: number };
    if (loaded === 3) break;
  }
  expect((await call('POST', `${at}/public`, session.token, { tokens: [] })).status).toBe(200);
  const posted = await call('POST', `${at}/blocks`, session.token, block(5));
  const { jobId } = (await posted.json()) as { jobId: string };
  return { token, id, session, at, jobId, request };
}

const stateOf = async ({ jobId, session }: Awaited<ReturnType<typeof user>>) =>
  jobStatusSchema.parse(await (await call('GET', `/v1/jobs/${jobId}`, session.token)).json()).state;

it("neither reads, uses nor deletes what is the other's", async () => {
  // Both chose the same name for their sets: each has its own.
  const alice = await user('0f'.repeat(16));
  const bob = await user('0f'.repeat(16));
  const aliceOnly = randomBytes(16).toString('hex');
  await uploadKeySet(new Connection(server.url), alice.token, aliceOnly, keySet, { makeKey: keyBytes });
  const digest = createHash('sha256').update(keyBytes(1)).digest('hex');
  const set = `/v1/keysets/${aliceOnly}`;
  const job = `/v1/jobs/${alice.jobId}`;
  const tus = { 'upload-offset': '0', 'content-type': 'application/offset+octet-stream' };
  const attempts: [string, string, unknown?, object?][] = [
    ...['GET', 'DELETE', 'HEAD'].map((method): [string, string] => [method, set]),
    ['PUT', `${set}/keys/0`, { parts: [digest] }],
    ['HEAD', `${set}/parts/${digest}`],
    ['PATCH', `${set}/parts/${digest}`, keyBytes(1), tus],
    ...['GET', 'DELETE'].map((method): [string, string] => [method, alice.at]),
    ['GET', `${alice.at}/keys`],
    ['PUT', `${alice.at}/keys/0`, encodeFrame('key', 0, keyBytes(0))],
    ['POST', `${alice.at}/public`, { tokens: [] }],
    ['POST', `${alice.at}/blocks`, block(5)],
    ['POST', `${alice.at}/reset`],
    ...['GET', 'DELETE'].map((method): [string, string] => [method, job]),
    ...['events', 'result', 'refresh/0'].map((rest): [string, string] => ['GET', `${job}/${rest}`]),
    ['PUT', `${job}/refresh/0`, encodeFrame('refreshReply', 0, sealed(1))],
  ];
  const strangers = [
    bob.token,
    bob.session.token,
    alice.token.replace(/^./, (c) => (c === '0' ? '1' : '0')),
    '',
  ];
  let refused = 0;
  for (const [method, path, body, headers] of attempts) {
    for (const token of strangers) {
      const response = await call(method, path, token, body, headers);
      expect([401, 404], `${method} ${path}`).toContain(response.status);
      // What exists and what does not look alike.
      const elsewhere = path.replace(/[0-9a-f]{32}/, 'e'.repeat(32));
      const other = await call(method, elsewhere, token, body, headers);
      expect(await response.text()).toBe(await other.text());
      refused++;
    }
  }
  expect(refused).toBe(attempts.length * strangers.length);
  for (const token of [bob.token, bob.session.token, '']) {
    const response = await call('POST', '/v1/sessions', token, { ...alice.request, keySet: aliceOnly });
    expect([401, 404]).toContain(response.status);
  }
  // A client token opens no session, and a session token no key set.
  expect((await call('GET', alice.at, alice.token)).status).toBe(404);
  expect((await call('GET', set, alice.session.token)).status).toBe(404);

  expect(await stateOf(alice)).toBe('running');
  const sets = (token: string) => new KeySets(new Connection(server.url), token);
  expect((await sets(alice.token).list()).map(({ id }) => id).sort()).toEqual([alice.id, aliceOnly].sort());
  expect((await sets(bob.token).list()).map(({ id }) => id)).toEqual([bob.id]);

  expect(await codeOf(sets(alice.token).remove(alice.id))).toBe('KEYSET_IN_USE');
  await sets(alice.token).remove(aliceOnly);
  expect(await codeOf(sets(alice.token).show(aliceOnly))).toBe('KEYSET_UNKNOWN');

  expect((await call('DELETE', job, alice.session.token)).status).toBe(204);
  for (let tries = 0; tries < 100 && (await stateOf(alice)) === 'running'; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  expect(await stateOf(alice)).toBe('cancelled');
  expect(await stateOf(bob)).toBe('running');
  const events = await (await call('GET', `${job}/events`, alice.session.token)).text();
  expect(events).toContain('JOB_CANCELLED');
  for (const { at, session } of [alice, bob]) await call('DELETE', at, session.token);
  await sets(alice.token).remove(alice.id);
});

it('keeps each within a quota', async () => {
  const token = randomBytes(32).toString('hex');
  const upload = (n: number) =>
    uploadKeySet(new Connection(server.url), token, String(n).repeat(32), keySet, { makeKey: keyBytes });
  await upload(1);
  await upload(2);
  expect(await codeOf(upload(3))).toBe('KEYS_QUOTA');
  await new KeySets(new Connection(server.url), token).remove('1'.repeat(32));
  await upload(3);
});

it('tells a damaged piece, a wrong place and another list apart', async () => {
  const token = randomBytes(32).toString('hex');
  const set = `/v1/keysets/${'9'.repeat(32)}`;
  const failure = async (response: Promise<Response>) => {
    const received = await response;
    return [received.status, ((await received.json()) as { error: { code: string } }).error.code];
  };
  expect((await call('PUT', set, token, keySet)).status).toBe(200);
  expect(await failure(call('PUT', set, token, { ...keySet, planDigest: 'bc'.repeat(16) }))).toEqual([
    409,
    'KEYSET_CONFLICT',
  ]);
  const key = keyBytes(1);
  const digest = createHash('sha256').update(key).digest('hex');
  expect(await failure(call('PUT', `${set}/keys/1`, token, { parts: [digest, digest] }))).toEqual([
    400,
    'KEY_SIZE',
  ]);
  expect(await failure(call('PUT', `${set}/keys/7`, token, { parts: [digest] }))).toEqual([
    404,
    'KEY_UNKNOWN',
  ]);
  const patch = (offset: number, body: Uint8Array) =>
    call('PATCH', `${set}/parts/${digest}`, token, body, {
      'upload-offset': String(offset),
      'content-type': 'application/offset+octet-stream',
    });
  expect(await failure(patch(0, key))).toEqual([404, 'PART_UNKNOWN']);
  expect((await call('PUT', `${set}/keys/1`, token, { parts: [digest] })).status).toBe(200);
  expect((await patch(0, key.slice(0, 400))).headers.get('upload-offset')).toBe('400');
  expect(await failure(patch(0, key))).toEqual([409, 'PART_OFFSET']);
  expect(await failure(patch(400, key))).toEqual([413, 'BODY_TOO_LARGE']);
  const head = await call('HEAD', `${set}/parts/${digest}`, token);
  expect([head.headers.get('upload-offset'), head.headers.get('tus-resumable')]).toEqual(['400', '1.0.0']);
  expect(await failure(patch(400, new Uint8Array(600)))).toEqual([460, 'PART_DIGEST']);
  expect((await patch(0, key)).status).toBe(204);
  const session = { protocol: 1, modelDigest: model.digest, refresh: 'client', parameters: 'secure' };
  const named = { ...session, keySet: '9'.repeat(32) };
  expect(await failure(call('POST', '/v1/sessions', token, named))).toEqual([409, 'KEYSET_INCOMPLETE']);
});
