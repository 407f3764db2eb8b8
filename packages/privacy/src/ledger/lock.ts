import { linkSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { threadId } from 'node:worker_threads';
import { SottoError } from '@sotto/base';

const FREE = 'free';

/**
 * A lock for one process at a time that a crash does not leave behind.
 *
 * Files `PATH.0`, `PATH.1`, ... are generations; the highest one names the owner or is free. To take the lock is to create the next
 * generation, which only one process can do, and a file is created with its content (a hard link to a finished one). The lock of a living
 * process is never removed by another one, so two that find the same dead owner cannot both get it, nor can one that was slow in between.
 * Processes of one machine only.
 */
export class FileLock {
  readonly #path: string;
  readonly #generation: number;
  #held = true;

  private constructor(path: string, generation: number) {
    this.#path = path;
    this.#generation = generation;
  }

  /** @throws `LEDGER_LOCKED` while a living process has it */
  static take(path: string): FileLock {
    const own = ownFile(path);
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const top = generationsOf(path).at(-1) ?? -1;
      if (top >= 0) requireDead(`${path}.${top}`);
      const generation = top + 1;
      writeFileSync(own, identityOf(process.pid), { mode: 0o600 });
      try {
        linkSync(own, `${path}.${generation}`);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EEXIST') continue;
        throw error;
      } finally {
        rmSync(own, { force: true });
      }
      const generations = generationsOf(path);
      // The owner of a later one cleared the place that was taken here.
      if (generations.at(-1) !== generation) {
        rmSync(`${path}.${generation}`, { force: true });
        continue;
      }
      for (const earlier of generations.slice(0, -1)) rmSync(`${path}.${earlier}`, { force: true });
      return new FileLock(path, generation);
    }
    throw locked(null);
  }

  /** Lets others have it. */
  release(): void {
    if (!this.#held) return;
    this.#held = false;
    const own = ownFile(this.#path);
    try {
      writeFileSync(own, FREE, { mode: 0o600 });
      renameSync(own, `${this.#path}.${this.#generation}`);
    } catch (error) {
      // The folder is gone, and the lock with it.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
}

/** Each failed attempt means that another process got further. */
const ATTEMPTS = 100;

/** Where a thread writes a file before it takes its place. */
const ownFile = (path: string) => `${path}.new-${process.pid}-${threadId}`;

function generationsOf(path: string): number[] {
  const prefix = `${basename(path)}.`;
  return readdirSync(dirname(path))
    .filter((name) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)))
    .sort((a, b) => a - b);
}

/** @throws `LEDGER_LOCKED` unless the lock is free or its owner is gone */
function requireDead(path: string): void {
  let content: string;
  try {
    content = readFileSync(path, 'utf8');
  } catch (error) {
    // Cleared by an owner of a later generation.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  if (content === FREE) return;
  const pid = Number.parseInt(content, 10);
  if (Number.isInteger(pid) && pid > 0 && isAlive(pid) && identityOf(pid) === content) throw locked(pid);
}

function locked(pid: number | null): SottoError {
  return new SottoError('Another process uses this privacy ledger.', {
    code: 'LEDGER_LOCKED',
    ...(pid === null ? {} : { facts: { process: pid } }),
    fix: 'Wait until it has finished.',
    retryable: true,
  });
}

/** Process id with its start time where the system tells it: a later process of the same id is another one. */
function identityOf(pid: number): string {
  try {
    const stat = readFileSync(join('/proc', String(pid), 'stat'), 'utf8');
    // The name of the program, in brackets, may hold anything; the start time is field 22.
    return `${pid} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`;
  } catch {
    return String(pid);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
