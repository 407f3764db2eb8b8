import { type ProgressListener, ProgressMeter, SottoError } from '@sotto/base';
import { type KeySetRequest, keyStoredSchema, keysLoadedSchema, type SessionInfo } from '@sotto/protocol';
import { type Connection, frameBody } from './connection.js';
import { keySetIdOf, uploadKeySet } from './key-upload.js';
import type { PrivateSide } from './private-side.js';

/** What it took to have the keys at the server. */
export interface KeyCosts {
  readonly keygenMs: number;
  readonly uploadMs: number;
  readonly bytesUp: number;
}

export interface SessionKeysOptions {
  readonly onProgress?: ProgressListener | undefined;
  readonly signal?: AbortSignal | undefined;
}

const KEYS_POLL_MS = 100;
/** Stored keys that turn out damaged are replaced this often. */
const KEY_REPAIRS = 2;
const LOOPBACK_BYTES_PER_MS = 200_000;
const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Makes the keys of a session and sends them. One key is in memory at a time while the one before it is on its way. */
export async function sendSessionKeys(
  connection: Connection,
  { sessionId, keys }: Pick<SessionInfo, 'sessionId' | 'keys'>,
  privateSide: Pick<PrivateSide, 'makeKey'>,
  { onProgress, signal }: SessionKeysOptions,
): Promise<KeyCosts> {
  const total = keys.reduce((sum, key) => sum + key.sizeBytes, 0);
  const meter = new ProgressMeter('keys', total, 'bytes', onProgress);
  const startMs = performance.now();
  let keygenMs = 0;
  let bytesUp = 0;
  let sending: Promise<void> = Promise.resolve();
  for (const { index, id, sizeBytes } of keys) {
    signal?.throwIfAborted();
    const keyStartMs = performance.now();
    const key = privateSide.makeKey(index);
    keygenMs += performance.now() - keyStartMs;
    await sending;
    const before = connection.traffic.upBytes;
    sending = connection
      .json(keyStoredSchema, 'key receipt', {
        method: 'PUT',
        path: `/v1/sessions/${sessionId}/keys/${index}`,
        body: frameBody('key', index, key),
        signal,
        repeatable: true,
      })
      .then(() => {
        bytesUp += connection.traffic.upBytes - before;
        meter.advance(sizeBytes, id);
      });
    // A failure surfaces at the next await; until then it is not unhandled.
    sending.catch(() => {});
    // Making a key keeps this thread busy: let the one before it leave first, so that the server works meanwhile.
    await Promise.race([sending.catch(() => {}), pause(10 + key.length / LOOPBACK_BYTES_PER_MS)]);
  }
  await sending;
  return { keygenMs, uploadMs: performance.now() - startMs - keygenMs, bytesUp };
}

/** Waits until the server has the keys of a stored set in memory. @throws `KEYS_DAMAGED`. */
export async function awaitSessionKeys(
  connection: Connection,
  { sessionId, keys }: Pick<SessionInfo, 'sessionId' | 'keys'>,
  { onProgress, signal }: SessionKeysOptions,
): Promise<void> {
  const meter = new ProgressMeter('keys at the server', keys.length, 'keys', onProgress);
  let seen = 0;
  for (;;) {
    const { loaded, total } = await connection.json(keysLoadedSchema, 'state of the keys', {
      method: 'GET',
      path: `/v1/sessions/${sessionId}/keys`,
      signal,
      repeatable: true,
    });
    if (loaded > seen) meter.advance(loaded - seen, 'read from disk');
    seen = loaded;
    if (loaded >= total) return;
    await pause(KEYS_POLL_MS);
  }
}

/**
 * Brings the keys that the server lacks to its store, then opens a session with them; damaged ones are made and sent again.
 *
 * @param open gets the name of the key set and what it took so far.
 */
export async function withStoredKeys<T>(
  connection: Connection,
  clientToken: string,
  privateSide: PrivateSide,
  { modelDigest, refresh }: Pick<KeySetRequest, 'refresh' | 'modelDigest'>,
  options: SessionKeysOptions,
  open: (keySet: string, costs: KeyCosts) => Promise<T>,
): Promise<T> {
  const { parametersDigest, planDigest, keys, ring } = privateSide;
  const { parametersName } = ring;
  const request = { modelDigest, refresh, parametersName, parametersDigest, planDigest, keys: [...keys] };
  const id = keySetIdOf(privateSide.secretId, request);
  const costs = { keygenMs: 0, uploadMs: 0, bytesUp: 0 };
  for (let repairs = 0; ; repairs++) {
    const startMs = performance.now();
    const { keygenMs, bytesUp } = await uploadKeySet(
      connection,
      clientToken,
      id,
      request,
      privateSide,
      options,
    );
    costs.keygenMs += keygenMs;
    costs.bytesUp += bytesUp;
    costs.uploadMs += performance.now() - startMs - keygenMs;
    try {
      return await open(id, costs);
    } catch (error) {
      const damaged = SottoError.is(error) && ['KEYS_DAMAGED', 'KEYSET_INCOMPLETE'].includes(error.code);
      if (!damaged || repairs >= KEY_REPAIRS) throw error;
    }
  }
}
