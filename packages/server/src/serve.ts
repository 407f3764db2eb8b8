import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { serve as listen } from '@hono/node-server';
import { SottoError } from '@sotto/base';
import type { ModelInfo } from '@sotto/protocol';
import { createApp } from './app.js';
import type { StartEngine } from './engine/port.js';
import { startWorkerEngine } from './engine/worker-engine.js';
import { type Logger, silentLogger } from './log.js';
import { SessionStore } from './state/session-store.js';

export interface ServeOptions {
  readonly model: ModelInfo;
  readonly modelPath: string;
  /** Kernels to use: `native`, `wasm` or `auto`. */
  readonly backend: string;
  readonly threads: number;
  /** Default 127.0.0.1. Anything else sends session tokens over the network in clear unless a proxy adds TLS. */
  readonly host?: string;
  /** 0, the default, lets the system choose. */
  readonly port?: number;
  /** Allows parameters below 128 bits; for tests only. */
  readonly allowInsecure?: boolean;
  readonly maxSessions?: number;
  readonly idleTimeoutMs?: number;
  readonly log?: Logger;
  /** Default: the encrypted transformer in a worker thread a session. */
  readonly startEngine?: StartEngine;
}

export interface RunningServer {
  readonly url: string;
  readonly port: number;
  /** Stops listening, ends every session and frees its memory. */
  close(): Promise<void>;
}

const engineModule = new URL('./engine/llama-engine.js', import.meta.url).href;

/** Starts the HTTP server. @throws `SERVER_ADDRESS` when it cannot listen there. */
export async function serve(options: ServeOptions): Promise<RunningServer> {
  const { model, modelPath, backend, threads } = options;
  const host = options.host ?? '127.0.0.1';
  const log = options.log ?? silentLogger;
  const sessions = new SessionStore({
    startEngine: options.startEngine ?? ((engine) => startWorkerEngine(engine, { engineModule, log })),
    engine: { modelPath, backend, threads },
    modelDigest: model.digest,
    allowInsecure: options.allowInsecure ?? false,
    maxSessions: options.maxSessions ?? 1,
    idleTimeoutMs: options.idleTimeoutMs ?? 30 * 60_000,
    log,
  });
  const allowedHosts = new Set(['localhost', '127.0.0.1', '[::1]', host.includes(':') ? `[${host}]` : host]);
  const app = createApp({ model, sessions, allowedHosts, log });
  const server = await new Promise<Server>((resolve, reject) => {
    const started = listen({ fetch: app.fetch, hostname: host, port: options.port ?? 0 }, () =>
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
  const { port } = server.address() as AddressInfo;
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
  log('listening', { url, model: model.name, backend: model.backend.name, threads });
  return {
    url,
    port,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      await sessions.closeAll();
      server.closeAllConnections();
      await closed;
      log('stopped');
    },
  };
}
