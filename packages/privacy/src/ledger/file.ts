import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { FileLock } from './lock.js';
import type { LedgerStorage } from './storage.js';

/** A ledger file, synced to disk after every record, with a lock so that two processes cannot both spend. */
export class FileStorage implements LedgerStorage {
  readonly #path: string;
  readonly #lock: FileLock;
  readonly #file: number;
  #open = true;

  /** @throws `LEDGER_LOCKED` while another living process holds the ledger */
  constructor(path: string) {
    this.#path = path;
    mkdirSync(dirname(path), { recursive: true });
    this.#lock = FileLock.take(`${path}.lock`);
    try {
      const known = existsSync(path);
      this.#file = openSync(path, 'a+', 0o600);
      if (!known) syncDirectory(dirname(path));
    } catch (error) {
      this.#lock.release();
      throw error;
    }
  }

  read(): Uint8Array {
    return readFileSync(this.#path);
  }

  append(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length) at += writeSync(this.#file, bytes, at);
    // Bytes and length, all that reading needs; times of the file may be lost.
    fdatasyncSync(this.#file);
  }

  truncate(sizeBytes: number): void {
    if (fstatSync(this.#file).size > sizeBytes) {
      ftruncateSync(this.#file, sizeBytes);
      fsyncSync(this.#file);
    }
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.#file);
    this.#lock.release();
  }
}

/** Makes a new directory entry durable; platforms that cannot open directories do without. */
function syncDirectory(path: string): void {
  let directory: number;
  try {
    directory = openSync(path, 'r');
  } catch {
    return;
  }
  try {
    fsyncSync(directory);
  } catch {
    // Not supported here.
  } finally {
    closeSync(directory);
  }
}
