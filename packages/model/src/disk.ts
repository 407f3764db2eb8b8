import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, readdir, readFile, stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { SottoError } from '@sotto/base';
import { type ByteSource, checkRange } from './source.js';

export { basename, dirname, join } from 'node:path';

const MAX_TEXT_BYTES = 64 * 1024 * 1024;

function unreadable(path: string, what: string, error: unknown): never {
  throw new SottoError(`The ${what} file cannot be read.`, {
    code: 'FILE_UNREADABLE',
    facts: { path, reason: (error as NodeJS.ErrnoException).code ?? 'unknown' },
    fix: 'Check the path.',
    cause: error,
  });
}

/** The path of a file that ships with a package. */
export const pathOf = (url: URL): string => fileURLToPath(url);

/** @throws `FILE_UNREADABLE` when there is nothing at the path. */
export async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    return unreadable(path, 'model', error);
  }
}

export const fileNames = (folder: string): Promise<string[]> => readdir(folder);

/** Contents of a file of at most `largestBytes`. @throws `FILE_UNREADABLE`, `FILE_TOO_LARGE`. */
export async function readBounded(
  path: string,
  what: string,
  largestBytes = MAX_TEXT_BYTES,
): Promise<Uint8Array> {
  try {
    const { size } = await stat(path);
    if (size <= largestBytes) return await readFile(path);
  } catch (error) {
    unreadable(path, what, error);
  }
  throw new SottoError(`The ${what} file is too large.`, {
    code: 'FILE_TOO_LARGE',
    facts: { path, largestBytes },
    fix: 'Check that the path is that of the right file.',
  });
}

/** A file as a source; `close` it. */
export class FileSource implements ByteSource {
  readonly sizeBytes: number;
  readonly #handle: FileHandle;

  private constructor(handle: FileHandle, sizeBytes: number) {
    this.#handle = handle;
    this.sizeBytes = sizeBytes;
  }

  static async open(path: string): Promise<FileSource> {
    try {
      const handle = await open(path, 'r');
      return new FileSource(handle, (await handle.stat()).size);
    } catch (error) {
      return unreadable(path, 'model', error);
    }
  }

  async read(offset: number, sizeBytes: number): Promise<Uint8Array> {
    checkRange('model file', offset, sizeBytes, this.sizeBytes);
    const out = new Uint8Array(sizeBytes);
    for (let at = 0; at < sizeBytes; ) {
      const take = Math.min(sizeBytes - at, 1 << 30);
      const { bytesRead } = await this.#handle.read(out, at, take, offset + at);
      // The file shrank after it was opened.
      if (bytesRead === 0) checkRange('model file', offset, sizeBytes, offset + at);
      at += bytesRead;
    }
    return out;
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** SHA-256 of a file, hex. @throws `FILE_UNREADABLE`. */
export async function fileDigest(path: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    for await (const piece of createReadStream(path, { highWaterMark: 1 << 20 }))
      hash.update(piece as Buffer);
  } catch (error) {
    unreadable(path, 'model', error);
  }
  return hash.digest('hex');
}
