// Requests that are damaged, mixed up and made up, against a server on which somebody else has keys and a waiting job: every answer
// is one of the protocol, none holds a byte of the other's, and the other's work goes on.
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Connection, uploadKeySet } from '@sotto/client';
import { decodeFrame, decodeRows, encodeFrame, errorBodySchema, routes } from '@sotto/protocol';
import fc from 'fast-check';
import { keyBytes, sealed } from '../../tests/fixtures/stand-in-engine.mjs';
import { damaged, damages } from './fuzz-decoders.mjs';
import { residentBytes } from './processes.mjs';
import { newToken, pause } from './recording.mjs';
import { blockOf, call, openUser, standInKeySet, standInModel, startStandIn } from './stand-in.mjs';
import { round } from './statistics.mjs';

const PARALLEL = 8;
const HANG_MS = 30_000;
/** Streams of events end with their job; what has come until then is looked at. */
const STREAM_MS = 150;
/** Well within the time that a refresh may wait for its answer. */
const VICTIM_MS = 3 * 60_000;
const ANSWER_LIMIT_BYTES = 1 << 20;

const agent = new Agent({ keepAlive: true, maxSockets: PARALLEL });

/** How to find bytes again however they may have been written. */
const spellings = (bytes) => ['latin1', 'hex', 'base64'].map((encoding) => bytes.toString(encoding));

/** A user with a stored key set of random bytes and a job that waits for them; everything of theirs that may not be seen. */
async function plantVictim(url) {
  const data = randomBytes(96);
  const user = await openUser(url, data);
  const secretKey = randomBytes(5_000);
  const secretSet = randomBytes(16).toString('hex');
  await uploadKeySet(new Connection(url), user.token, secretSet, standInKeySet([secretKey.length]), {
    makeKey: () => secretKey,
  });
  const canaries = [
    ...[user.token, user.session.token].flatMap((text) => [text, ...spellings(Buffer.from(text, 'hex'))]),
    ...spellings(data.subarray(20, 44)),
    ...[0, 1024, 4900].flatMap((at) => spellings(secretKey.subarray(at, at + 24))),
    createHash('sha256').update(secretKey).digest('hex'),
  ];
  // The name of the other set is tried out: whoever makes a set of that name has one of their own.
  const identifiers = [user.setId, user.session.sessionId, user.jobId];
  return { ...user, data, secretKey, secretSet, canaries, identifiers };
}

const odd = fc.oneof(
  fc.constantFrom(
    '..',
    '%2e%2e%2fetc',
    '%00',
    '0',
    '-1',
    '999999999',
    '1e9',
    '%F0%9F%A6%A6',
    'a'.repeat(300),
    '*',
  ),
  fc.stringMatching(/^[0-9a-f]{32}$/),
  fc.stringMatching(/^[0-9a-f]{64}$/),
  fc.webPath().map((path) => path.slice(1)),
);

/** Mostly nothing. */
const seldom = (one, arbitrary) =>
  fc.oneof({ weight: one - 1, arbitrary: fc.constant(null) }, { weight: 1, arbitrary });

/** What a request is made of, as choices: the values behind them change while the server runs. */
const plan = fc.record({
  route: fc.nat(routes.length - 1),
  method: seldom(12, fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'HEAD', 'TRACE')),
  parameters: fc.array(
    fc.oneof(
      { weight: 5, arbitrary: fc.constant('own') },
      { weight: 2, arbitrary: fc.constant('victim') },
      odd,
    ),
    {
      minLength: 3,
      maxLength: 3,
    },
  ),
  token: fc.oneof(
    { weight: 6, arbitrary: fc.constant('fitting') },
    fc.constantFrom(
      'client',
      'session',
      'other',
      'none',
      'Basic YTpi',
      'Bearer ',
      `bearer ${'0'.repeat(64)}`,
    ),
  ),
  body: fc.oneof(
    { weight: 5, arbitrary: fc.constant('valid') },
    { weight: 4, arbitrary: damages.map((list) => ({ damages: list })) },
    fc.jsonValue({ maxDepth: 3 }).map((json) => ({ json })),
    fc.uint8Array({ maxLength: 400 }).map((bytes) => ({ bytes })),
    fc.constantFrom('none', 'large'),
  ),
  headers: seldom(
    4,
    fc.dictionary(
      fc.constantFrom(
        'upload-offset',
        'last-event-id',
        'content-type',
        'origin',
        'host',
        'expect',
        'content-encoding',
        'x-forwarded-for',
      ),
      fc.oneof(
        fc.string({ unit: 'grapheme-ascii', maxLength: 30 }),
        fc.constantFrom('0', '-1', '1e99', 'NaN', '9007199254740993'),
      ),
      { maxKeys: 2 },
    ),
  ),
  raw: seldom(40, damages),
});

/** A request of the protocol as it should be. */
function validBody({ path, request }, own) {
  if (request === undefined) return undefined;
  if (request === 'part') return keyBytes(1);
  if (request === 'text') return Buffer.from('text');
  if ('frame' in request) {
    if (request.frame === 'block') return blockOf([1, 2, 3]);
    return encodeFrame(request.frame, 0, request.frame === 'key' ? keyBytes(0) : sealed(1));
  }
  const json = {
    '/v1/answers': {
      protocol: 1,
      mode: 'sanitized',
      modelDigest: standInModel.digest,
      tokens: [1, 2],
      maxTokens: 2,
      endTokens: [],
    },
    '/v1/keysets/:set': standInKeySet(),
    '/v1/keysets/:set/keys/:index': { parts: [own.part] },
    '/v1/sessions': {
      protocol: 1,
      modelDigest: standInModel.digest,
      refresh: 'bootstrap',
      parameters: 'secure',
    },
    '/v1/sessions/:id/public': { tokens: [] },
  }[path];
  if (json === undefined) throw new Error(`no example of a body for ${path}`);
  return Buffer.from(JSON.stringify(json));
}

function compose({ route, method, parameters, token, body, headers }, own, victim) {
  const known = routes[route];
  let next = 0;
  let namesVictim = false;
  const ownOf = {
    set: own.setId,
    id: own.session.sessionId,
    job: own.jobId,
    part: own.part,
    index: '0',
    refresh: '0',
  };
  const victimOf = {
    set: victim.secretSet,
    id: victim.session.sessionId,
    job: victim.jobId,
    part: own.part,
    index: '0',
    refresh: '0',
  };
  const path = known.path.replace(/:(\w+)/g, (_, name) => {
    const choice = parameters[next++ % parameters.length];
    namesVictim ||= choice === 'victim';
    return choice === 'own' ? ownOf[name] : choice === 'victim' ? victimOf[name] : choice;
  });
  const bearer = { client: own.token, session: own.session.token, other: newToken() };
  const fitting = { client: own.token, session: own.session.token, none: undefined }[known.token];
  const authorization =
    token === 'fitting'
      ? fitting && `Bearer ${fitting}`
      : token === 'none'
        ? undefined
        : bearer[token]
          ? `Bearer ${bearer[token]}`
          : token;
  const valid = () => validBody(known, own) ?? new Uint8Array();
  const content =
    body === 'none'
      ? undefined
      : body === 'valid'
        ? validBody(known, own)
        : body === 'large'
          ? new Uint8Array(70_000)
          : 'damages' in body
            ? damaged(valid(), body.damages)
            : 'json' in body
              ? Buffer.from(JSON.stringify(body.json))
              : body.bytes;
  return {
    namesVictim,
    method: method ?? known.method.toUpperCase(),
    path,
    headers: {
      ...(authorization ? { authorization } : {}),
      ...(known.request === 'part'
        ? { 'upload-offset': '0', 'content-type': 'application/offset+octet-stream' }
        : {}),
      ...headers,
    },
    content,
  };
}

/** @returns status, headers and body as one text of bytes; null when the platform refuses to send this. */
function send(url, { method, path, headers, content }) {
  return new Promise((resolve, reject) => {
    let sent;
    const hang = setTimeout(() => {
      sent.destroy();
      reject(new Error('HANG'));
    }, HANG_MS);
    const end = (value) => {
      clearTimeout(hang);
      resolve(value);
    };
    try {
      sent = httpRequest(`${url}`, { agent, method, path, headers });
    } catch {
      return end(null);
    }
    sent.on('error', () => end({ status: 0, text: '' }));
    sent.on('response', (response) => {
      const pieces = [Buffer.from(JSON.stringify(response.headers))];
      let sizeBytes = 0;
      const stream = setTimeout(
        () => response.destroy(),
        STREAM_MS * (/event-stream/.test(response.headers['content-type'] ?? '') ? 1 : 1e3),
      );
      response.on('data', (piece) => {
        sizeBytes += piece.length;
        if (sizeBytes < ANSWER_LIMIT_BYTES) pieces.push(piece);
      });
      response.on('error', () => {});
      response.on('close', () => {
        clearTimeout(stream);
        end({
          status: response.statusCode,
          text: Buffer.concat(pieces).toString('latin1'),
          body: Buffer.concat(pieces.slice(1)).toString(),
        });
      });
    });
    sent.end(content);
  });
}

/** Sends bytes that need not be HTTP and takes what comes. */
function sendRaw(port, { method, path, headers, content = new Uint8Array() }, list) {
  return new Promise((resolve) => {
    const lines = Object.entries({ host: `127.0.0.1:${port}`, ...headers, 'content-length': content.length });
    const head = `${method} ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
    const socket = connect(port, '127.0.0.1');
    let text = '';
    const give = () => resolve({ status: null, text });
    socket.on('error', () => {}).on('close', give);
    socket.on('data', (data) => {
      text += data.toString('latin1');
    });
    socket.setTimeout(STREAM_MS, () => socket.destroy());
    socket.end(damaged(Buffer.concat([Buffer.from(head), content]), list));
  });
}

/** What is wrong with an answer; undefined when nothing is. */
function fault(answer, victim, namesVictim) {
  for (const canary of victim.canaries) if (answer.text.includes(canary)) return 'SECRET';
  if (!namesVictim) for (const id of victim.identifiers) if (answer.text.includes(id)) return 'IDENTIFIER';
  if (answer.text.includes('canary-message')) return 'MESSAGE';
  if (answer.status === null || answer.status === 0 || answer.status < 400) return undefined;
  if (answer.body === '') return undefined;
  const parsed = (() => {
    try {
      return errorBodySchema.safeParse(JSON.parse(answer.body));
    } catch {
      return { success: false };
    }
  })();
  if (!parsed.success) return 'UNTYPED';
  return parsed.data.error.code === 'INTERNAL' ? 'INTERNAL' : undefined;
}

/**
 * Sends requests until there were `cases` or the time is over, then lets the other user finish.
 *
 * @param {{ cases: number, seconds: number, seed?: number }} options
 */
export async function fuzzHttp({ cases, seconds, seed = Date.now() % 2 ** 31 }) {
  const folder = mkdtempSync(join(tmpdir(), 'sotto-fuzz-'));
  const server = await startStandIn({ folder, maxSessions: 6, maxJobs: 4, idleTimeoutMs: 2_000 });
  const { url } = server;
  const port = Number(new URL(url).port);
  const seen = { seed, cases: 0, unsent: 0, connectionsClosed: 0, hangs: 0, statuses: {}, faults: [] };
  try {
    let victim = await plantVictim(url);
    let plantedMs = performance.now();
    let othersFinished = 0;
    let othersLost = 0;
    const finishVictim = async () => {
      if (await finish(url, victim).catch(() => false)) othersFinished++;
      else othersLost++;
    };
    const startMs = performance.now();
    let own;
    let warmBytes;
    let slowestMs = 0;
    const one = async (choices) => {
      const composed = compose(choices, own, victim);
      const startMs = performance.now();
      try {
        const answer = await (choices.raw ? sendRaw(port, composed, choices.raw) : send(url, composed));
        seen.cases++;
        if (answer === null) {
          seen.unsent++;
          return;
        }
        slowestMs = Math.max(slowestMs, performance.now() - startMs);
        if (answer.status === 0) seen.connectionsClosed++;
        const status = choices.raw ? 'raw' : answer.status;
        seen.statuses[status] = (seen.statuses[status] ?? 0) + 1;
        const found = fault(answer, victim, composed.namesVictim);
        if (found)
          seen.faults.push(`${found}: ${composed.method} ${composed.path} ${answer.text.slice(-300)}`);
      } catch {
        seen.hangs++;
        seen.faults.push(`HANG: ${composed.method} ${composed.path}`);
      }
    };
    for (let batch = 0; seen.cases < cases && performance.now() - startMs < 1000 * seconds; batch++) {
      if (performance.now() - plantedMs > VICTIM_MS) {
        await finishVictim();
        victim = await plantVictim(url);
        plantedMs = performance.now();
      }
      own = await openUser(url, [1, 2, 3], batch % 2 === 0 ? 'client' : 'bootstrap').catch(() => own);
      if (own === undefined) throw new Error('no session for the requests');
      own.part = createHash('sha256').update(keyBytes(1)).digest('hex');
      const list = fc.sample(plan, { numRuns: Math.min(400, cases), seed: seed + batch });
      await Promise.all(
        Array.from({ length: PARALLEL }, async () => {
          for (let next = list.pop(); next; next = list.pop()) await one(next);
        }),
      );
      await call(url, 'DELETE', own.at, own.session.token).catch(() => {});
      await call(url, 'DELETE', `/v1/keysets/${own.setId}`, own.token).catch(() => {});
      const share = Math.max(seen.cases / cases, (performance.now() - startMs) / (1000 * seconds));
      if (share >= 0.25) warmBytes ??= residentBytes(server.pid);
    }
    await finishVictim();
    return {
      ...seen,
      faults: seen.faults.slice(0, 20),
      faultCount: seen.faults.length,
      slowestMs: round(slowestMs),
      seconds: round((performance.now() - startMs) / 1000),
      residentMB: {
        afterAQuarter: round((warmBytes ?? 0) / 1e6),
        atEnd: round(residentBytes(server.pid) / 1e6),
      },
      serverAlive: server.alive,
      othersFinished,
      othersLost,
    };
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The planted job ends with the right result, and the planted key is as it was. */
async function finish(url, { jobId, session, data, token, secretSet, secretKey }) {
  const refresh = `/v1/jobs/${jobId}/refresh/0`;
  const asked = await call(url, 'GET', refresh, session.token);
  const { payload } = decodeFrame(new Uint8Array(await asked.arrayBuffer()), 'refreshRequest');
  await call(url, 'PUT', refresh, session.token, encodeFrame('refreshReply', 0, payload));
  let result;
  for (let tries = 0; tries < 200 && !result?.ok; tries++) {
    await pause(10);
    result = await call(url, 'GET', `/v1/jobs/${jobId}/result`, session.token);
  }
  const rows = decodeRows(decodeFrame(new Uint8Array(await result.arrayBuffer()), 'result').payload);
  const wanted = Buffer.from(sealed(...data.map((byte) => byte + 1)));
  const key = await call(url, 'GET', `/v1/keysets/${secretSet}/keys/0`, token);
  const stored = decodeFrame(new Uint8Array(await key.arrayBuffer()), 'key').payload;
  return wanted.equals(Buffer.from(rows.ciphertexts[0])) && secretKey.equals(Buffer.from(stored));
}
