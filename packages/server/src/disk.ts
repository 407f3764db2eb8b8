import { randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { SottoError } from '@sotto/base';

const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;

const codeOf = (error: unknown) => (error as NodeJS.ErrnoException | undefined)?.code ?? 'unknown';

/** True for the error of a file that is not there. */
export const isAbsent = (error: unknown): boolean => codeOf(error) === 'ENOENT';

/** What lies on disk: it gives errors their family and their advice. */
export type Stored = 'keys' | 'state';

const advice: Record<Stored, { name: string; full: string; folder: string }> = {
  keys: {
    name: 'key store',
    full: 'Remove key sets with `sotto keys rm`, or give the server more room; the upload continues where it stopped.',
    folder: '--keys',
  },
  state: {
    name: 'session store',
    full: 'Give the server more room and ask again; the keys need not be sent again.',
    folder: '--state',
  },
};

/** What a failed file operation means to a caller: the path stays out, it names a machine. */
export function diskError(stored: Stored, error: unknown): unknown {
  if (SottoError.is(error)) return error;
  const reason = codeOf(error);
  const { name, full, folder } = advice[stored];
  const family = stored.toUpperCase();
  if (reason === 'ENOSPC' || reason === 'EDQUOT') {
    return new SottoError(`The disk of the ${name} is full.`, {
      code: `${family}_DISK_FULL`,
      facts: { reason },
      fix: full,
      retryable: true,
      cause: error,
    });
  }
  if (
    ['EROFS', 'EACCES', 'EPERM', 'EIO', 'EMFILE', 'ENFILE', 'ENOTDIR', 'EISDIR', 'ENOENT'].includes(reason)
  ) {
    return new SottoError(`The ${name} cannot be read or written.`, {
      code: `${family}_DISK`,
      facts: { reason },
      fix: `Check the folder that the server was started with (${folder}): it must exist, be writable and belong to the server.`,
      cause: error,
    });
  }
  return error;
}

/** For a session of which something is missing or unreadable on disk. */
export const stateLost = (): SottoError =>
  new SottoError('The stored state of the session is damaged.', {
    code: 'STATE_LOST',
    fix: 'Ask again; the keys need not be sent again.',
  });

/** Runs file operations and gives their failures types. */
export async function onDisk<T>(stored: Stored, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw diskError(stored, error);
  }
}

export async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: FOLDER_MODE });
}

/** Opens a file that only its owner may read. */
export const openPrivate = (path: string, flags: string): Promise<FileHandle> => open(path, flags, FILE_MODE);

/** Makes the names in a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Replaces a file whole: after a crash there is the old content or the new one. */
export async function writeDurably(path: string, data: string | Uint8Array): Promise<void> {
  const temporary = join(dirname(path), `.${randomBytes(8).toString('hex')}.new`);
  const handle = await openPrivate(temporary, 'wx');
  try {
    try {
      await handle.writeFile(data);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}

/** Content of a JSON file; undefined when it is absent or not JSON. */
export async function readJsonFile(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    if (isAbsent(error) || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
