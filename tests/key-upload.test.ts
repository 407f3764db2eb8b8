// The upload of a key set through connections that break and a server that is killed: it continues where it stopped.
import { createHash, randomBytes, randomInt } from 'node:crypto';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Connection, KeySets, keySetIdOf, uploadKeySet } from '@sotto/client';
import { PART_BYTES } from '@sotto/protocol';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { BreakingProxy } from './fixtures/breaking-proxy.mjs';
import { KillableServer } from './fixtures/killable-server.mjs';

const token = randomBytes(32).toString('hex');
const sizes = [3 * PART_BYTES + 12_345, 1_000_003, PART_BYTES, 2 * PART_BYTES + 1, PART_BYTES - 1];
const total = sizes.reduce((sum, size) => sum + size, 0);
const keys = sizes.map((sizeBytes) => randomBytes(sizeBytes));
const request = {
  modelDigest: '12'.repeat(32),
  refresh: 'client' as const,
  parametersName: 'insecure-none',
  parametersDigest: '34'.repeat(32),
  planDigest: '56'.repeat(32),
  keys: sizes.map((sizeBytes, index) => ({ index, id: `key@${index}`, sizeBytes })),
};
const id = keySetIdOf('78'.repeat(16), request);

const BREAKS = 5;

let folder: string;
let server: KillableServer;
let proxy: BreakingProxy | undefined;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sotto-keys-'));
  server = new KillableServer(folder);
  await server.start();
});
afterEach(async () => {
  proxy?.stop();
  proxy = undefined;
  await server.kill();
  rmSync(folder, { recursive: true });
});

const side = { makeKey: (index: number) => keys[index]! };
const setFolder = () => join(folder, readdirSync(folder)[0]!, id);

/** The keys as the disk has them, put together from the parts that their lists name. */
function storedDigests(): string[] {
  return sizes.map((_, index) => {
    const { parts } = JSON.parse(readFileSync(join(setFolder(), 'keys', `${index}.json`), 'utf8'));
    const hash = createHash('sha256');
    for (const part of parts) hash.update(readFileSync(join(setFolder(), 'parts', part)));
    return hash.digest('hex');
  });
}
const digests = keys.map((key) => createHash('sha256').update(key).digest('hex'));

it('continues where it stopped, over broken connections and a killed server', async () => {
  const breakAt = Array.from({ length: BREAKS }, () => randomInt(1, total)).sort((a, b) => a - b);
  proxy = new BreakingProxy(
    () => server.port,
    breakAt,
    (breaks) => {
      proxy!.breakAll();
      if (breaks % 2 === 0) void server.kill().then(() => server.start());
    },
  );
  await proxy.start();
  const connection = new Connection(`http://127.0.0.1:${proxy.port}`);
  await uploadKeySet(connection, token, id, request, side);
  expect(proxy.breaks).toBe(BREAKS);
  expect(proxy.sent).toBeGreaterThan(total);
  expect(proxy.sent).toBeLessThan(1.1 * total);
  expect(storedDigests()).toEqual(digests);
}, 60_000);

it('keeps keys over a restart and asks for none of them again; damage is found and repaired alone', async () => {
  const url = () => `http://127.0.0.1:${server.port}`;
  const first = await uploadKeySet(new Connection(url()), token, id, request, side);
  expect(first.bytesUp).toBe(total);
  await server.kill();
  const part = join(setFolder(), 'parts', readdirSync(join(setFolder(), 'parts'))[0]!);
  expect(statSync(part).mode & 0o777).toBe(0o600);
  expect(statSync(setFolder()).mode & 0o777).toBe(0o700);
  await server.start();
  const unused = { makeKey: () => expect.fail('a key was made again') };
  expect(await uploadKeySet(new Connection(url()), token, id, request, unused)).toMatchObject({ bytesUp: 0 });
  const sets = new KeySets(new Connection(url()), token);
  expect(await sets.list()).toMatchObject([{ id, storedBytes: total, missing: [], canDecrypt: false }]);

  await server.kill();
  const name = createHash('sha256').update(keys[1]!).digest('hex');
  truncateSync(join(setFolder(), 'parts', name), 500_000);
  writeFileSync(join(setFolder(), 'keys', '2.json'), '{"parts":["torn');
  await server.start();
  expect((await sets.show(id)).missing).toEqual([1, 2]);
  const made: number[] = [];
  const again = {
    makeKey(index: number) {
      made.push(index);
      return keys[index]!;
    },
  };
  await uploadKeySet(new Connection(url()), token, id, request, again);
  expect(made).toEqual([1, 2]);
  expect(storedDigests()).toEqual(digests);

  await sets.remove(id);
  expect(await sets.list()).toEqual([]);
  expect(existsSync(join(folder, readdirSync(folder)[0]!, id))).toBe(false);
}, 60_000);
