// Two users of one server: every address of one is tried with every credential of the other.
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SottoError } from '@sotto/base';
import { Connection, KeySets, uploadKeySet } from '@sotto/client';
import { encodeFrame, jobStatusSchema, type Route, routes, sessionSchema } from '@sotto/protocol';
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

interface Attempt {
  readonly method: string;
  readonly path: string;
  readonly owner: Route['token'];
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
}

/** What is sent to a route; a new one gets an empty object, which must not be looked at before the token is. */
const bodies: Record<string, (ids: Record<string, string>) => unknown> = {
  'post /v1/sessions': ({ set }) => ({
    ...{ protocol: 1, modelDigest: model.digest, refresh: 'client', parameters: 'secure', keySet: set },
  }),
  'put /v1/keysets/:set/keys/:index': ({ part }) => ({ parts: [part] }),
  'post /v1/sessions/:id/public': () => ({ tokens: [] }),
  'post /v1/sessions/:id/blocks': () => block(5),
};

/** Requests to a route with the given identifiers in its path and body. */
function attemptsOn({ method, path, token, request }: Route, ids: Record<string, string>): Attempt[] {
  // Making a set of a name that somebody else has too is allowed: names are one's own.
  if (`${method} ${path}` === 'put /v1/keysets/:set') return [];
  const values: Record<string, string> = { ...ids, index: '0', refresh: '0' };
  const address = path.replace(/:(\w+)/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`what is ${name} in ${path}?`);
    return value;
  });
  const frame =
    typeof request === 'object' && 'frame' in request
      ? encodeFrame(request.frame, 0, request.frame === 'key' ? keyBytes(0) : sealed(1))
      : undefined;
  const made = bodies[`${method} ${path}`]?.(ids) ?? frame;
  const upload = { 'upload-offset': '0', 'content-type': 'application/offset+octet-stream' };
  const attempt: Attempt = {
    method: method.toUpperCase(),
    path: address,
    owner: token,
    ...(request === 'part' ? { body: keyBytes(1), headers: upload } : {}),
    ...(request === undefined || request === 'part' ? {} : { body: made ?? {} }),
  };
  return method === 'get' ? [attempt, { ...attempt, method: 'HEAD' }] : [attempt];
}

const stateOf = async ({ jobId, session }: Awaited<ReturnType<typeof user>>) =>
  jobStatusSchema.parse(await (await call('GET', `/v1/jobs/${jobId}`, session.token)).json()).state;

it("neither reads, uses nor deletes what is the other's", async () => {
  // Both chose the same name for their sets: each has its own.
  const alice = await user('0f'.repeat(16));
  const bob = await user('0f'.repeat(16));
  const aliceOnly = randomBytes(16).toString('hex');
  const makeKey = (index: number) => new Uint8Array(1000).fill(100 + index);
  await uploadKeySet(new Connection(server.url), alice.token, aliceOnly, keySet, { makeKey });
  const digest = createHash('sha256').update(makeKey(1)).digest('hex');
  const set = `/v1/keysets/${aliceOnly}`;
  const job = `/v1/jobs/${alice.jobId}`;
  const ids = { set: aliceOnly, part: digest, id: alice.session.sessionId, job: alice.jobId };
  const hisSet = (attempt: Attempt) => ({ ...attempt, path: attempt.path.replace(aliceOnly, bob.id) });
  const attempts = routes
    .filter((route) => route.token !== 'none')
    .flatMap((route) => attemptsOn(route, ids));
  // A part of hers in a set of his.
  attempts.push(...attempts.flatMap((attempt) => (attempt.path.includes(digest) ? [hisSet(attempt)] : [])));
  const strangers = [
    bob.token,
    bob.session.token,
    alice.token.replace(/^./, (c) => (c === '0' ? '1' : '0')),
    '',
  ];
  const foreign = [aliceOnly, alice.session.sessionId, alice.jobId, digest];
  let refused = 0;
  for (const { method, path, body, headers } of attempts) {
    for (const token of strangers) {
      const response = await call(method, path, token, body, headers);
      const text = await response.text();
      for (const id of foreign) expect(text, `${method} ${path}`).not.toContain(id);
      // A list of one's own things is one's own.
      if (!foreign.some((id) => path.includes(id) || JSON.stringify(body)?.includes(id))) continue;
      expect([401, 404], `${method} ${path}`).toContain(response.status);
      refused++;
      // What exists and what does not look alike.
      const elsewhere = path.replace(/(?<=\/)[0-9a-f]{32}(?=\/|$)/, 'e'.repeat(32));
      const other = await call(method, elsewhere, token, body, headers);
      if (!path.includes(bob.id)) expect(text).toBe(await other.text());
    }
  }
  const addressed = routes.filter(({ path }) => path.includes(':')).length;
  expect(refused).toBeGreaterThanOrEqual(addressed * strangers.length);
  // The same addresses are hers: with her own tokens they exist.
  for (const { method, path, owner } of attempts.filter((attempt) => attempt.method === 'GET')) {
    if (path.includes(bob.id) || path.includes('/parts/')) continue;
    const { status } = await call('HEAD', path, owner === 'client' ? alice.token : alice.session.token);
    expect([200, 409], `${method} ${path}`).toContain(status);
  }
  // A client token opens no session, and a session token no key set.
  expect((await call('GET', alice.at, alice.token)).status).toBe(404);
  expect((await call('GET', set, alice.session.token)).status).toBe(404);

  // Paused when its client has been away for a while.
  expect(['running', 'paused']).toContain(await stateOf(alice));
  const sets = (token: string) => new KeySets(new Connection(server.url), token);
  expect((await sets(alice.token).list()).map(({ id }) => id).sort()).toEqual([alice.id, aliceOnly].sort());
  expect((await sets(bob.token).list()).map(({ id }) => id)).toEqual([bob.id]);

  expect(await codeOf(sets(alice.token).remove(alice.id))).toBe('KEYSET_IN_USE');
  await sets(alice.token).remove(aliceOnly);
  expect(await codeOf(sets(alice.token).show(aliceOnly))).toBe('KEYSET_UNKNOWN');

  expect((await call('DELETE', job, alice.session.token)).status).toBe(204);
  for (let tries = 0; tries < 100 && (await stateOf(alice)) !== 'cancelled'; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  expect(await stateOf(alice)).toBe('cancelled');
  expect(['running', 'paused']).toContain(await stateOf(bob));
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
