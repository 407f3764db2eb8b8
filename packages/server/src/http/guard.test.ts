import { Hono } from 'hono';
import { expect, it } from 'vitest';
import { guardBrowser } from './guard.js';

const page = 'https://page.example';
const app = new Hono();
app.use(guardBrowser(new Set(['localhost']), new Set([page])));
app.get('/ok', (c) => c.text('ok'));
app.get('/raw', () => new Response('raw'));
app.get('/bad', () => {
  throw new Error('no');
});
app.onError((_, c) => c.json({}, 403));
const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  app.request(path, { method, headers: { host: 'localhost:8417', ...headers } });

it('lets pages of allowed origins read answers and errors, and no others', async () => {
  for (const path of ['/ok', '/raw', '/bad']) {
    const { headers } = await get(path, { origin: page });
    expect(headers.get('access-control-allow-origin')).toBe(page);
    expect(headers.get('vary')).toContain('origin');
    expect(headers.get('access-control-expose-headers')).toContain('upload-offset');
    expect(headers.get('access-control-allow-credentials')).toBeNull();
  }
  for (const origin of ['https://other.example', 'null', `${page}:444`, 'http://page.example', '']) {
    const response = await get('/ok', { origin });
    expect(response.status, origin).toBe(403);
    expect(response.headers.get('access-control-allow-origin')).toBeNull();
  }
  expect((await get('/ok')).headers.get('access-control-allow-origin')).toBeNull();
  expect((await get('/ok', { origin: page, host: 'evil.example' })).status).toBe(403);
});

it('answers preflights of allowed origins alone', async () => {
  const asks = { 'access-control-request-method': 'PUT', 'access-control-request-private-network': 'true' };
  const allowed = await get('/ok', { origin: page, ...asks }, 'OPTIONS');
  expect(allowed.status).toBe(204);
  expect(allowed.headers.get('access-control-allow-methods')).toContain('PATCH');
  expect(allowed.headers.get('access-control-allow-headers')).toContain('authorization');
  expect(allowed.headers.get('access-control-allow-private-network')).toBe('true');
  const refused = await get('/ok', { origin: 'https://other.example', ...asks }, 'OPTIONS');
  expect(refused.status).toBe(403);
  expect(refused.headers.get('access-control-allow-methods')).toBeNull();
});
