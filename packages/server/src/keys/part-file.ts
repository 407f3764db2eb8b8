import { createHash } from 'node:crypto';
import { readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { SottoError } from '@sotto/base';
import { isAbsent, openPrivate, syncFolder } from '../disk.js';

const sizeOf = async (path: string): Promise<number | undefined> => {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
};

const sha256Hex = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** What a broken connection had already delivered reaches the disk within this time. */
const SETTLE_MS = 500;

/** Bytes of a body as they come in. */
export type Chunks = AsyncIterable<Uint8Array>;

/**
 * One part on disk, named by its digest. While it grows it has another name, and its length is the offset at which an upload
 * continues; it gets its own name when it is whole and its digest is right.
 */
export class PartFile {
  readonly #path: string;
  readonly #growing: string;
  #writer: { cancel(): void; readonly ended: Promise<void> } | undefined;

  constructor(
    folder: string,
    readonly digest: string,
    readonly sizeBytes: number,
  ) {
    this.#path = `${folder}/${digest}`;
    this.#growing = `${this.#path}.part`;
  }

  /** The part is here whole, under its own name. */
  async complete(): Promise<boolean> {
    return (await sizeOf(this.#path)) === this.sizeBytes;
  }

  async #offset(): Promise<number> {
    if (await this.complete()) return this.sizeBytes;
    return Math.min((await sizeOf(this.#growing)) ?? 0, this.sizeBytes);
  }

  /**
   * Bytes that are here, after a writer whose connection broke has written what it has; one that hangs is ended. A part that
   * was received whole by a server that was killed before it gave the part its name is checked and named now.
   */
  async offset(): Promise<number> {
    const writer = this.#writer;
    if (writer) {
      const timer = setTimeout(writer.cancel, SETTLE_MS);
      await writer.ended;
      clearTimeout(timer);
    }
    const at = await this.#offset();
    if (at < this.sizeBytes || (await this.complete())) return at;
    try {
      await this.#finish();
      return at;
    } catch (error) {
      if (SottoError.is(error)) return 0;
      // Somebody else has named or removed it meanwhile.
      if (isAbsent(error)) return await this.#offset();
      throw error;
    }
  }

  /**
   * Appends what arrives, and keeps it when the connection breaks. A later call takes the place of one whose connection hangs.
   *
   * @returns the new offset.
   * @throws `PART_OFFSET` with the true offset, `BODY_TOO_LARGE`, `PART_DIGEST` (the part starts over then).
   */
  async append(offset: number, chunks: Chunks): Promise<number> {
    await this.stop();
    const cancel = new AbortController();
    let end = () => {};
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    this.#writer = { cancel: () => cancel.abort(), ended };
    try {
      return await this.#write(offset, chunks, cancel.signal);
    } finally {
      this.#writer = undefined;
      end();
    }
  }

  /** @throws `KEYS_DAMAGED` after removing what is there, so that the part can be sent again. */
  async read(): Promise<Uint8Array> {
    let bytes: Uint8Array | undefined;
    try {
      bytes = await readFile(this.#path);
    } catch (error) {
      if (!isAbsent(error)) throw error;
    }
    if (bytes?.length === this.sizeBytes && sha256Hex(bytes) === this.digest) return bytes;
    await rm(this.#path, { force: true });
    throw new SottoError('A stored key is damaged.', {
      code: 'KEYS_DAMAGED',
      facts: { part: this.digest.slice(0, 16), sizeBytes: bytes?.length ?? 0, expected: this.sizeBytes },
      fix: 'Send the missing keys of the set again; the other keys stay.',
      retryable: true,
    });
  }

  /** Ends a writer; it keeps what it has. */
  async stop(): Promise<void> {
    this.#writer?.cancel();
    while (this.#writer) await this.#writer.ended;
  }

  async remove(): Promise<void> {
    await this.stop();
    await Promise.all([rm(this.#path, { force: true }), rm(this.#growing, { force: true })]);
  }

  async #write(offset: number, chunks: Chunks, signal: AbortSignal): Promise<number> {
    let at = await this.#offset();
    if (offset !== at) {
      throw new SottoError('The part continues at another place.', {
        code: 'PART_OFFSET',
        facts: { offset, expected: at },
        fix: 'Ask for the offset with HEAD, and continue there.',
        retryable: true,
      });
    }
    if (at === this.sizeBytes) {
      if (!(await this.complete())) await this.#finish();
      return at;
    }
    const file = await openPrivate(this.#growing, 'a');
    try {
      for await (const chunk of until(signal, chunks)) {
        if (at + chunk.length > this.sizeBytes) {
          throw new SottoError('The body is larger than the rest of the part.', {
            code: 'BODY_TOO_LARGE',
            facts: { sizeBytes: at + chunk.length, limitBytes: this.sizeBytes },
            fix: 'Send the part that was announced.',
          });
        }
        await file.appendFile(chunk);
        at += chunk.length;
      }
      if (at === this.sizeBytes) await file.sync();
    } finally {
      await file.close();
    }
    if (at === this.sizeBytes) await this.#finish();
    return at;
  }

  /** Checks the part and gives it its name; done already is done. */
  async #finish(): Promise<void> {
    try {
      await this.#name();
    } catch (error) {
      if (!isAbsent(error) || !(await this.complete())) throw error;
    }
  }

  async #name(): Promise<void> {
    if (sha256Hex(await readFile(this.#growing)) !== this.digest) {
      await rm(this.#growing, { force: true });
      throw new SottoError('The part was damaged on its way.', {
        code: 'PART_DIGEST',
        facts: { part: this.digest.slice(0, 16) },
        fix: 'Send the part again from its beginning.',
        retryable: true,
      });
    }
    await rename(this.#growing, this.#path);
    await syncFolder(dirname(this.#path));
  }
}

/** What arrives before the signal; a read that hangs then is left behind. */
async function* until(signal: AbortSignal, chunks: Chunks): AsyncGenerator<Uint8Array, void, undefined> {
  const iterator = chunks[Symbol.asyncIterator]();
  const stopped = new Promise<undefined>((resolve) => {
    signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
  try {
    while (!signal.aborted) {
      const reading = iterator.next();
      const next = await Promise.race([reading, stopped]);
      if (!next) reading.catch(() => {});
      if (!next || next.done) return;
      yield next.value;
    }
  } finally {
    iterator.return?.()?.catch(() => {});
  }
}
