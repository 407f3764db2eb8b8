import { createHash, timingSafeEqual } from 'node:crypto';
import { SottoError } from '@sotto/base';
import {
  checksum32,
  errorBodyOf,
  type JobEvent,
  type ParameterChoice,
  type RefreshMode,
  type Rows,
  type SessionInfo,
  type SessionStatus,
} from '@sotto/protocol';
import type { BlockHooks, Engine } from '../engine/port.js';
import type { StoredKeySet } from '../keys/stored-key-set.js';
import type { Logger } from '../log.js';
import { Job } from './job.js';
import type { JobQueue } from './job-queue.js';
import type { JobRecord, SessionJournal, SessionRecord } from './journal.js';
import { JOBS_KEPT, SessionRecords } from './session-records.js';

const clearHooks: BlockHooks = {
  progress: () => {},
  refresh: () => Promise.reject(new Error('the public part is computed in clear')),
};

export interface SessionIdentity {
  readonly id: string;
  /** SHA-256 of the session's token. */
  readonly tokenDigest: Buffer;
  readonly modelDigest: string;
  readonly refresh: RefreshMode;
  readonly parameters: ParameterChoice;
  /** Whose turn its jobs take. */
  readonly owner: string;
}

export interface SessionParts {
  readonly identity: SessionIdentity;
  readonly engine: Engine;
  readonly queue: JobQueue;
  readonly log: Logger;
  /** For a session that outlives the server: one whose keys are stored. */
  readonly journal?: SessionJournal;
}

/** What is kept of a token. */
export const tokenDigestOf = (text: string): Buffer => createHash('sha256').update(text).digest();

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
  /** Of earlier runs of the server: an engine counts from its own start. */
  #bootstrapsBefore = 0;
  #clientRefreshes = 0;
  #current: Job | undefined;
  #lastUseMs = performance.now();
  readonly #queue: JobQueue;
  readonly #log: Logger;
  readonly #records: SessionRecords;
  /** False for a restored session that nothing has used yet: its engine has not started. */
  #awake = true;
  #keySet: StoredKeySet | undefined;
  #keysReady: Promise<void> | undefined;
  #loadError: unknown;
  #closed = false;

  constructor({ identity, engine, queue, log, journal }: SessionParts) {
    this.#identity = identity;
    this.#engine = engine;
    this.#queue = queue;
    this.#log = log;
    this.#records = new SessionRecords(journal, log, () => this.#snapshot());
  }

  /**
   * A session of an earlier run of the server. Its unfinished job goes on by itself once the keys are in memory.
   *
   * @param keySet holds its keys.
   */
  static restore(parts: SessionParts, record: SessionRecord, keySet: StoredKeySet): Session {
    const session = new Session(parts);
    session.#keySet = keySet;
    keySet.users++;
    session.#publicTokens = record.publicTokens ?? undefined;
    session.#positions = record.positions;
    session.#lastBlock = record.lastBlock ?? undefined;
    session.#droppedRows = record.droppedRows;
    session.#privateRows = record.privateRows;
    session.#ciphertextBytes = record.ciphertextBytes;
    session.#messages = record.messages;
    session.#bootstrapsBefore = record.bootstraps;
    session.#clientRefreshes = record.clientRefreshes;
    session.#awake = false;
    for (const job of record.jobs) session.#restoreJob(job);
    return session;
  }

  get id(): string {
    return this.#identity.id;
  }

  /** False for a session of an earlier run of the server that nothing has used yet. */
  get inMemory(): boolean {
    return this.#awake || this.working;
  }

  get idleMs(): number {
    return this.#current && !this.#current.ended ? 0 : performance.now() - this.#lastUseMs;
  }

  get info(): Omit<SessionInfo, 'protocol' | 'token'> {
    const { id, modelDigest, refresh } = this.#identity;
    const description = this.#engine.description;
    return { sessionId: id, modelDigest, refresh, ...description, keys: [...description.keys] };
  }

  /** Compares in constant time and counts the message. */
  authorises(token: string): boolean {
    this.#messages++;
    this.#lastUseMs = performance.now();
    return timingSafeEqual(tokenDigestOf(token), this.#identity.tokenDigest);
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
  async useKeySet(set: StoredKeySet): Promise<void> {
    this.#keySet = set;
    set.users++;
    await this.#records.save();
    this.#startLoading(set);
  }

  #startLoading(set: StoredKeySet): Promise<void> {
    this.#keysReady ??= this.#loadKeySet(set).catch((error) => {
      this.#loadError = error;
    });
    return this.#keysReady;
  }

  /** Brings a restored session back into memory: keys, then the public part. @throws the errors of both. */
  async #wake(): Promise<void> {
    if (this.#awake) return;
    await this.#startLoading(this.#keySet!);
    if (this.#loadError !== undefined) throw this.#loadError;
    if (this.#awake) return;
    this.#awake = true;
    if (this.#publicTokens) {
      this.#publicLoading = this.#engine.loadPublic(this.#publicTokens, clearHooks);
      await this.#publicLoading;
    }
  }

  /** Keys that are in memory. @throws what stopped the loading of a key set, e.g. `KEYS_DAMAGED`. */
  keysLoaded(): { loaded: number; total: number } {
    if (this.#keySet) void this.#startLoading(this.#keySet);
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
    await this.#wake();
    this.#publicTokens = tokens;
    this.#publicLoading = this.#engine.loadPublic(tokens, clearHooks);
    try {
      await this.#publicLoading;
    } catch (error) {
      this.#publicTokens = undefined;
      throw error;
    }
    this.#positions = tokens.length;
    await this.#records.save();
  }

  /**
   * Starts a block. The block that was sent last, sent again, gives the same job unless that one failed. A block that begins
   * within the last one drops the rows of that from there on: drafted tokens that were not accepted. When this returns the block
   * is on disk, if the session has a journal.
   *
   * @throws `KEYS_MISSING`, `PUBLIC_MISSING`, `JOB_RUNNING`, `BLOCK_OUT_OF_ORDER`, `BLOCK_TOO_LONG`, `PROMPT_TOO_LONG`,
   * `STATE_DISK_FULL`, `STATE_DISK`.
   */
  async startBlock(rows: Rows, jobId: string): Promise<Job> {
    const fingerprint = [rows.position, rows.rows, ...rows.ciphertexts.map((c) => checksum32(c))].join(':');
    if (this.#current?.fingerprint === fingerprint && !this.#current.failed) return this.#current;
    await this.#wake();
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
    const job = new Job({
      id: jobId,
      sessionId: this.id,
      fingerprint,
      memory: this.#records.memoryOf(jobId),
    });
    this.#current = job;
    this.#jobs.set(job.id, job);
    for (const old of [...this.#jobs.keys()].slice(0, -JOBS_KEPT)) this.#jobs.delete(old);
    this.#ciphertextBytes += rows.ciphertexts.reduce((sum, c) => sum + c.length, 0);
    this.#privateRows += rows.rows;
    try {
      await this.#records.accept(job, rows);
    } catch (error) {
      this.#jobs.delete(jobId);
      this.#current = undefined;
      throw error;
    }
    void this.#follow(job, rows, async () => {});
    return job;
  }

  /** Runs a job to its end. @param ready is awaited when the job leaves the queue. */
  #follow(job: Job, rows: Rows, ready: () => Promise<void>): Promise<void> {
    const done = job.follow(
      (start) =>
        this.#queue.run(this.#identity.owner, job.signal, async () => {
          await ready();
          start();
          return await this.#engine.run(rows, job);
        }),
      async ({ bootstraps, rows: result, notKept }) => {
        if (notKept !== undefined) this.#log('state not kept', { job: job.id.slice(0, 8), code: notKept });
        this.#positions += rows.rows;
        this.#lastBlock = { position: rows.position, rows: rows.rows };
        this.#bootstraps = bootstraps;
        this.#clientRefreshes += job.refreshCount;
        const status = this.status();
        await this.#records.finish(job, rows, { result, status });
        return status;
      },
    );
    return done.then(() => this.#records.end(job, rows));
  }

  /** All that a restarted server needs to go on. */
  #snapshot(): Omit<SessionRecord, 'version' | 'jobs'> {
    const { tokenDigest, ...identity } = this.#identity;
    const description = this.#engine.description;
    return {
      ...identity,
      tokenDigest: tokenDigest.toString('hex'),
      keySet: this.#keySet!.id,
      description: { ...description, keys: [...description.keys] },
      publicTokens: this.#publicTokens ? [...this.#publicTokens] : null,
      positions: this.#positions,
      lastBlock: this.#lastBlock ?? null,
      droppedRows: this.#droppedRows,
      bootstraps: this.#bootstrapsBefore + this.#bootstraps,
      clientRefreshes: this.#clientRefreshes,
      privateRows: this.#privateRows,
      ciphertextBytes: this.#ciphertextBytes,
      messages: this.#messages,
    };
  }

  #restoreJob(record: JobRecord): void {
    const { id, fingerprint, seconds, status, error } = record;
    const options = { id, sessionId: this.id, fingerprint, resumed: record.resumed + 1 };
    this.#records.adopt({ ...record, resumed: options.resumed });
    if (record.state === 'running') {
      const job = new Job({ ...options, memory: this.#records.memoryOf(id) });
      this.#jobs.set(id, job);
      this.#current = job;
      void this.#continue(job, { position: record.position, rows: record.rows, ciphertexts: [] });
      return;
    }
    const event: JobEvent =
      record.state === 'done' && status
        ? { type: 'done', seconds, status }
        : { type: 'failed', error: error ?? errorBodyOf(undefined).error };
    const end = { seconds, event, cancelled: record.state === 'cancelled' };
    this.#current = Job.ended(options, end, () => this.#records.file(id, 'result'));
    this.#jobs.set(id, this.#current);
  }

  /** @param place of the block; its ciphertexts are on disk. */
  async #continue(job: Job, place: Rows): Promise<void> {
    try {
      const rows = await this.#records.file(job.id, 'block');
      this.#log('job continues', { job: job.id.slice(0, 8), run: job.resumed + 1 });
      await this.#follow(job, rows, () => this.#wake());
    } catch (error) {
      await job.follow(
        () => Promise.reject(error),
        () => this.status(),
      );
      await this.#records.end(job, place);
    }
  }

  /** Forgets public part and rows, so that another question can be asked with the same keys. @throws `JOB_RUNNING`. */
  async reset(): Promise<void> {
    this.#requireQuiet();
    await this.#publicLoading;
    this.#publicTokens = undefined;
    this.#publicLoading = undefined;
    this.#positions = 0;
    this.#lastBlock = undefined;
    this.#current = undefined;
    // Forgotten here first: what the engine then still has on disk belongs to no public part.
    await this.#records.save();
    if (this.#awake) await this.#engine.reset();
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
      bootstraps: this.#bootstrapsBefore + this.#bootstraps,
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
    this.#current?.cancel();
    await this.#end();
    await this.#records.remove();
  }

  /** Ends without forgetting: a restarted server goes on. @returns false when the session has no journal. */
  async suspend(): Promise<boolean> {
    if (!this.#records.durable) return false;
    this.#current?.suspend();
    this.#current?.cancel();
    await this.#end();
    return true;
  }

  async #end(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#records.close();
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
