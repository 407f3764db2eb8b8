import type { Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { serve as listen } from '@hono/node-server';
import { SottoError } from '@sotto/base';
import type { AnswerMode, ModelInfo } from '@sotto/protocol';
import { createApp } from './app.js';
import { availableMemoryBytes } from './engine/memory.js';
import type { StartEngine } from './engine/port.js';
import { startProcessEngine } from './engine/process-engine.js';
import { PublicMemory } from './engine/public-store.js';
import { KeyStore } from './keys/key-store.js';
import { type Logger, silentLogger } from './log.js';
import { Journals } from './state/journal.js';
import { SessionStore } from './state/session-store.js';
import type { StartTextModel } from './text/port.js';
import { TextService } from './text/text-service.js';
import { startWorkerTextModel } from './text/worker-text-model.js';

export interface ServeOptions {
  readonly model: ModelInfo;
  readonly modelPath: string;
  /** Calibration of the model; the one at hand when absent. */
  readonly calibrationPath?: string | undefined;
  /** Kernels to use: `native`, `wasm` or `auto`. */
  readonly backend: string;
  readonly threads: number;
  /** Default 127.0.0.1. Anything else sends session tokens over the network in clear unless a proxy adds TLS. */
  readonly host?: string;
  /** 0, the default, lets the system choose. */
  readonly port?: number;
  /** Modes in which the server answers, default both. In `sanitized` it reads prompts whose words clients replaced. */
  readonly modes?: readonly AnswerMode[];
  /** Prompt and answer in clear together take at most this many positions, default 4096; the context of the model if less. */
  readonly maxTextPositions?: number;
  /** Allows parameters below 128 bits; for tests only. */
  readonly allowInsecure?: boolean;
  /** Sessions that hold their keys in memory at a time, default 1. */
  readonly maxSessions?: number;
  /** Memory of all engines together, as planned; default what the machine has left. */
  readonly memoryBudgetBytes?: number;
  /** Idle keys stay in memory this long although another session waits for the memory; default 10 s. */
  readonly keepMs?: number;
  readonly idleTimeoutMs?: number;
  /** Jobs that run at a time, default one a session. */
  readonly maxJobs?: number;
  /** Folder for key sets that outlive sessions and restarts; keys live in memory only when it is absent. */
  readonly keysFolder?: string;
  /** Folder for sessions whose keys are stored, so that they and their jobs outlive the server; they do not when it is absent. */
  readonly stateFolder?: string;
  /** Keeps keys that sessions compute with in a file of this folder instead of memory (native kernels on Linux). */
  readonly keyMemoryFolder?: string;
  /** A key set that nobody uses for this long is removed, default 30 days. */
  readonly keysLifetimeMs?: number;
  /** Of all key sets of one owner, default 16 GiB. */
  readonly keysQuotaBytes?: number;
  /** Of all key sets, default 64 GiB. */
  readonly keysTotalQuotaBytes?: number;
  /** Allows a host that other machines can reach, without TLS of its own. */
  readonly allowPublic?: boolean;
  /** Names besides `host` by which clients may address the server, e.g. that of a proxy. */
  readonly names?: readonly string[];
  /** Origins of web pages that may use the server, e.g. `https://page.example`; none by default. */
  readonly origins?: readonly string[];
  /** Requests a second from one address, on average; default 200. */
  readonly requestsPerSecond?: number;
  /** A connection on which nothing moves for this long is closed, unless its request is being worked on; default a minute. */
  readonly stalledMs?: number;
  /** Running blocks get this long to end when the server is closed; default none. */
  readonly graceMs?: number;
  readonly log?: Logger;
  /** Default: the encrypted transformer in a process a session. */
  readonly startEngine?: StartEngine;
  /** Default: the clear model in one worker thread, for all clients. */
  readonly startTextModel?: StartTextModel;
}

export interface RunningServer {
  readonly url: string;
  readonly port: number;
  /** Stops listening, ends every session and frees its memory. */
  close(): Promise<void>;
}

const HEADER_TIMEOUT_MS = 15_000;
/** A body may take this long as a whole; each of its pauses is limited too. */
const REQUEST_TIMEOUT_MS = 10 * 60_000;
/** For what sessions share: keys and values of public parts. */
const PUBLIC_MEMORY_BYTES = 128 << 20;
const FLUSH_MS = 200;
const MAX_TEXT_POSITIONS = 4096;
const MAX_QUEUED_ANSWERS = 32;
const CONNECTION_CHECK_MS = 5_000;
const STALLED_MS = 60_000;
const MAX_HEADER_BYTES = 16 << 10;
const MAX_CONNECTIONS = 512;
const DAY_MS = 24 * 3600_000;

const engineModule = new URL('./engine/llama-engine.js', import.meta.url).href;

const isLoopback = (host: string) =>
  host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);

function requirePrivate(host: string): void {
  if (isLoopback(host)) return;
  throw new SottoError(
    'Other machines could reach this address, and tokens would cross the network in clear.',
    {
      code: 'SERVER_PUBLIC',
      facts: { host },
      fix: 'Put a proxy with TLS in front of a loopback address, or say --public when the network is trusted.',
    },
  );
}

/**
 * Closes connections on which nothing moves: an answer that its client does not read would stay in memory for as long as the client
 * likes, and a client that vanished without a word would keep its connection for ever. Work that takes long is waited for.
 */
function closeStalled(server: Server, stalledMs: number): void {
  const working = new Map<Socket, number>();
  server.on('request', (request, response) => {
    const { socket } = request;
    working.set(socket, (working.get(socket) ?? 0) + 1);
    response.once('close', () => {
      const rest = working.get(socket)! - 1;
      if (rest > 0) working.set(socket, rest);
      else working.delete(socket);
    });
  });
  server.setTimeout(stalledMs, (socket) => {
    if (socket.writableLength > 0 || !working.has(socket)) socket.destroy();
  });
}

/**
 * Starts the HTTP server.
 *
 * @throws `SERVER_ADDRESS` when it cannot listen there; `SERVER_PUBLIC` for an address beyond this machine that was not
 *   allowed by name; `KEYS_DISK` or `STATE_DISK` when a folder cannot be used.
 */
export async function serve(options: ServeOptions): Promise<RunningServer> {
  const { model, modelPath, calibrationPath, backend, threads } = options;
  const host = options.host ?? '127.0.0.1';
  const log = options.log ?? silentLogger;
  if (!options.allowPublic) requirePrivate(host);
  const keyStore =
    options.keysFolder === undefined
      ? null
      : await KeyStore.open({
          folder: options.keysFolder,
          lifetimeMs: options.keysLifetimeMs ?? 30 * DAY_MS,
          ownerQuotaBytes: options.keysQuotaBytes ?? 16 * 2 ** 30,
          totalQuotaBytes: options.keysTotalQuotaBytes ?? 64 * 2 ** 30,
          log,
        });
  const memoryBudgetBytes = options.memoryBudgetBytes ?? availableMemoryBytes();
  const publicStore = new PublicMemory(PUBLIC_MEMORY_BYTES);
  const sessions = new SessionStore({
    startEngine:
      options.startEngine ?? ((engine) => startProcessEngine(engine, { engineModule, log, publicStore })),
    memoryBudgetBytes,
    keepMs: options.keepMs,
    engine: {
      modelPath,
      calibrationPath,
      backend,
      threads,
      memoryBudgetBytes,
      ...(options.keyMemoryFolder === undefined ? {} : { keyMemoryFolder: options.keyMemoryFolder }),
    },
    modelDigest: model.digest,
    allowInsecure: options.allowInsecure ?? false,
    maxSessions: options.maxSessions ?? 1,
    idleTimeoutMs: options.idleTimeoutMs ?? 30 * 60_000,
    maxJobs: options.maxJobs ?? options.maxSessions ?? 1,
    keyStore,
    journals: options.stateFolder === undefined ? null : await Journals.open(options.stateFolder),
    log,
  });
  await sessions.restore();
  // Not before sessions have told which sets are in use: a clock that jumped must not cost them their keys.
  await keyStore?.sweep();
  const modes = options.modes ?? ['fhe', 'sanitized'];
  const text = !modes.includes('sanitized')
    ? null
    : new TextService({
        modelPath,
        modelDigest: model.digest,
        config: model.config,
        startTextModel: options.startTextModel ?? ((path) => startWorkerTextModel(path, log)),
        maxQueued: MAX_QUEUED_ANSWERS,
        maxPositions: options.maxTextPositions ?? MAX_TEXT_POSITIONS,
        log,
      });
  const names = (options.names ?? []).map((name) => name.toLowerCase());
  const allowedHosts = new Set([
    ...['localhost', '127.0.0.1', '[::1]', host.includes(':') ? `[${host}]` : host.toLowerCase()],
    ...names,
  ]);
  const { requestsPerSecond = 200 } = options;
  const allowedOrigins = new Set(options.origins ?? []);
  const app = createApp({
    model,
    sessions,
    text,
    modes,
    allowedHosts,
    allowedOrigins,
    log,
    keyStore,
    requestsPerSecond,
  });
  const server = await new Promise<Server>((resolve, reject) => {
    const serverOptions = {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADER_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: CONNECTION_CHECK_MS,
    };
    const started = listen({ fetch: app.fetch, hostname: host, port: options.port ?? 0, serverOptions }, () =>
      resolve(started),
    ) as Server;
    started.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        new SottoError('The server cannot listen at this address.', {
          code: 'SERVER_ADDRESS',
          facts: { host, port: options.port ?? 0, reason: error.code ?? 'unknown' },
          fix: 'Choose another --port or --host.',
        }),
      ),
    );
  });
  server.keepAliveTimeout = 75_000;
  server.maxConnections = MAX_CONNECTIONS;
  closeStalled(server, options.stalledMs ?? STALLED_MS);
  const { port } = server.address() as AddressInfo;
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
  log('listening', { url, model: model.name, backend: model.backend.name, threads });
  return {
    url,
    port,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      await Promise.all([sessions.closeAll(options.graceMs ?? 0), text?.close()]);
      keyStore?.close();
      // What was just answered may still be on its way out.
      await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, FLUSH_MS))]);
      server.closeAllConnections();
      await closed;
      log('stopped');
    },
  };
}
