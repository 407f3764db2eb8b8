// A server process with the stand-in engine, and users of it.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Connection, uploadKeySet } from '@sotto/client';
import { encodeFrame, encodeRows } from '@sotto/protocol';
import { keyBytes, sealed } from '../../tests/fixtures/stand-in-engine.mjs';
import { newToken, pause } from './recording.mjs';

export const standInModel = {
  ...{ protocol: 1, name: 'stand-in', digest: 'cd'.repeat(32), license: 'none' },
  config: {
    ...{ dim: 4, hiddenDim: 8, layerCount: 1, headCount: 1, kvHeadCount: 1 },
    ...{ vocabSize: 10, contextLength: 12, tied: true },
  },
  backend: { name: 'reference', isa: 'bigint', threads: 1 },
};

export const standInKeySet = (sizes = [1000, 1000, 1000]) => ({
  ...{ modelDigest: standInModel.digest, refresh: 'client', parametersName: 'insecure-stand-in' },
  ...{ parametersDigest: 'aa'.repeat(16), planDigest: 'bb'.repeat(16) },
  keys: sizes.map((sizeBytes, index) => ({ index, id: `key@${index}`, sizeBytes })),
});

/** Starts the process. @returns its address, its identifier, and what stops it. */
export async function startStandIn(options) {
  const script = fileURLToPath(new URL('stand-in-server.mjs', import.meta.url));
  const child = spawn(process.execPath, [script, JSON.stringify(options)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  process.once('exit', () => child.kill());
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const [line] = await createInterface({ input: child.stdout })
    [Symbol.asyncIterator]()
    .next()
    .then(({ value }) => [value]);
  if (line === undefined) throw new Error('the server did not start');
  return {
    url: JSON.parse(line).url,
    pid: child.pid,
    get alive() {
      return child.exitCode === null && child.signalCode === null;
    },
    /** Puts the wall clock of the process ahead of the true one. */
    async moveClock(aheadMs) {
      child.stdin.write(String(aheadMs));
      await pause(100);
    },
    async stop() {
      child.stdin.end();
      await exited;
    },
  };
}

/** A request as JSON or bytes with a token. */
export const call = (url, method, path, token, body, headers = {}) =>
  fetch(`${url}${path}`, {
    method,
    headers: { ...(token ? { authorization: `Bearer ${token}` } : {}), ...headers },
    ...(body === undefined ? {} : { body: body instanceof Uint8Array ? body : JSON.stringify(body) }),
  });

export const blockOf = (data, position = 0) =>
  encodeFrame('block', position, encodeRows({ position, rows: 1, ciphertexts: [sealed(...data)] }));

/** Opens a session with stored keys and starts a job in it; with client refresh the job waits for its owner. */
export async function openUser(url, data, refresh = 'client') {
  const token = newToken();
  const setId = randomBytes(16).toString('hex');
  const keySet = { ...standInKeySet(), refresh };
  await uploadKeySet(new Connection(url), token, setId, keySet, { makeKey: keyBytes });
  const opened = await call(url, 'POST', '/v1/sessions', token, {
    ...{ protocol: 1, modelDigest: standInModel.digest, refresh, parameters: 'secure', keySet: setId },
  });
  if (!opened.ok) throw new Error(`no session: ${await opened.text()}`);
  const session = await opened.json();
  const at = `/v1/sessions/${session.sessionId}`;
  for (let loaded = 0; loaded < 3; await pause(5))
    ({ loaded } = await (await call(url, 'GET', `${at}/keys`, session.token)).json());
  await call(url, 'POST', `${at}/public`, session.token, { tokens: [] });
  const posted = await call(url, 'POST', `${at}/blocks`, session.token, blockOf(data));
  const { jobId } = await posted.json();
  return { token, setId, session, at, jobId };
}
