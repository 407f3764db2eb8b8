import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SottoError } from '@sotto/base';
import type { ModelInfo } from '@sotto/protocol';
import { afterEach, describe, expect, it } from 'vitest';
import { startEngine } from '../../../tests/fixtures/stand-in-engine.mjs';
import { bodyChunks } from './http/body.js';
import { KeyStore, type RunningServer, type ServeOptions, serve, silentLogger } from './index.js';

const model = {
  name: 'stand-in',
  digest: 'cd'.repeat(32),
  backend: { name: 'none' },
} as unknown as ModelInfo;
const base: ServeOptions = {
  model,
  modelPath: 'none',
  backend: 'auto',
  threads: 1,
  startEngine,
  modes: ['fhe'],
};
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'no error',
    (error) => (SottoError.is(error) ? error.code : String(error)),
  );

let server: RunningServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

describe('a server', () => {
  it('listens beyond this machine only when that is said by name', async () => {
    expect(await codeOf(serve({ ...base, host: '0.0.0.0' }))).toBe('SERVER_PUBLIC');
    expect(await codeOf(serve({ ...base, host: '::' }))).toBe('SERVER_PUBLIC');
    server = await serve({ ...base, host: '0.0.0.0', allowPublic: true, names: ['Sotto.example'] });
    const answer = (host: string) =>
      new Promise<string>((resolve) => {
        const socket = connect(server!.port, '127.0.0.1', () =>
          socket.write(`GET /health HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`),
        );
        let text = '';
        socket.on('data', (data) => {
          text += data;
        });
        socket.on('close', () => resolve(text));
      });
    expect(await answer('sotto.example')).toMatch(/^HTTP\/1.1 200/);
    expect(await answer('evil.example')).toMatch(/HOST_NOT_ALLOWED/);
    expect(await answer(`localhost\r\nx: ${'y'.repeat(20_000)}`)).toMatch(/^HTTP\/1.1 431/);
  });

  it('answers a flood with refusals and stays healthy', async () => {
    server = await serve({ ...base, requestsPerSecond: 1 });
    const { url } = server;
    const statuses = [];
    for (let i = 0; i < 8; i++) statuses.push((await fetch(`${url}/v1/model`)).status);
    expect(statuses.slice(0, 4)).toEqual([200, 200, 200, 200]);
    expect(statuses.slice(5)).toEqual([429, 429, 429]);
    expect((await fetch(`${url}/v1/model`)).headers.get('retry-after')).toBe('1');
    expect((await fetch(`${url}/health`)).status).toBe(200);
  });

  it('tells its metrics in the text format of Prometheus', async () => {
    server = await serve(base);
    await fetch(`${server.url}/health`);
    await fetch(`${server.url}/nothing`);
    const response = await fetch(`${server.url}/metrics`);
    expect(response.headers.get('content-type')).toContain('version=0.0.4');
    const text = await response.text();
    for (const line of text.trimEnd().split('\n')) {
      expect(line).toMatch(
        /^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [\d.e+-]+)$/,
      );
    }
    expect(text).toContain('sotto_http_requests_total{method="GET",route="/health",status="200"} 1');
    expect(text).toContain('sotto_errors_total{code="ROUTE_UNKNOWN"} 1');
    expect(text).toMatch(/^sotto_http_request_seconds_bucket\{le="\+Inf"\} 2$/m);
    expect(text).toMatch(/^process_resident_memory_bytes \d{7,}/m);
  });

  it('says that it keeps no keys when it does not', async () => {
    server = await serve(base);
    const headers = { authorization: `Bearer ${'0'.repeat(64)}` };
    const response = await fetch(`${server.url}/v1/keysets`, { headers });
    expect(await response.json()).toMatchObject({ error: { code: 'KEYS_DISABLED' } });
    expect(await (await fetch(`${server.url}/v1/model`)).json()).toMatchObject({ keyStore: false });
  });
});

describe('a body', () => {
  it('that stops arriving is given up', async () => {
    const body = new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(10)) });
    const request = new Request('http://x', { method: 'PUT', body, duplex: 'half' } as RequestInit);
    const read = async () => {
      for await (const _ of bodyChunks(request, 30));
    };
    expect(await codeOf(read())).toBe('BODY_TIMEOUT');
  });
});

describe('a key store', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sotto-store-'));
  const options = {
    ...{ folder, lifetimeMs: 1000, ownerQuotaBytes: 1e6, totalQuotaBytes: 1e6, log: silentLogger },
  };
  const token = '7'.repeat(64);
  const id = '1'.repeat(32);
  const request = {
    ...{ modelDigest: 'ab'.repeat(16), refresh: 'client' as const, parametersName: 'insecure-none' },
    ...{ parametersDigest: 'ab'.repeat(16), planDigest: 'ab'.repeat(16) },
    keys: [{ index: 0, id: 'key@0', sizeBytes: 10 }],
  };

  it('removes sets that nobody uses any more, but none in use', async () => {
    const store = await KeyStore.open(options);
    await store.create(token, id, request);
    const set = store.get(token, id);
    await store.sweep(Date.now() + 500);
    set.users++;
    await store.sweep(Date.now() + 5000);
    expect(store.count).toBe(1);
    set.users--;
    await store.sweep(Date.now() + 5000);
    expect([store.count, store.sizeBytes]).toEqual([0, 0]);
    store.close();
  });

  it('survives a damaged folder and says when it cannot be used', async () => {
    const store = await KeyStore.open(options);
    await store.create(token, id, request);
    store.close();
    const owner = store.get(token, id).owner;
    writeFileSync(join(folder, owner, id, 'manifest.json'), '{"version":1,');
    const again = await KeyStore.open(options);
    expect(again.count).toBe(0);
    await again.create(token, id, request);
    expect(again.count).toBe(1);
    again.close();
    const file = join(folder, 'file');
    writeFileSync(file, '');
    expect(await codeOf(KeyStore.open({ ...options, folder: join(file, 'x') }))).toBe('KEYS_DISK');
    rmSync(folder, { recursive: true });
  });
});
