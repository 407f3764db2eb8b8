import { createHash, timingSafeEqual } from 'node:crypto';
import { SottoError } from '@sotto/base';
import {
  checksum32,
  type RefreshMode,
  type Rows,
  type SessionInfo,
  type SessionStatus,
} from '@sotto/protocol';
import type { Engine } from '../engine/port.js';
import type { StoredKeySet } from '../keys/stored-key-set.js';
import { Job } from './job.js';
import type { JobQueue } from './job-queue.js';

/** Results are kept for this many jobs, so that a lost answer can be fetched again. */
const JOBS_KEPT = 8;

export interface SessionIdentity {
  readonly id: string;
  readonly token: string;
  readonly modelDigest: string;
  readonly refresh: RefreshMode;
  /** Whose turn its jobs take. */
  readonly owner: string;
}

const digestOf = (text: string) => createHash('sha256').update(text).digest();

/** Keys, public part, encrypted rows and jobs of one client. */
export class Session {
  readonly #identity: SessionIdentity;
  readonly #engine: Engine;
  /** Checksum of each stored key, by index. */
  readonly #keys = new Map<number, number>();
  readonly #jobs = new Map<string, Job>();
  #publicTokens: readonly number[] | undefined;
  #publicLoading: Promise<void> | undefined;
  #positions = 0;
  /** Where the last finished block began, and its rows. */
  #lastBlock: { readonly position: number; readonly rows: number } | undefined;
  #privateRows = 0;
  #droppedRows = 0;
  #keyBytes = 0;
  #ciphertextBytes = 0;
  #messages = 0;
  #bootstraps = 0;
  #clientRefreshes = 0;
  #current: Job | undefined;
  #lastUseMs = performance.now();
  readonly #queue: JobQueue;
  #keySet: StoredKeySet | undefined;
  #loadError: unknown;
  #closed = false;

  constructor(identity: SessionIdentity, engine: Engine, queue: JobQueue) {
    this.#identity = identity;
    this.#engine = engine;
    this.#queue = queue;
  }

  get id(): string {
    return this.#identity.id;
  }

  get idleMs(): number {
    return this.#current && !this.#current.ended ? 0 : performance.now() - this.#lastUseMs;
  }

  get info(): Omit<SessionInfo, 'protocol'> {
    const { id, token, modelDigest, refresh } = this.#identity;
    const description = this.#engine.description;
    return { sessionId: id, token, modelDigest, refresh, ...description, keys: [...description.keys] };
  }

  /** Compares in constant time and counts the message. */
  authorises(token: string): boolean {
    this.#messages++;
    this.#lastUseMs = performance.now();
    return timingSafeEqual(digestOf(token), digestOf(this.#identity.token));
  }

  /** Exact size of a key. @throws `KEY_UNKNOWN`. */
  keySizeBytes(index: number): number {
    const entry = this.#engine.description.keys[index];
    if (entry) return entry.sizeBytes;
    throw new SottoError('The session has no key of this index.', {
      code: 'KEY_UNKNOWN',
      facts: { index, keys: this.#engine.description.keys.length },
      fix: 'Send the keys of the list that the session was opened with.',
    });
  }

  /** Stores one key. The same key again changes nothing. @throws `KEY_CONFLICT` and the engine's errors. */
  async putKey(index: number, bytes: Uint8Array): Promise<{ index: number; missing: number }> {
    const expected = this.keySizeBytes(index);
    if (bytes.length !== expected) {
      throw new SottoError('The key has not the size that the key list says.', {
        code: 'KEY_SIZE',
        facts: { index, sizeBytes: bytes.length, expected },
        fix: 'Make the key for the parameters of this session.',
      });
    }
    const checksum = checksum32(bytes);
    const stored = this.#keys.get(index);
    if (stored === undefined) {
      await this.#engine.loadKey(index, bytes);
      this.#keys.set(index, checksum);
      this.#keyBytes += expected;
    } else if (stored !== checksum) {
      throw new SottoError('Another key is stored under this index.', {
        code: 'KEY_CONFLICT',
        facts: { index },
        fix: 'Open a new session for new keys.',
      });
    }
    return { index, missing: this.#keysMissing };
  }

  /** Begins to load every key of a stored set; {@link keysLoaded} tells how far it is. */
  useKeySet(set: StoredKeySet): void {
    this.#keySet = set;
    set.users++;
    void this.#loadKeySet(set).catch((error) => {
      this.#loadError = error;
    });
  }

  /** Keys that are in memory. @throws what stopped the loading of a key set, e.g. `KEYS_DAMAGED`. */
  keysLoaded(): { loaded: number; total: number } {
    if (this.#loadError !== undefined) throw this.#loadError;
    return { loaded: this.#keys.size, total: this.#engine.description.keys.length };
  }

  async #loadKeySet(set: StoredKeySet): Promise<void> {
    await set.touch();
    let damage: unknown;
    for (const { index } of this.#engine.description.keys) {
      if (this.#closed) return;
      try {
        const bytes = await set.readKey(index);
        if (damage === undefined) await this.putKey(index, bytes);
      } catch (error) {
        if (!SottoError.is(error) || error.code !== 'KEYS_DAMAGED') throw error;
        // The rest is only checked, so that one more upload brings everything that is damaged.
        damage ??= error;
      }
    }
    if (damage !== undefined) throw damage;
  }

  /** Takes the public part, once. The same tokens again change nothing. */
  async putPublic(tokens: readonly number[], vocabSize: number): Promise<void> {
    const outside = tokens.find((token) => token >= vocabSize);
    if (outside !== undefined) {
      throw new SottoError('A public token is outside the vocabulary.', {
        code: 'TOKEN_UNKNOWN',
        facts: { vocabSize },
        fix: 'Use the tokenizer of this model.',
      });
    }
    if (this.#publicTokens) {
      const same =
        tokens.length === this.#publicTokens.length && tokens.every((t, i) => t === this.#publicTokens![i]);
      if (!same) {
        throw new SottoError('The session has another public part.', {
          code: 'PUBLIC_CONFLICT',
          facts: { publicTokens: this.#publicTokens.length },
          fix: 'Open a new session for another public part.',
        });
      }
      return this.#publicLoading;
    }
    this.#requireRoom('public', 0, tokens.length);
    this.#publicTokens = tokens;
    this.#publicLoading = this.#engine.loadPublic(tokens, {
      progress: () => {},
      refresh: () => Promise.reject(new Error('the public part is computed in clear')),
    });
    try {
      await this.#publicLoading;
    } catch (error) {
      this.#publicTokens = undefined;
      throw error;
    }
    this.#positions = tokens.length;
  }

  /**
   * Starts a block. The block that was sent last, sent again, gives the same job unless that one failed. A block that begins
   * within the last one drops the rows of that from there on: drafted tokens that were not accepted.
   *
   * @throws `KEYS_MISSING`, `PUBLIC_MISSING`, `JOB_RUNNING`, `BLOCK_OUT_OF_ORDER`, `BLOCK_TOO_LONG`, `PROMPT_TOO_LONG`.
   */
  startBlock(rows: Rows, jobId: string): Job {
    const fingerprint = [rows.position, rows.rows, ...rows.ciphertexts.map((c) => checksum32(c))].join(':');
    if (this.#current?.fingerprint === fingerprint && !this.#current.failed) return this.#current;
    if (this.#keysMissing > 0) {
      throw new SottoError('Keys are missing.', {
        code: 'KEYS_MISSING',
        facts: { missing: this.#keysMissing },
        fix: 'Send every key of the list before the first block.',
      });
    }
    this.#requireQuiet();
    if (!this.#publicTokens) {
      throw new SottoError('The public part is missing.', {
        code: 'PUBLIC_MISSING',
        fix: 'Send it before the first block; it holds at least the start token.',
      });
    }
    const earliest = this.#earliestPosition();
    if (rows.position < earliest || rows.position > this.#positions) {
      throw new SottoError('The block does not continue the sequence.', {
        code: 'BLOCK_OUT_OF_ORDER',
        facts: { position: rows.position, earliest, expected: this.#positions },
        fix: 'Send blocks in order, each once.',
      });
    }
    const { blockRows } = this.#engine.description.window;
    if (rows.rows > blockRows) {
      throw new SottoError('The block has more rows than fit.', {
        code: 'BLOCK_TOO_LONG',
        facts: { rows: rows.rows, largest: blockRows },
        fix: 'Split the private part into blocks.',
      });
    }
    const positions = this.#positions;
    this.#positions = rows.position;
    try {
      this.#requireRoom('private', rows.position - this.#publicTokens.length, rows.rows);
    } catch (error) {
      this.#positions = positions;
      throw error;
    }
    this.#droppedRows += positions - rows.position;
    const job = new Job(jobId, this.id, fingerprint);
    this.#current = job;
    this.#jobs.set(job.id, job);
    for (const old of [...this.#jobs.keys()].slice(0, -JOBS_KEPT)) this.#jobs.delete(old);
    this.#ciphertextBytes += rows.ciphertexts.reduce((sum, c) => sum + c.length, 0);
    this.#privateRows += rows.rows;
    const { owner } = this.#identity;
    void job.follow(
      (start) =>
        this.#queue.run(owner, job.signal, async () => {
          start();
          return await this.#engine.run(rows, job);
        }),
      ({ bootstraps }) => {
        this.#positions += rows.rows;
        this.#lastBlock = { position: rows.position, rows: rows.rows };
        this.#bootstraps = bootstraps;
        this.#clientRefreshes += job.refreshCount;
        return this.status();
      },
    );
    return job;
  }

  /** Forgets public part and rows, so that another question can be asked with the same keys. @throws `JOB_RUNNING`. */
  async reset(): Promise<void> {
    this.#requireQuiet();
    await this.#publicLoading;
    await this.#engine.reset();
    this.#publicTokens = undefined;
    this.#publicLoading = undefined;
    this.#positions = 0;
    this.#lastBlock = undefined;
    this.#current = undefined;
  }

  job(jobId: string): Job | undefined {
    return this.#jobs.get(jobId);
  }

  countCiphertextBytes(sizeBytes: number): void {
    this.#ciphertextBytes += sizeBytes;
  }

  status(): SessionStatus {
    return {
      keysMissing: this.#keysMissing,
      positions: this.#positions,
      bootstraps: this.#bootstraps,
      clientRefreshes: this.#clientRefreshes,
      serverSaw: {
        publicTokens: this.#publicTokens?.length ?? 0,
        privateRows: this.#privateRows,
        droppedRows: this.#droppedRows,
        keyBytes: this.#keyBytes,
        ciphertextBytes: this.#ciphertextBytes,
        messages: this.#messages,
      },
      peakRssBytes: process.resourceUsage().maxRSS * 1024,
    };
  }

  /** True while a block is queued or runs. */
  get working(): boolean {
    return this.#current !== undefined && !this.#current.ended;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#current?.cancel();
    try {
      await this.#engine.close();
    } finally {
      if (this.#keySet) this.#keySet.users--;
    }
  }

  get #keysMissing(): number {
    return this.#engine.description.keys.length - this.#keys.size;
  }

  /** Rows of the last block may be dropped; one that has a single row stays. */
  #earliestPosition(): number {
    return this.#lastBlock && this.#lastBlock.rows > 1 ? this.#lastBlock.position : this.#positions;
  }

  #requireQuiet(): void {
    if (!this.#current || this.#current.ended) return;
    throw new SottoError('A block of this session still runs.', {
      code: 'JOB_RUNNING',
      fix: 'Wait for its done event.',
      retryable: true,
    });
  }

  #requireRoom(part: 'public' | 'private', before: number, added: number): void {
    const { publicTokens, privateTokens, positions } = this.#engine.description.window;
    const largest = Math.min(
      part === 'public' ? publicTokens : privateTokens,
      positions - this.#positions + before,
    );
    if (before + added <= largest) return;
    throw new SottoError(`The ${part} part is longer than fits.`, {
      code: 'PROMPT_TOO_LONG',
      facts: { tokens: before + added, largest },
      fix: 'Shorten the prompt or ask for fewer tokens.',
    });
  }
}
