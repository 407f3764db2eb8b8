import { openApiDocument, routes } from '@sotto/protocol';
import { expect, it } from 'vitest';
import { createApp } from './app.js';
import { silentLogger } from './log.js';
import { SessionStore } from './state/session-store.js';

const sessions = new SessionStore({
  startEngine: () => Promise.reject(new Error('no engine is started here')),
  engine: { modelPath: 'none', backend: 'auto', threads: 1 },
  modelDigest: 'cd'.repeat(32),
  allowInsecure: false,
  maxSessions: 1,
  idleTimeoutMs: 60_000,
  maxJobs: 1,
  keyStore: null,
  journals: null,
  log: silentLogger,
});

const app = createApp({
  model: {
    protocol: 1,
    name: 'stand-in',
    digest: 'cd'.repeat(32),
    license: 'none',
    config: {
      ...{ dim: 4, hiddenDim: 8, layerCount: 1, headCount: 1, kvHeadCount: 1 },
      ...{ vocabSize: 10, contextLength: 12, tied: true },
    },
    backend: { name: 'reference', isa: 'bigint', threads: 1 },
  },
  sessions,
  text: null,
  modes: ['fhe'],
  allowedHosts: new Set(['localhost']),
  log: silentLogger,
  keyStore: null,
  requestsPerSecond: 1000,
});

it('describes exactly the requests that the server answers', () => {
  const served = app.routes.filter(({ method }) => method !== 'ALL');
  const names = (all: readonly { method: string; path: string }[]) =>
    all.map(({ method, path }) => `${method.toUpperCase()} ${path}`).sort();
  const answers = app.routes.some(({ path }) => path === '/v1/answers');
  const described = routes.filter(({ path }) => answers || path !== '/v1/answers');
  expect(names(served)).toEqual(names(described));
});

it('serves a document whose references resolve and whose names are unique', async () => {
  const response = await app.request('/openapi.json', { headers: { host: 'localhost' } });
  expect(response.status).toBe(200);
  const text = await response.text();
  const document = JSON.parse(text) as ReturnType<typeof openApiDocument> & {
    paths: Record<string, Record<string, { operationId: string; parameters?: { name: string }[] }>>;
    components: { schemas: object };
  };
  expect(document).toEqual(JSON.parse(JSON.stringify(openApiDocument('1'))));
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.values(methods).map((operation) => ({ path, ...operation })),
  );
  expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length);
  for (const { path, parameters = [] } of operations) {
    expect(path.match(/\{\w+\}/g) ?? []).toEqual(parameters.map(({ name }) => `{${name}}`));
  }
  for (const [, name] of text.matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)) {
    expect(Object.keys(document.components.schemas)).toContain(name);
  }
  // A schema is a schema: what the server refuses is written there.
  expect(text).toContain('"pattern":"^[0-9a-f]{32}$"');
});
