// What `disk.ts` is in a browser: paths are addresses, absolute or relative to the page's origin.
import { SottoError, toHex } from '@sotto/base';
import { type ByteSource, checkRange } from './source.js';

const MAX_TEXT_BYTES = 64 * 1024 * 1024;

const addressOf = (path: string) => new URL(path, globalThis.location.origin).href;

export const basename = (path: string): string => path.replace(/\/+$/, '').replace(/^.*\//, '');
export const dirname = (path: string): string => path.replace(/\/+$/, '').replace(/[^/]*$/, '');
export const join = (folder: string, name: string): string => `${folder.replace(/\/+$/, '')}/${name}`;
export const pathOf = (url: URL): string => url.href;

/** What has no ending is a folder. */
export async function isFolder(path: string): Promise<boolean> {
  return path.endsWith('/') || !basename(path).includes('.');
}

/** A folder of a web server is not listed; it is taken for one in the usual layout. */
export async function fileNames(_folder: string): Promise<string[]> {
  return ['model.safetensors'];
}

/** @throws `FILE_UNREADABLE`, with reason ENOENT for what is not there. */
async function download(path: string, what: string): Promise<Uint8Array<ArrayBuffer>> {
  let reason = 'network';
  try {
    const response = await fetch(addressOf(path));
    // A server that answers everything with its page has no such file either.
    const page = response.headers.get('content-type')?.startsWith('text/html') ?? false;
    if (response.ok && !page) return new Uint8Array(await response.arrayBuffer());
    reason = page || response.status === 404 ? 'ENOENT' : `HTTP ${response.status}`;
  } catch {}
  throw new SottoError(`The ${what} file cannot be read.`, {
    code: 'FILE_UNREADABLE',
    facts: { path, reason },
    fix: 'Check the address, and that the page may fetch it.',
  });
}

export async function readBounded(
  path: string,
  what: string,
  largestBytes = MAX_TEXT_BYTES,
): Promise<Uint8Array> {
  const bytes = await download(path, what);
  if (bytes.length <= largestBytes) return bytes;
  throw new SottoError(`The ${what} file is too large.`, {
    code: 'FILE_TOO_LARGE',
    facts: { path, largestBytes },
    fix: 'Check that the address is that of the right file.',
  });
}

/** A file that was fetched as a whole. */
export class FileSource implements ByteSource {
  readonly #bytes: Uint8Array;

  private constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get sizeBytes(): number {
    return this.#bytes.length;
  }

  static async open(path: string): Promise<FileSource> {
    return new FileSource(await download(path, 'model'));
  }

  async read(offset: number, sizeBytes: number): Promise<Uint8Array> {
    checkRange('model file', offset, sizeBytes, this.sizeBytes);
    return this.#bytes.slice(offset, offset + sizeBytes);
  }

  async close(): Promise<void> {}
}

export async function fileDigest(path: string): Promise<string> {
  const bytes = await download(path, 'model');
  return toHex(new Uint8Array(await globalThis.crypto.subtle.digest('SHA-256', bytes)));
}
