import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes, SottoError, toHex } from '@sotto/base';
import { afterAll, describe, expect, it } from 'vitest';
import { inspectKeyFile, readKeyFile, writeKeyFile } from './index.js';

const folder = mkdtempSync(join(tmpdir(), 'sotto-key-file-'));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;
const fresh = () => join(folder, `${files++}.key`);
const key = { token: toHex(randomBytes(32)), secret: randomBytes(5000) };
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'no error',
    (error) => (SottoError.is(error) ? error.code : String(error)),
  );

describe('a key file', () => {
  it('gives back what was written, readable by its owner alone', async () => {
    const path = fresh();
    expect(await inspectKeyFile(path)).toBe('absent');
    expect(await readKeyFile(path)).toBeUndefined();
    await writeKeyFile(path, key);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(await inspectKeyFile(path)).toBe('plain');
    expect(await readKeyFile(path)).toEqual(key);
    expect(await codeOf(writeKeyFile(path, key))).toBe('KEY_FILE_EXISTS');
  });

  it('is sealed with a passphrase', async () => {
    const path = fresh();
    await writeKeyFile(path, key, 'correct horse');
    expect(await inspectKeyFile(path)).toBe('sealed');
    const text = readFileSync(path, 'utf8');
    expect(text).not.toContain(Buffer.from(key.secret.subarray(30, 60)).toString('base64'));
    expect(await readKeyFile(path, 'correct horse')).toEqual(key);
    expect(await codeOf(readKeyFile(path))).toBe('KEY_FILE_PASSPHRASE');
    expect(await codeOf(readKeyFile(path, 'correct hors'))).toBe('KEY_FILE_PASSPHRASE');
    const contents = JSON.parse(text);
    const data = Buffer.from(contents.data, 'base64');
    data[100]! ^= 1;
    for (const change of [{ data: data.toString('base64') }, { kdf: { ...contents.kdf, N: 1024 } }]) {
      const damaged = fresh();
      writeFileSync(damaged, JSON.stringify({ ...contents, ...change }), { mode: 0o600 });
      expect(await codeOf(readKeyFile(damaged, 'correct horse'))).toBe('KEY_FILE_PASSPHRASE');
    }
  }, 30_000);

  it('is refused when others may read it, or when it is something else', async () => {
    const path = fresh();
    await writeKeyFile(path, key);
    for (const mode of [0o640, 0o604, 0o620]) {
      chmodSync(path, mode);
      expect(await codeOf(readKeyFile(path))).toBe('KEY_FILE_OPEN');
    }
    chmodSync(path, 0o400);
    expect(await readKeyFile(path)).toEqual(key);
    for (const text of ['', '{}', 'null', '{"format":"sotto-secret-key","version":2}']) {
      const other = fresh();
      writeFileSync(other, text, { mode: 0o600 });
      expect(await codeOf(readKeyFile(other))).toBe('KEY_FILE_FORMAT');
    }
    const torn = fresh();
    const contents = JSON.parse(readFileSync(path, 'utf8'));
    writeFileSync(torn, JSON.stringify({ ...contents, data: contents.data.slice(0, 400) }), { mode: 0o600 });
    expect(await codeOf(readKeyFile(torn))).toBe('DATA_TRUNCATED');
    expect(await codeOf(writeKeyFile(join(folder, 'absent', 'x.key'), key))).toBe('KEY_FILE');
  });
});
