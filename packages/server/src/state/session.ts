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
  type WaitingFor,
} from '@sotto/protocol';
import type { RestartableEngine } from '../engine/restartable-engine.js';
import type { StoredKeySet } from '../keys/stored-key-set.js';
import type { Logger } from '../log.js';
import { Job } from './job.js';
import type { JobQueue } from './job-queue.js';
import type { JobRecord, SessionJournal, SessionRecord } from './journal.js';
import { type Residency, untilAborted } from './residency.js';
import { Sequence } from './sequence.js';
import { SessionEngine, type SessionView } from './session-engine.js';
import { JOBS_KEPT, SessionRecords } from './session-records.js';

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
  readonly engine: RestartableEngine;
  readonly queue: JobQueue;
  readonly residency: Residency;
  readonly log: Logger;
  /** For a session that outlives the server: one whose keys are stored. */
  readonly journal?: SessionJournal;
}

/** What is kept of a token. */
export const tokenDigestOf = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Keys, public part, encrypted rows and jobs of one client. */
export class Session {
  readonly #identity: SessionIdentity;
  readonly #engine: SessionEngine;
  readonly #sequence: Sequence;
  readonly #jobs = new Map<string, Job>();
  #publicLoading: Promise<void> | undefined;
  #ciphertextBytes = 0;
  #messages = 0;
  #clientRefreshes = 0;
  #current: Job | undefined;
  #lastUseMs = performance.now();
  readonly #queue: JobQueue;
  readonly #log: Logger;
  readonly #records: SessionRecords;
  #closed = false;

  constructor({ identity, engine, queue, residency, log, journal }: SessionParts) {
    this.#identity = identity;
    this.#sequence = new Sequence(engine.description.window);
    this.#queue = queue;
    this.#log = log;
    this.#records = new SessionRecords(journal, log, () => this.#snapshot());
    this.#engine = new SessionEngine(engine, residency, this.#view(), log);
  }

  /**
   * A session of an earlier run of the server. Its unfinished job goes on by itself once the keys are in memory.
   *
   * @param keySet holds its keys.
   */
  static restore(parts: SessionParts, record: SessionRecord, keySet: StoredKeySet): Session {
    const session = new Session(parts);
    session.#engine.useKeySet(keySet, record.bootstraps);
    session.#sequence.restore(record);
    session.#ciphertextBytes = record.ciphertextBytes;
    session.#messages = record.messages;
    session.#clientRefreshes = record.clientRefreshes;
    for (const job of record.jobs) session.#restoreJob(job);
    return session;
  }

  get id(): string {
    return this.#identity.id;
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
    return this.#engine.keys.sizeOf(index);
  }

  /** Stores one key. The same key again changes nothing. @throws `KEY_CONFLICT` and the engine's errors. */
  async putKey(index: number, bytes: Uint8Array): Promise<{ index: number; missing: number }> {
    await this.#engine.putKey(index, bytes);
    return { index, missing: this.#engine.keys.missing };
  }

  /** Takes its place in memory, for keys that are sent to it. @returns false when there is none. */
  enter(): Promise<boolean> {
    return this.#engine.enter();
  }

  /** Begins to load every key of a stored set; {@link keysLoaded} tells how far it is. */
  async useKeySet(set: StoredKeySet): Promise<void> {
    this.#engine.useKeySet(set);
    await this.#records.save();
    this.#engine.wakeInBackground();
  }

  /** Keys that are in memory. @throws what stopped the loading of a key set, e.g. `KEYS_DAMAGED`. */
  keysLoaded(): { loaded: number; total: number } {
    const progress = this.#engine.keys.progress();
    this.#engine.wakeInBackground();
    return progress;
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
    if (this.#sequence.hasPublic(tokens)) return this.#publicLoading;
    this.#sequence.setPublic(tokens);
    this.#publicLoading = this.#engine.loadPublic(tokens);
    try {
      await this.#publicLoading;
    } catch (error) {
      this.#publicLoading = undefined;
      this.#sequence.clear();
      throw error;
    }
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
    const { keys } = this.#engine;
    if (!keys.set && keys.missing > 0) {
      throw new SottoError('Keys are missing.', {
        code: 'KEYS_MISSING',
        facts: { missing: keys.missing },
        fix: 'Send every key of the list before the first block.',
      });
    }
    this.#requireQuiet();
    this.#sequence.begin(rows);
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
    try {
      await this.#records.accept(job, rows);
    } catch (error) {
      this.#jobs.delete(jobId);
      this.#current = undefined;
      throw error;
    }
    void this.#follow(job, rows);
    return job;
  }

  /** Runs a job to its end. */
  #follow(job: Job, rows: Rows): Promise<void> {
    const done = job.follow(
      async (start) => {
        // Memory first: who has a slot never waits for memory that somebody holds who waits for a slot.
        await untilAborted(this.#engine.wake(), job.signal);
        return await this.#queue.run(this.#identity.owner, job.signal, () =>
          this.#engine.run(rows, job, start),
        );
      },
      async ({ rows: result, notKept }) => {
        if (notKept !== undefined) this.#log('state not kept', { job: job.id.slice(0, 8), code: notKept });
        this.#sequence.finish(rows);
        this.#clientRefreshes += job.refreshCount;
        const status = this.status();
        await this.#records.finish(job, rows, { result, status });
        return status;
      },
    );
    return done
      .then(() => this.#records.end(job, rows))
      .finally(() => {
        this.#lastUseMs = performance.now();
        this.#engine.settle();
      });
  }

  #view(): SessionView {
    const session = this;
    return {
      get publicTokens() {
        return session.#sequence.publicTokens;
      },
      get rowsKept() {
        return session.#records.durable || !session.#sequence.hasPrivateRows;
      },
      get working() {
        return session.working;
      },
      get lastUseMs() {
        return session.#lastUseMs;
      },
    };
  }

  /** All that a restarted server needs to go on. */
  #snapshot(): Omit<SessionRecord, 'version' | 'jobs'> {
    const { tokenDigest, ...identity } = this.#identity;
    const description = this.#engine.description;
    return {
      ...identity,
      tokenDigest: tokenDigest.toString('hex'),
      keySet: this.#engine.keys.set!.id,
      description: { ...description, keys: [...description.keys] },
      memoryBytes: this.#engine.memoryBytes,
      ...this.#sequence.snapshot(),
      bootstraps: this.#engine.bootstraps,
      clientRefreshes: this.#clientRefreshes,
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
      await this.#records.saveAdopted();
      this.#log('job continues', { job: job.id.slice(0, 8), run: job.resumed + 1 });
      await this.#follow(job, rows);
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
    this.#sequence.clear();
    this.#publicLoading = undefined;
    this.#current = undefined;
    // Forgotten here first: what the engine then still has on disk belongs to no public part.
    await this.#records.save();
    await this.#engine.reset();
  }

  job(jobId: string): Job | undefined {
    return this.#jobs.get(jobId);
  }

  /** What a job of this session waits for, if it does. */
  waitingFor(job: Job): WaitingFor | undefined {
    if (job.state === 'queued') return this.#engine.waitingFor;
    if (job.state === 'paused') return job.waitsForClient ? 'client' : this.#engine.waitingFor;
    return undefined;
  }

  countCiphertextBytes(sizeBytes: number): void {
    this.#ciphertextBytes += sizeBytes;
  }

  status(): SessionStatus {
    return {
      keysMissing: this.#engine.keys.missing,
      positions: this.#sequence.positions,
      bootstraps: this.#engine.bootstraps,
      clientRefreshes: this.#clientRefreshes,
      serverSaw: {
        publicTokens: this.#sequence.publicTokens?.length ?? 0,
        privateRows: this.#sequence.privateRows,
        droppedRows: this.#sequence.droppedRows,
        keyBytes: this.#engine.keys.sizeBytes,
        ciphertextBytes: this.#ciphertextBytes,
        messages: this.#messages,
      },
      peakRssBytes: process.resourceUsage().maxRSS * 1024 + this.#engine.peakRssBytes,
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
    await this.#engine.close();
  }

  #requireQuiet(): void {
    if (!this.#current || this.#current.ended) return;
    throw new SottoError('A block of this session still runs.', {
      code: 'JOB_RUNNING',
      fix: 'Wait for its done event.',
      retryable: true,
    });
  }
}
