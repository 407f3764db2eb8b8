// The two kinds of clients that keep a server busy: some upload key sets over connections that they drop, some ask questions.
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { Connection, KeySets, uploadKeySet } from '@sotto/client';
import { decodeFrame } from '@sotto/protocol';
import { newToken, pause, uploadRecorded } from './recording.mjs';
import { Replay } from './replay.mjs';

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** Waits, but not beyond the end. */
async function rest(ms, ended) {
  const endMs = performance.now() + ms;
  while (!ended() && performance.now() < endMs) await pause(Math.min(200, ms));
}

/**
 * Uploads key sets until `ended`, every other one over a connection that is dropped on the way; reads one key back, compares it and
 * removes the set.
 *
 * @param {string} url
 * @param {{ ended: () => boolean, pauseMs: number, counts: Record<string, number> }} options
 */
export async function uploader(url, { ended, pauseMs, counts }) {
  const token = newToken();
  const connection = new Connection(url);
  const sets = new KeySets(connection, token);
  await rest(randomInt(1, pauseMs + 1), ended);
  for (let round = 0; !ended(); round++) {
    const keys = Array.from({ length: randomInt(1, 5) }, () => randomBytes(randomInt(1_000, 600_000)));
    const id = randomBytes(16).toString('hex');
    const request = {
      ...{ modelDigest: '12'.repeat(32), refresh: 'client', parametersName: 'insecure-none' },
      ...{ parametersDigest: '34'.repeat(32), planDigest: '56'.repeat(32) },
      keys: keys.map((key, index) => ({ index, id: `key@${index}`, sizeBytes: key.length })),
    };
    const upload = (signal) =>
      uploadKeySet(connection, token, id, request, { makeKey: (index) => keys[index] }, { signal });
    if (round % 2 === 1) {
      const broken = new AbortController();
      setTimeout(() => broken.abort(), randomInt(1, 60));
      await upload(broken.signal).then(
        () => {},
        () => counts.dropped++,
      );
      await rest(500, ended);
    }
    await upload(undefined);
    const at = randomInt(0, keys.length);
    const response = await fetch(`${url}/v1/keysets/${id}/keys/${at}`, {
      headers: { authorization: `Bearer ${token}` },
    });
    const { payload } = decodeFrame(new Uint8Array(await response.arrayBuffer()), 'key');
    if (sha256(payload) !== sha256(keys[at])) counts.wrongKeys++;
    await sets.remove(id);
    counts.uploads++;
    counts.uploadedBytes += keys.reduce((sum, key) => sum + key.length, 0);
    await rest(randomInt(pauseMs / 2, (3 * pauseMs) / 2), ended);
  }
}

/**
 * Opens one session an owner, the first owner `greedy` of them, and asks in each again as soon as the answer is there.
 *
 * @param {{ owners: number, greedy: number, ended: () => boolean, answerMs: () => number, onJob: (job: object) => void }} options
 * @returns {Promise<{ ready: Promise<void>, done: Promise<void> }>}
 */
export async function askers(url, recording, { owners, greedy, ended, answerMs, onJob }) {
  const sessions = [];
  for (let owner = 0; owner < owners; owner++) {
    const token = newToken();
    await uploadRecorded(url, token, recording);
    for (let n = 0; n < (owner === 0 ? greedy : 1); n++) {
      const replay = new Replay(() => url, recording, token);
      await replay.open();
      sessions.push({ owner: String(owner), replay });
    }
  }
  const ask = async ({ owner, replay }) => {
    while (!ended()) {
      const jobId = await replay.submit();
      const job = { owner, submittedMs: performance.now(), startedMs: 0, same: false };
      const onStart = () => {
        job.startedMs = performance.now();
      };
      job.same = await replay.follow(jobId, { onStart, answerMs: () => (ended() ? 0 : answerMs()) });
      onJob(job);
    }
    await replay.close();
  };
  return { sessions: sessions.length, done: Promise.all(sessions.map(ask)) };
}
