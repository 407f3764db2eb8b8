// Clients that are slow, or gone without a word: what they sent is kept, what they hold is freed, others notice nothing.
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Connection, uploadKeySet } from '@sotto/client';
import { decodeFrame } from '@sotto/protocol';
import { residentBytes } from './processes.mjs';
import { newToken, pause } from './recording.mjs';
import { call, standInKeySet, startStandIn } from './stand-in.mjs';
import { round, spread } from './statistics.mjs';

const KEY_BYTES = 6_000_000;

/** Ports of clients whose connection to a port of this machine is held by the server's process. */
function heldPeers(port) {
  const held = new Set();
  for (const line of readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1)) {
    const [, local, remote, state] = line.trim().split(/\s+/);
    if (state !== '01' && state !== '08') continue;
    if (Number.parseInt(local.split(':')[1], 16) === port)
      held.add(Number.parseInt(remote.split(':')[1], 16));
  }
  return held;
}

async function withServer(options, work) {
  const folder = mkdtempSync(join(tmpdir(), 'sotto-slow-'));
  const server = await startStandIn({ folder, ...options });
  try {
    return { ...(await work(server, Number(new URL(server.url).port))), serverAlive: server.alive };
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

const head = (method, path, port, token, headers = '') =>
  `${method} ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nauthorization: Bearer ${token}\r\n${headers}`;
const patchHeaders = (sizeBytes) =>
  `upload-offset: 0\r\ncontent-type: application/offset+octet-stream\r\ncontent-length: ${sizeBytes}\r\n\r\n`;

/** A set of one announced key. */
async function announced(url) {
  const key = randomBytes(KEY_BYTES);
  const token = newToken();
  const id = randomBytes(16).toString('hex');
  const part = createHash('sha256').update(key).digest('hex');
  await call(url, 'PUT', `/v1/keysets/${id}`, token, standInKeySet([KEY_BYTES]));
  await call(url, 'PUT', `/v1/keysets/${id}/keys/0`, token, { parts: [part] });
  return { key, token, id, path: `/v1/keysets/${id}/parts/${part}` };
}

/**
 * Clients that send and clients that read 1 kB a second, until they are cut off; others upload meanwhile.
 *
 * @param {{ seconds: number, clients: number }} options
 */
export const slowClients = ({ seconds, clients }) =>
  withServer({}, async ({ url }, port) => {
    const slow = [];
    for (let n = 0; n < clients; n++) {
      const set = await announced(url);
      const socket = connect(port, '127.0.0.1').on('error', () => {});
      socket.write(head('PATCH', set.path, port, set.token, patchHeaders(KEY_BYTES)));
      slow.push({ ...set, socket, sent: 0 });
    }
    const reader = await announced(url);
    const upload = ({ token, id, key }) =>
      uploadKeySet(new Connection(url), token, id, standInKeySet([KEY_BYTES]), { makeKey: () => key });
    await upload(reader);
    const reading = connect(port, '127.0.0.1').on('error', () => {});
    reading.write(`${head('GET', `/v1/keysets/${reader.id}/keys/0`, port, reader.token)}\r\n`);
    reading.pause();
    const health = [];
    let othersUploaded = 0;
    for (let second = 0; second < seconds; second++) {
      const endMs = performance.now() + 1000;
      for (const each of slow) {
        each.socket.write(each.key.subarray(each.sent, each.sent + 1000));
        each.sent += 1000;
      }
      reading.read(1000);
      const startMs = performance.now();
      await (await fetch(`${url}/health`)).text();
      health.push(performance.now() - startMs);
      if (second % 5 === 0) {
        await upload(await announced(url));
        othersUploaded++;
      }
      await pause(Math.max(0, endMs - performance.now()));
    }
    await pause(200);
    for (const { socket } of [...slow, { socket: reading }]) socket.destroy();
    let keptBytes = 0;
    let sentBytes = 0;
    let intact = 0;
    let sentAgainBytes = 0;
    for (const set of slow) {
      const response = await call(url, 'HEAD', set.path, set.token);
      const kept = Number(response.headers.get('upload-offset'));
      keptBytes += kept;
      sentBytes += set.sent;
      sentAgainBytes += (await upload(set)).bytesUp - (KEY_BYTES - kept);
      const stored = await call(url, 'GET', `/v1/keysets/${set.id}/keys/0`, set.token);
      const { payload } = decodeFrame(new Uint8Array(await stored.arrayBuffer()), 'key');
      if (set.key.equals(Buffer.from(payload))) intact++;
    }
    return {
      clients,
      seconds,
      sentBytes,
      keptBytes,
      sentAgainBytes,
      intact,
      othersUploaded,
      health: spread(health),
    };
  });

/**
 * Connections that stay open without a word: before, within and after a request, and with an answer that nobody reads.
 *
 * @param {{ each: number, seconds: number, stalledMs?: number, only?: readonly string[] }} options `each` of every kind, or of
 *   those named, watched for `seconds`.
 */
export const halfOpen = ({ each, seconds, stalledMs, only }) =>
  withServer(stalledMs ? { stalledMs } : {}, async ({ url, pid }, port) => {
    const set = await announced(url);
    const stored = await announced(url);
    await uploadKeySet(new Connection(url), stored.token, stored.id, standInKeySet([KEY_BYTES]), {
      makeKey: () => stored.key,
    });
    const residentBefore = residentBytes(pid);
    const kinds = {
      silent: '',
      withinHeaders: `${head('GET', '/health', port, set.token)}x: `,
      withinUpload: `${head('PATCH', set.path, port, set.token, patchHeaders(KEY_BYTES))}abc`,
      withinMessage: `${head('PUT', `/v1/keysets/${'7'.repeat(32)}`, port, set.token)}content-length: 500\r\n\r\n{`,
      afterAnswer: `${head('GET', '/health', port, set.token)}\r\n`,
      answerUnread: `${head('GET', `/v1/keysets/${stored.id}/keys/0`, port, stored.token)}\r\n`,
    };
    const names = only ?? Object.keys(kinds);
    const freedAfterSeconds = {};
    const startMs = performance.now();
    const sockets = [];
    for (const kind of names) {
      for (let n = 0; n < each; n++) {
        const socket = connect(port, '127.0.0.1').on('error', () => {});
        sockets.push({ kind, socket });
        if (kind === 'answerUnread') socket.pause();
        else socket.resume();
        if (kinds[kind]) socket.write(kinds[kind]);
      }
    }
    await pause(500);
    const ports = sockets.map(({ kind, socket }) => ({ kind, port: socket.localPort }));
    let residentMost = residentBefore;
    let slowestHealthMs = 0;
    let open = {};
    do {
      await pause(250);
      const askedMs = performance.now();
      await (await fetch(`${url}/health`)).text();
      slowestHealthMs = Math.max(slowestHealthMs, performance.now() - askedMs);
      residentMost = Math.max(residentMost, residentBytes(pid));
      const held = heldPeers(port);
      open = {};
      for (const { kind, port } of ports) if (held.has(port)) open[kind] = (open[kind] ?? 0) + 1;
      for (const kind of names) {
        if (!open[kind]) freedAfterSeconds[kind] ??= round((performance.now() - startMs) / 1000);
      }
    } while (Object.keys(open).length > 0 && performance.now() - startMs < 1000 * seconds);
    for (const { socket } of sockets) socket.destroy();
    return {
      each,
      freedAfterSeconds,
      leftOpen: open,
      slowestHealthMs: round(slowestHealthMs),
      residentMB: { before: round(residentBefore / 1e6), most: round(residentMost / 1e6) },
    };
  });
