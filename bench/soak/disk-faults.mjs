// Disks that fill up or become read-only under a running server. A small file system of its own is mounted for that, so it needs the
// right to mount; without it the drill says so.
import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SottoError } from '@sotto/base';
import { Connection, uploadKeySet } from '@sotto/client';
import { decodeFrame, decodeRows, encodeFrame } from '@sotto/protocol';
import { sealed } from '../../tests/fixtures/stand-in-engine.mjs';
import { newToken, pause } from './recording.mjs';
import { blockOf, call, openUser, standInKeySet, startStandIn } from './stand-in.mjs';
import { round } from './statistics.mjs';

const DATA = [7, 8, 9];
const REMOUNTS = 100;
const run = (...args) => spawnSync(args[0], args.slice(1), { stdio: 'ignore' }).status === 0;
const codeOf = (work) =>
  work.then(
    () => 'none',
    (error) => (SottoError.is(error) ? error.code : String(error)),
  );

/** A file system of `sizeMB`; null without the right to mount one. */
function mountDisk(sizeMB) {
  const folder = mkdtempSync(join(tmpdir(), 'sotto-disk-'));
  if (!run('mount', '-t', 'tmpfs', '-o', `size=${sizeMB}m`, 'tmpfs', folder)) {
    rmSync(folder, { recursive: true });
    return null;
  }
  /** While the server has a file open for writing the system refuses; it closes them within moments. */
  const remount = async (options) => {
    for (let tries = 0; !run('mount', '-o', `remount,${options}`, folder); tries++) {
      if (tries === REMOUNTS) throw new Error(`cannot remount with ${options}`);
      await pause(100);
    }
  };
  return {
    folder,
    remount,
    fill() {
      for (let size = 1 << 20; size >= 1; size >>= 2) {
        for (let n = 0; ; n++) {
          try {
            writeFileSync(join(folder, `filler-${size}-${n}`), new Uint8Array(size));
          } catch {
            break;
          }
        }
      }
    },
    unmount() {
      run('umount', '-l', folder);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A set of one key of random bytes, and what its owner does with it. */
function owner(url, sizeBytes) {
  const key = randomBytes(sizeBytes);
  const token = newToken();
  const id = randomBytes(16).toString('hex');
  return {
    sizeBytes,
    /** @returns {Promise<number>} bytes that were sent. */
    upload: async () =>
      (await uploadKeySet(new Connection(url), token, id, standInKeySet([sizeBytes]), { makeKey: () => key }))
        .bytesUp,
    async intact() {
      const response = await call(url, 'GET', `/v1/keysets/${id}/keys/0`, token);
      if (!response.ok) return false;
      const { payload } = decodeFrame(new Uint8Array(await response.arrayBuffer()), 'key');
      return (
        createHash('sha256').update(payload).digest('hex') === createHash('sha256').update(key).digest('hex')
      );
    },
  };
}

/** The refresh that a job waits for; a server that was restarted numbers them on from a million. */
async function askedRefresh(url, { jobId, session }) {
  for (let tries = 0; tries < 300; tries++) {
    for (const number of [1_000_000, 0]) {
      const path = `/v1/jobs/${jobId}/refresh/${number}`;
      const asked = await call(url, 'GET', path, session.token);
      if (asked.ok) return { path, bytes: new Uint8Array(await asked.arrayBuffer()) };
    }
    await pause(20);
  }
  throw new Error('the job asks for nothing');
}

/** Answers the refresh that a user's job waits for. @returns whether the job then ends with the right result. */
export async function completeJob(url, user, data = DATA) {
  const { jobId, session } = user;
  const { path, bytes } = await askedRefresh(url, user);
  const { index, payload } = decodeFrame(bytes, 'refreshRequest');
  const answered = await call(url, 'PUT', path, session.token, encodeFrame('refreshReply', index, payload));
  if (!answered.ok) return false;
  let result;
  for (let tries = 0; tries < 300 && !result?.ok; tries++) {
    await pause(20);
    result = await call(url, 'GET', `/v1/jobs/${jobId}/result`, session.token);
  }
  const rows = decodeRows(decodeFrame(new Uint8Array(await result.arrayBuffer()), 'result').payload);
  const wanted = sealed(...data.map((byte) => byte + 1));
  return Buffer.from(rows.ciphertexts[0]).equals(Buffer.from(wanted));
}

/** The code that a second block is refused with. */
async function nextBlock(url, { at, session, jobId }) {
  for (let state = ''; state !== 'done'; await pause(10))
    ({ state } = await (await call(url, 'GET', `/v1/jobs/${jobId}`, session.token)).json());
  const response = await call(url, 'POST', `${at}/blocks`, session.token, blockOf([1, 1], 1));
  return response.ok ? 'none' : (await response.json()).error.code;
}

const healthy = async (url) => (await fetch(`${url}/health`)).ok;

/**
 * A server on a small file system with stored keys, one unfinished job and one idle session; `drill` breaks the disk under it.
 */
async function onSmallDisk(sizeMB, drill) {
  const disk = mountDisk(sizeMB);
  if (!disk) return { skipped: 'no right to mount a file system here' };
  const server = await startStandIn({ folder: disk.folder, maxSessions: 3, maxJobs: 3 });
  const { url } = server;
  try {
    const before = owner(url, 2_000_000);
    await before.upload();
    const waiting = await openUser(url, DATA);
    const idle = await openUser(url, DATA, 'bootstrap');
    const seen = await drill({ url, disk, before, waiting, idle });
    return { ...seen, serverAlive: server.alive };
  } finally {
    await server.stop();
    disk.unmount();
  }
}

/** The disk fills up while one job waits and one set is on its way; then it gets room. */
export function fullDisk() {
  return onSmallDisk(12, async ({ url, disk, before, waiting, idle }) => {
    const large = owner(url, 16_000_000);
    const uploadCode = await codeOf(large.upload());
    disk.fill();
    const blockCode = await nextBlock(url, idle);
    const seen = {
      uploadCode,
      blockCode,
      healthyWhileFull: await healthy(url),
      jobFinishedWhileFull: await completeJob(url, waiting),
      storedKeyIntact: await before.intact(),
    };
    await disk.remount('size=64m');
    const sentAfter = await large.upload();
    return {
      ...seen,
      uploadFinishedWithRoom: await large.intact(),
      sentAfterShare: round(sentAfter / large.sizeBytes, 3),
    };
  });
}

/** The disk becomes read-only while a job waits; then it is writable again. */
export function readOnlyDisk() {
  return onSmallDisk(32, async ({ url, disk, before, waiting, idle }) => {
    await disk.remount('ro');
    const later = owner(url, 3_000_000);
    const seen = {
      uploadCode: await codeOf(later.upload()),
      blockCode: await nextBlock(url, idle),
      healthyWhileReadOnly: await healthy(url),
      jobFinishedWhileReadOnly: await completeJob(url, waiting),
      storedKeyIntact: await before.intact(),
    };
    await disk.remount('rw');
    await later.upload();
    return { ...seen, uploadFinishedAfterwards: await later.intact() };
  });
}
