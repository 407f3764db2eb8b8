import { SottoError } from '@sotto/base';
import { decodeRows, encodeRows, type Rows, type SessionStatus } from '@sotto/protocol';
import { stateLost } from '../disk.js';
import type { Logger } from '../log.js';
import type { Job, RefreshMemory } from './job.js';
import type { JobRecord, SessionJournal, SessionRecord } from './journal.js';

/** Results are kept for this many jobs, so that a lost answer can be fetched again. */
export const JOBS_KEPT = 8;

/** Keeps the journal of one session true while its jobs come and go. Without a journal every call does nothing. */
export class SessionRecords {
  readonly #journal: SessionJournal | undefined;
  readonly #log: Logger;
  readonly #snapshot: () => Omit<SessionRecord, 'version' | 'jobs'>;
  readonly #jobs = new Map<string, JobRecord>();
  #closed = false;

  constructor(
    journal: SessionJournal | undefined,
    log: Logger,
    snapshot: () => Omit<SessionRecord, 'version' | 'jobs'>,
  ) {
    this.#journal = journal;
    this.#log = log;
    this.#snapshot = snapshot;
  }

  get durable(): boolean {
    return this.#journal !== undefined;
  }

  /** Takes over what an earlier run of the server wrote of a job. */
  adopt(record: JobRecord): void {
    this.#jobs.set(record.id, record);
  }

  /** After this the job is on disk and survives. @throws `STATE_DISK_FULL`, `STATE_DISK`. */
  async accept(job: Job, rows: Rows): Promise<void> {
    if (!this.#journal) return;
    try {
      await this.#journal.put(job.id, 'block', encodeRows(rows));
      await this.#write(job, rows, { state: 'running', seconds: 0 });
    } catch (error) {
      this.#jobs.delete(job.id);
      throw error;
    }
  }

  async finish(job: Job, rows: Rows, end: { result: Rows; status: SessionStatus }): Promise<void> {
    await this.#survive(async () => {
      await this.#journal?.put(job.id, 'result', encodeRows(end.result));
      await this.#write(job, rows, { state: 'done', seconds: job.seconds, status: end.status });
    });
  }

  /** Writes down a job that ended without a result; any other is as it was. */
  async end(job: Job, rows: Rows): Promise<void> {
    const { state, seconds } = job;
    if (state !== 'failed' && state !== 'cancelled') return;
    const last = job.eventsAfter(0).at(-1)!.event;
    const error = last.type === 'failed' ? { error: last.error } : {};
    await this.#survive(() => this.#write(job, rows, { state, seconds, ...error }));
  }

  /** The client's answers to the refreshes of a job. */
  memoryOf(jobId: string): RefreshMemory | undefined {
    const journal = this.#journal;
    if (!journal) return undefined;
    return {
      get: (digest) => journal.get(jobId, `refresh-${digest}`),
      put: (digest, reply) => this.#survive(() => journal.put(jobId, `refresh-${digest}`, reply)),
    };
  }

  /** The rows of a job. @throws `STATE_LOST`. */
  async file(jobId: string, kind: 'block' | 'result'): Promise<Rows> {
    const bytes = await this.#journal?.get(jobId, kind);
    if (bytes) return decodeRows(bytes);
    throw stateLost();
  }

  async save(): Promise<void> {
    if (!this.#journal || this.#closed) return;
    await this.#journal.save({ version: 1, ...this.#snapshot(), jobs: [...this.#jobs.values()] });
  }

  /** Saves what {@link adopt} took over: in how many runs of the server a job was, before anything of this run is numbered. */
  async saveAdopted(): Promise<void> {
    await this.#survive(() => this.save());
  }

  /** From now on nothing is written: the session goes on in another run of the server, or not at all. */
  close(): void {
    this.#closed = true;
  }

  async remove(): Promise<void> {
    this.close();
    await this.#survive(async () => this.#journal?.remove());
  }

  async #write(
    { id, fingerprint, resumed }: Job,
    { position, rows }: Rows,
    now: Pick<JobRecord, 'state' | 'seconds' | 'status' | 'error'>,
  ): Promise<void> {
    if (!this.#journal || this.#closed) return;
    this.#jobs.delete(id);
    this.#jobs.set(id, { id, fingerprint, position, rows, resumed, ...now });
    for (const old of [...this.#jobs.keys()].slice(0, -JOBS_KEPT)) this.#jobs.delete(old);
    await this.save();
    if (now.state === 'running') return;
    await this.#journal.forget((jobId, kind) => kind === 'result' && this.#jobs.has(jobId));
  }

  /** A disk that fails must not cost an answer that is there. */
  async #survive(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#log('state not kept', { code: SottoError.is(error) ? error.code : 'INTERNAL' });
    }
  }
}
