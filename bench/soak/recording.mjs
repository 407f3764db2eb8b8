// One encrypted question, recorded as bytes, so that any number of clients can ask it again without computing: keys, block,
// the answers to refreshes, and the result that the server must give each time, to the last bit.
import { createHash, randomBytes } from 'node:crypto';
import { Connection, Session, uploadKeySet } from '@sotto/client';
import { decodeFrame } from '@sotto/protocol';
import { loadLocalModel } from '../../packages/client/dist/local-model.js';

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export const newToken = () => randomBytes(32).toString('hex');
const digestOf = (bytes) => createHash('sha256').update(bytes).digest('hex');
const REFRESH = /^\/v1\/jobs\/[0-9a-f]{32}\/refresh\/\d+$/;

/**
 * Asks a server for one token of an answer and keeps what crossed the connection.
 *
 * @param {string} url
 * @param {{ model: string, tokenizer: string }} files
 * @param {'bootstrap' | 'client'} refresh
 */
export async function record(url, files, refresh) {
  const token = newToken();
  /** @type {{ replies: Map<string, Uint8Array>, refreshes: number } & Record<string, unknown>} */
  const seen = { refresh, replies: new Map(), refreshes: 0 };
  const asked = new Map();
  const recording = async (input, init) => {
    const response = await fetch(input, init);
    const path = new URL(String(input)).pathname;
    const bytes = async () => new Uint8Array(await response.clone().arrayBuffer());
    if (/^\/v1\/keysets\/[0-9a-f]{32}$/.test(path))
      seen.keySet = { id: path.split('/')[3], request: JSON.parse(Buffer.from(init.body).toString()) };
    if (path === '/v1/sessions') seen.session = Buffer.from(init.body).toString();
    if (path.endsWith('/public')) seen.publicPart = Buffer.from(init.body).toString();
    if (path.endsWith('/blocks')) seen.block = init.body.slice();
    if (path.endsWith('/result')) seen.result = await bytes();
    if (REFRESH.test(path) && init.method === 'GET')
      asked.set(path, digestOf(decodeFrame(await bytes(), 'refreshRequest').payload));
    if (REFRESH.test(path) && init.method === 'PUT') {
      seen.replies.set(asked.get(path), decodeFrame(init.body.slice(), 'refreshReply').payload);
      seen.refreshes++;
    }
    return response;
  };
  const session = await Session.connect(url, {
    model: await loadLocalModel(files),
    ...{ refresh, parameters: 'insecure-toy', key: { token }, fetch: recording },
  });
  const startMs = performance.now();
  for await (const _ of session.ask({ publicText: 'ab', privateText: 'hat', maxTokens: 1 }));
  seen.seconds = (performance.now() - startMs) / 1000;
  const headers = { authorization: `Bearer ${token}` };
  const at = `${url}/v1/keysets/${seen.keySet.id}`;
  seen.keys = [];
  for (const { index } of seen.keySet.request.keys) {
    const frame = new Uint8Array(await (await fetch(`${at}/keys/${index}`, { headers })).arrayBuffer());
    seen.keys.push(decodeFrame(frame, 'key').payload);
  }
  await session.close();
  await fetch(at, { method: 'DELETE', headers });
  return seen;
}

/** The recorded keys as a key set of somebody else. */
export const uploadRecorded = (url, token, { keySet, keys }) =>
  uploadKeySet(new Connection(url), token, keySet.id, keySet.request, { makeKey: (index) => keys[index] });

/** @returns the answer to a refresh that was asked with these bytes. @throws when no recorded session was asked this. */
export function replyTo({ replies }, ciphertext) {
  const reply = replies.get(digestOf(ciphertext));
  if (reply) return reply;
  throw new Error('the server asks for a refresh that it did not ask for when this was recorded');
}
