// What a server survives, in short: full and read-only disks, clocks that jump, slow and vanished clients, damaged messages, and
// requests that race each other. `npm run soak` runs the same drills for longer.
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serve } from '@sotto/server';
import { expect, it } from 'vitest';
import { clockJumps } from '../bench/soak/clock-jumps.mjs';
import { halfOpen, slowClients } from '../bench/soak/connections.mjs';
import { fullDisk, readOnlyDisk } from '../bench/soak/disk-faults.mjs';
import { fuzzDecoders } from '../bench/soak/fuzz-decoders.mjs';
import { fuzzHttp } from '../bench/soak/fuzz-http.mjs';
import { call, standInKeySet, standInModel } from '../bench/soak/stand-in.mjs';
import { keyBytes, startEngine } from './fixtures/stand-in-engine.mjs';

it('says that a disk is full, finishes what runs, and goes on when there is room', async ({ skip }) => {
  const seen = await fullDisk();
  if ('skipped' in seen) return skip(seen.skipped);
  expect(seen).toMatchObject({
    ...{ uploadCode: 'KEYS_DISK_FULL', blockCode: 'STATE_DISK_FULL', healthyWhileFull: true },
    ...{ jobFinishedWhileFull: true, storedKeyIntact: true, uploadFinishedWithRoom: true, serverAlive: true },
  });
  expect(seen.sentAfterShare).toBeLessThan(1);
}, 60_000);

it('says that a disk is read-only, and finishes what runs', async ({ skip }) => {
  const seen = await readOnlyDisk();
  if ('skipped' in seen) return skip(seen.skipped);
  expect(seen).toEqual({
    ...{ uploadCode: 'KEYS_DISK', blockCode: 'STATE_DISK', healthyWhileReadOnly: true },
    ...{ jobFinishedWhileReadOnly: true, storedKeyIntact: true, uploadFinishedAfterwards: true },
    serverAlive: true,
  });
}, 60_000);

it('loses nothing that is in use when its clock jumps, not even over a restart', async () => {
  const { jumps } = await clockJumps();
  expect(jumps.map(({ days }) => days)).toEqual([400, -400]);
  for (const { days, ...jump } of jumps)
    expect(new Set(Object.values(jump)), `${days} days`).toEqual(new Set([true]));
}, 60_000);

it('keeps what slow clients sent', async () => {
  const seen = await slowClients({ seconds: 2, clients: 2 });
  expect(seen).toMatchObject({ keptBytes: seen.sentBytes, sentAgainBytes: 0, intact: 2, serverAlive: true });
  expect(seen.sentBytes).toBe(4000);
}, 60_000);

it('frees connections that fell silent and answers that nobody reads', async () => {
  const only = ['silent', 'withinHeaders', 'answerUnread'];
  const seen = await halfOpen({ each: 3, seconds: 60, stalledMs: 500, only });
  expect(seen.leftOpen).toEqual({});
  expect(Object.keys(seen.freedAfterSeconds).sort()).toEqual([...only].sort());
}, 90_000);

it('reads damaged messages as what they are, or refuses them by a typed error', () => {
  const seen = fuzzDecoders({ cases: 8_000, seconds: 20 });
  expect(seen.crashes, `seed ${seen.seed}`).toEqual([]);
  expect(seen.refused).toBeGreaterThan(1_000);
  expect(seen.cases - seen.refused).toBeGreaterThan(500);
}, 60_000);

it("answers damaged requests by the protocol, and none with what is somebody else's", async () => {
  const seen = await fuzzHttp({ cases: 800, seconds: 30 });
  expect(seen.faults, `seed ${seen.seed}`).toEqual([]);
  expect(seen).toMatchObject({ hangs: 0, serverAlive: true, othersFinished: 1, othersLost: 0 });
  expect(seen.statuses[200]).toBeGreaterThan(50);
  expect(seen.statuses[404]).toBeGreaterThan(50);
}, 90_000);

it('removes a key set under the hands of those who use it, and leaves nothing behind', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sotto-race-'));
  const server = await serve({
    ...{ model: standInModel as never, modelPath: 'none', backend: 'auto', threads: 1, startEngine },
    ...{ keysFolder: folder, modes: ['fhe'], requestsPerSecond: 1e6 },
  });
  const token = '1'.repeat(64);
  const set = `/v1/keysets/${'2'.repeat(32)}`;
  const part = createHash('sha256').update(keyBytes(1)).digest('hex');
  const tus = { 'upload-offset': '0', 'content-type': 'application/offset+octet-stream' };
  const codes = new Set<string>();
  const send = async (...request: [string, string, unknown?, object?]) => {
    const [method, path, body, headers] = request;
    const response = await call(server.url, method, path, token, body, headers);
    if (!response.ok) codes.add(((await response.json()) as { error: { code: string } }).error.code);
  };
  for (let round = 0; round < 40; round++) {
    await Promise.all([
      send('PUT', set, standInKeySet()),
      send('PUT', `${set}/keys/1`, { parts: [part] }),
      send('PATCH', `${set}/parts/${part}`, keyBytes(1), tus),
      send('GET', `${set}/parts/${part}`),
      send('DELETE', set),
      send('GET', `${set}/parts/${part}`),
      send('PATCH', `${set}/parts/${part}`, keyBytes(1), tus),
      send('PUT', set, standInKeySet()),
    ]);
  }
  expect(
    [...codes].filter((code) => !['KEYSET_UNKNOWN', 'PART_UNKNOWN', 'PART_OFFSET'].includes(code)),
  ).toEqual([]);
  await send('DELETE', set);
  expect(readdirSync(folder)).toEqual([]);
  await server.close();
  rmSync(folder, { recursive: true });
}, 60_000);
