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
import type { BlockHooks, BlockResult } from '../engine/port.js';
import type { RestartableEngine } from '../engine/restartable-engine.js';
import type { StoredKeySet } from '../keys/stored-key-set.js';
import type { Logger } from '../log.js';
import { Job } from './job.js';
import type { JobQueue } from './job-queue.js';
import type { JobRecord, SessionJournal, SessionRecord } from './journal.js';
import { Sequence } from './sequence.js';
import { SessionKeys } from './session-keys.js';
import { JOBS_KEPT, SessionRecords } from './session-records.js';

/** A job whose engine process was lost goes on in a new one this many times. */
const MOST_RESTARTS = 3;

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
  readonly engine: RestartableEngine;
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
  readonly #engine: RestartableEngine;
  readonly #keys: SessionKeys;
  readonly #sequence: Sequence;
  readonly #jobs = new Map<string, Job>();
  #publicLoading: Promise<void> | undefined;
  #ciphertextBytes = 0;
  #messages = 0;
  #bootstraps = 0;
  /** Of earlier engines: one counts from its own start. */
  #bootstrapsBefore = 0;
  #clientRefreshes = 0;
  #current: Job | undefined;
  #lastUseMs = performance.now();
  readonly #queue: JobQueue;
  readonly #log: Logger;
  readonly #records: SessionRecords;
  /** False while the engine holds neither the keys of the set nor the public part. */
  #awake = true;
  #waking: Promise<void> | undefined;
  #closed = false;

  constructor({ identity, engine, queue, log, journal }: SessionParts) {
    this.#identity = identity;
    this.#engine = engine;
    this.#keys = new SessionKeys(engine);
    this.#sequence = new Sequence(engine.description.window);
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
    session.#keys.use(keySet);
    session.#sequence.restore(record);
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

  /** False while the session has no engine. */
  get inMemory(): boolean {
    return this.#engine.running || this.working;
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
    return this.#keys.sizeOf(index);
  }

  /** Stores one key. The same key again changes nothing. @throws `KEY_CONFLICT` and the engine's errors. */
  async putKey(index: number, bytes: Uint8Array): Promise<{ index: number; missing: number }> {
    await this.#keys.put(index, bytes);
    return { index, missing: this.#keys.missing };
  }

  /** Begins to load every key of a stored set; {@link keysLoaded} tells how far it is. */
  async useKeySet(set: StoredKeySet): Promise<void> {
    this.#keys.use(set);
    this.#awake = false;
    await this.#records.save();
    this.#wake().catch(() => {});
  }

  /** Brings what the engine needs of a session with stored keys into it: keys, then the public part. @throws the errors of both. */
  #wake(): Promise<void> {
    if (this.#awake) return Promise.resolve();
    this.#waking ??= this.#load().finally(() => {
      this.#waking = undefined;
    });
    return this.#waking;
  }

  async #load(): Promise<void> {
    await this.#keys.load();
    const tokens = this.#sequence.publicTokens;
    if (tokens) await this.#engine.loadPublic(tokens, clearHooks);
    this.#awake = true;
  }

  /** Frees the engine. What it held comes from disk when it is needed again. */
  async #sleep(): Promise<void> {
    this.#awake = false;
    this.#keys.forget();
    this.#bootstrapsBefore += this.#bootstraps;
    this.#bootstraps = 0;
    await this.#engine.stop();
  }

  /** The engine's state can be made again: stored keys, and no encrypted rows but those that are on disk. */
  get #recoverable(): boolean {
    if (this.#closed || !this.#keys.set) return false;
    return this.#records.durable || !this.#sequence.hasPrivateRows;
  }

  /** Keys that are in memory. @throws what stopped the loading of a key set, e.g. `KEYS_DAMAGED`. */
  keysLoaded(): { loaded: number; total: number } {
    const progress = this.#keys.progress();
    this.#wake().catch(() => {});
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
    // An engine that sleeps is told when it wakes.
    this.#publicLoading = this.#awake ? this.#engine.loadPublic(tokens, clearHooks) : Promise.resolve();
    try {
      await this.#publicLoading;
    } catch (error) {
      this.#publicLoading = undefined;
      if (!isLost(error) || !this.#recoverable) {
        this.#sequence.clear();
        throw error;
      }
      await this.#sleep();
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
    if (!this.#keys.set && this.#keys.missing > 0) {
      throw new SottoError('Keys are missing.', {
        code: 'KEYS_MISSING',
        facts: { missing: this.#keys.missing },
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
      (start) => this.#queue.run(this.#identity.owner, job.signal, () => this.#compute(job, rows, start)),
      async ({ bootstraps, rows: result, notKept }) => {
        if (notKept !== undefined) this.#log('state not kept', { job: job.id.slice(0, 8), code: notKept });
        this.#sequence.finish(rows);
        this.#bootstraps = bootstraps;
        this.#clientRefreshes += job.refreshCount;
        const status = this.status();
        await this.#records.finish(job, rows, { result, status });
        return status;
      },
    );
    return done.then(() => this.#records.end(job, rows));
  }

  /** Runs a block, and once more when the engine process was lost. @throws `WORKER_LOST` when that happens again and again. */
  async #compute(job: Job, rows: Rows, start: () => void): Promise<BlockResult> {
    for (let restarts = 0; ; restarts++) {
      try {
        await this.#wake();
        start();
        return await this.#engine.run(rows, job);
      } catch (error) {
        if (!isLost(error) || !this.#recoverable) throw error;
        await this.#sleep();
        job.signal.throwIfAborted();
        if (restarts === MOST_RESTARTS) throw lostAgain(error, restarts + 1);
        this.#log('job restarts', { job: job.id.slice(0, 8), restarts: restarts + 1 });
      }
    }
  }

  /** All that a restarted server needs to go on. */
  #snapshot(): Omit<SessionRecord, 'version' | 'jobs'> {
    const { tokenDigest, ...identity } = this.#identity;
    const description = this.#engine.description;
    return {
      ...identity,
      tokenDigest: tokenDigest.toString('hex'),
      keySet: this.#keys.set!.id,
      description: { ...description, keys: [...description.keys] },
      ...this.#sequence.snapshot(),
      bootstraps: this.#bootstrapsBefore + this.#bootstraps,
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
    await this.#waking?.catch(() => {});
    if (!this.#awake) return;
    try {
      await this.#engine.reset();
    } catch (error) {
      if (!isLost(error) || !this.#recoverable) throw error;
      await this.#sleep();
    }
  }

  job(jobId: string): Job | undefined {
    return this.#jobs.get(jobId);
  }

  countCiphertextBytes(sizeBytes: number): void {
    this.#ciphertextBytes += sizeBytes;
  }

  status(): SessionStatus {
    return {
      keysMissing: this.#keys.missing,
      positions: this.#sequence.positions,
      bootstraps: this.#bootstrapsBefore + this.#bootstraps,
      clientRefreshes: this.#clientRefreshes,
      serverSaw: {
        publicTokens: this.#sequence.publicTokens?.length ?? 0,
        privateRows: this.#sequence.privateRows,
        droppedRows: this.#sequence.droppedRows,
        keyBytes: this.#keys.sizeBytes,
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
    try {
      await this.#engine.close();
    } finally {
      this.#keys.release();
    }
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

const isLost = (error: unknown): boolean => SottoError.is(error) && error.code === 'WORKER_LOST';

const lostAgain = (cause: unknown, ends: number) =>
  new SottoError('The process that computed for this job ended again and again.', {
    code: 'WORKER_LOST',
    facts: { ends },
    fix: 'Ask again when the machine has more memory to spare; `sotto doctor` tests its kernels.',
    cause,
  });
