import { SottoError } from '@sotto/base';
import { keyPartsSchema, keySetRequestSchema, PART_BYTES, parseMessage, TUS_VERSION } from '@sotto/protocol';
import type { Context, Hono } from 'hono';
import type { KeyStore } from '../keys/key-store.js';
import { bodyChunks, frameResponse, readJson } from './body.js';
import { bearerToken } from './guard.js';

const CONTROL_LIMIT_BYTES = 1 << 20;

function pathPart(c: Context, name: string, pattern: RegExp, code: string): string {
  const value = c.req.param(name) ?? '';
  if (pattern.test(value)) return value;
  throw new SottoError('The path does not name anything here.', {
    code,
    fix: 'Use the names of the protocol.',
  });
}

/** Without a store every key route says so. */
function requireStore(store: KeyStore | null): KeyStore {
  if (store) return store;
  throw new SottoError('This server keeps no keys.', {
    code: 'KEYS_DISABLED',
    fix: 'Send the keys to the session, or start the server with --keys DIR.',
  });
}

/** Routes of key sets. The bearer token is the client's own: it says whose sets are meant. */
export function addKeyRoutes(app: Hono, keyStore: KeyStore | null): void {
  const store = () => requireStore(keyStore);
  const setId = (c: Context) => pathPart(c, 'set', /^[0-9a-f]{32}$/, 'KEYSET_UNKNOWN');
  const setOf = (c: Context) => store().get(bearerToken(c), setId(c));
  const tus = { 'tus-resumable': TUS_VERSION, 'cache-control': 'no-store' };

  app.options('/v1/keysets', () => {
    const headers = { ...tus, 'tus-version': TUS_VERSION, 'tus-max-size': String(PART_BYTES) };
    return new Response(null, { status: 204, headers });
  });
  app.get('/v1/keysets', (c) => c.json({ keySets: store().list(bearerToken(c)) }));
  app.get('/v1/keysets/:set', (c) => c.json(store().info(setOf(c))));
  app.put('/v1/keysets/:set', async (c) => {
    const token = bearerToken(c);
    const body = await readJson(c.req.raw, CONTROL_LIMIT_BYTES);
    return c.json(await store().create(token, setId(c), parseMessage(keySetRequestSchema, body, 'key set')));
  });
  app.delete('/v1/keysets/:set', async (c) => {
    await store().remove(bearerToken(c), setId(c));
    return c.body(null, 204);
  });
  app.get('/v1/keysets/:set/keys/:index', async (c) => {
    const set = setOf(c);
    const index = Number(pathPart(c, 'index', /^\d{1,4}$/, 'KEY_UNKNOWN'));
    return frameResponse('key', index, await set.readKey(index));
  });
  app.put('/v1/keysets/:set/keys/:index', async (c) => {
    const set = setOf(c);
    const index = Number(pathPart(c, 'index', /^\d{1,4}$/, 'KEY_UNKNOWN'));
    const body = await readJson(c.req.raw, CONTROL_LIMIT_BYTES);
    const { parts } = parseMessage(keyPartsSchema, body, 'list of parts');
    return c.json({ offsets: await set.announce(index, parts) });
  });

  // A part is one upload of the tus 1.0 core protocol: HEAD tells the offset, PATCH continues there.
  const digest = (c: Context) => pathPart(c, 'part', /^[0-9a-f]{64}$/, 'PART_UNKNOWN');
  // The framework answers HEAD with the headers of GET.
  app.get('/v1/keysets/:set/parts/:part', async (c) => {
    const { offset, sizeBytes } = await setOf(c).partState(digest(c));
    const headers = { 'upload-offset': String(offset), 'upload-length': String(sizeBytes) };
    return new Response(null, { status: 200, headers: { ...tus, ...headers } });
  });
  app.patch('/v1/keysets/:set/parts/:part', async (c) => {
    const set = setOf(c);
    const offset = c.req.header('upload-offset') ?? '';
    const type = c.req.header('content-type');
    if (!/^\d{1,9}$/.test(offset) || type !== 'application/offset+octet-stream') {
      throw new SottoError('The request is not a continuation of an upload.', {
        code: 'MESSAGE_INVALID',
        fix: 'Send Upload-Offset and the content type application/offset+octet-stream (tus 1.0).',
      });
    }
    const at = await set.append(digest(c), Number(offset), bodyChunks(c.req.raw));
    return new Response(null, { status: 204, headers: { ...tus, 'upload-offset': String(at) } });
  });
}
