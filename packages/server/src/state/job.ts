import { createHash } from 'node:crypto';
import { SottoError } from '@sotto/base';
import { errorBodyOf, type JobEvent, type Rows, type SessionStatus } from '@sotto/protocol';
import type { BlockHooks, BlockResult } from '../engine/port.js';

/** Where a job is. A paused one waits for its client, or for a restarted server to have its keys in memory again. */
export type JobState = 'queued' | 'running' | 'paused' | 'done' | 'failed' | 'cancelled';

/** A client's answers to refreshes, kept so that a block that is computed again gets the same bits. */
export interface RefreshMemory {
  get(digest: string): Promise<Uint8Array | null>;
  put(digest: string, reply: Uint8Array): Promise<void>;
}

export interface JobOptions {
  readonly id: string;
  readonly sessionId: string;
  /** Identifies a block that is sent again. */
  readonly fingerprint: string;
  /** How often the job was taken up again; 0 when absent. */
  readonly resumed?: number;
  readonly memory?: RefreshMemory | undefined;
}

interface Exchange {
  readonly askedMs: number;
  readonly ciphertext: Uint8Array;
  answer(reply: Uint8Array): void;
  refuse(error: unknown): void;
  answered: boolean;
}

/** An event with its place in the job's history, so that a reader can come back after a lost connection. */
export interface NumberedEvent {
  readonly id: number;
  readonly event: JobEvent;
}

/** Progress reaches readers at most this often. */
const PROGRESS_INTERVAL_MS = 100;

/** Events and refreshes of a job that was taken up again are numbered on from here: nothing is taken for an old one. */
const NUMBERS_A_RUN = 1_000_000;

/** A client that has not answered for this long is away. */
const AWAY_MS = 10_000;

/** A client that does not answer a refresh for this long is taken for gone, and its job ends. */
const REFRESH_TIMEOUT_MS = 10 * 60_000;

/** One block on its way through the engine: its events, its exchanges with the client, its result. */
export class Job implements BlockHooks {
  readonly #events: NumberedEvent[] = [];
  readonly #readers = new Set<() => void>();
  readonly #exchanges: Exchange[] = [];
  readonly id: string;
  readonly sessionId: string;
  readonly fingerprint: string;
  readonly resumed: number;
  readonly #memory: RefreshMemory | undefined;
  /** Exchanges that wait for the client, by the digest of their ciphertext. */
  readonly #asking = new Map<string, Promise<Uint8Array>>();
  readonly #startMs = performance.now();
  #endMs: number | undefined;
  #nextId: number;
  #lastProgressMs = Number.NEGATIVE_INFINITY;
  #result: (() => Promise<Rows>) | undefined;
  #ended = false;
  #suspended = false;
  #secondsBefore = 0;
  #started = false;
  #moved = false;
  readonly #cancel = new AbortController();

  constructor(options: JobOptions) {
    this.id = options.id;
    this.sessionId = options.sessionId;
    this.fingerprint = options.fingerprint;
    this.resumed = options.resumed ?? 0;
    this.#memory = options.memory;
    this.#nextId = 1 + NUMBERS_A_RUN * this.resumed;
  }

  /** A job of an earlier run of the server that came to its end there. */
  static ended(
    options: JobOptions,
    end: { readonly seconds: number; readonly event: JobEvent; readonly cancelled: boolean },
    result: () => Promise<Rows>,
  ): Job {
    const job = new Job(options);
    job.#secondsBefore = end.seconds;
    if (end.event.type === 'done') job.#result = result;
    if (end.cancelled) job.#cancel.abort(cancelled());
    job.#started = true;
    job.#end(end.event);
    job.#endMs = job.#startMs;
    return job;
  }

  get #firstRefresh(): number {
    return NUMBERS_A_RUN * this.resumed;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** True after an end without a result. */
  get failed(): boolean {
    return this.#ended && !this.#result;
  }

  /** A refresh was asked for and the client is away. */
  get waitsForClient(): boolean {
    return this.#exchanges.some((e) => !e.answered && performance.now() - e.askedMs > AWAY_MS);
  }

  get state(): JobState {
    if (!this.#ended) {
      if (this.waitsForClient || this.#suspended || (this.resumed > 0 && !this.#moved)) return 'paused';
      return this.#started ? 'running' : 'queued';
    }
    if (this.#result) return 'done';
    return this.#cancel.signal.aborted ? 'cancelled' : 'failed';
  }

  get seconds(): number {
    return this.#secondsBefore + ((this.#endMs ?? performance.now()) - this.#startMs) / 1000;
  }

  /** Aborted when the job is to stop. */
  get signal(): AbortSignal {
    return this.#cancel.signal;
  }

  /** True once the server is about to stop: the job goes on after its restart, and its readers are let go without an end. */
  get suspended(): boolean {
    return this.#suspended;
  }

  suspend(): void {
    if (this.#ended) return;
    this.#suspended = true;
    for (const reader of this.#readers) reader();
  }

  /** Asks the job to stop at its next operation. A job that has ended stays as it is. */
  cancel(): void {
    if (this.#ended) return;
    this.#cancel.abort(cancelled());
    for (const exchange of this.#exchanges) if (!exchange.answered) exchange.refuse(cancelled());
  }

  get refreshCount(): number {
    return this.#exchanges.length;
  }

  readonly progress: BlockHooks['progress'] = (progress) => {
    this.#cancel.signal.throwIfAborted();
    const now = performance.now();
    this.#moved = true;
    if (this.#ended || now - this.#lastProgressMs < PROGRESS_INTERVAL_MS) return;
    this.#lastProgressMs = now;
    this.#emit({ type: 'progress', progress });
  };

  async refresh(ciphertext: Uint8Array): Promise<Uint8Array> {
    if (this.#cancel.signal.aborted) throw cancelled();
    const digest = createHash('sha256').update(ciphertext).digest('hex');
    // An engine that takes the place of a lost one asks for what that asked for.
    const open = this.#asking.get(digest);
    if (open) return await open;
    const known = await this.#memory?.get(digest);
    if (known) return known;
    const asked = this.#askClient(ciphertext);
    this.#asking.set(digest, asked);
    const reply = await asked.finally(() => this.#asking.delete(digest));
    await this.#memory?.put(digest, reply);
    return reply;
  }

  #askClient(ciphertext: Uint8Array): Promise<Uint8Array> {
    const refreshId = this.#firstRefresh + this.#exchanges.length;
    let timer: NodeJS.Timeout | undefined;
    return new Promise<Uint8Array>((answer, refuse) => {
      timer = setTimeout(() => refuse(unanswered()), REFRESH_TIMEOUT_MS);
      timer.unref();
      const askedMs = performance.now();
      this.#exchanges.push({ askedMs, ciphertext, answer, refuse, answered: false });
      this.#moved = true;
      this.#emit({ type: 'refresh', refreshId });
    }).finally(() => clearTimeout(timer));
  }

  /** The ciphertext of one exchange. @throws `REFRESH_UNKNOWN`. */
  refreshRequest(refreshId: number): Uint8Array {
    return this.#exchange(refreshId).ciphertext;
  }

  /** Takes the client's ciphertext; a second copy of an answer changes nothing. @throws `REFRESH_UNKNOWN`. */
  refreshReply(refreshId: number, ciphertext: Uint8Array): void {
    const exchange = this.#exchange(refreshId);
    if (exchange.answered) return;
    exchange.answered = true;
    exchange.answer(ciphertext);
  }

  /**
   * Follows the engine to its end. Never rejects.
   *
   * @param run calls `start` when the job leaves the queue, which throws `JOB_CANCELLED` when it was cancelled there.
   */
  async follow(
    run: (start: () => void) => Promise<BlockResult>,
    status: (result: BlockResult) => SessionStatus | Promise<SessionStatus>,
  ): Promise<void> {
    try {
      const result = await run(() => {
        this.#cancel.signal.throwIfAborted();
        this.#started = true;
      });
      const told = await status(result);
      this.#result = async () => result.rows;
      this.#end({ type: 'done', seconds: this.seconds, status: told });
    } catch (error) {
      if (!this.#suspended) this.#end({ type: 'failed', error: errorBodyOf(error).error });
    }
  }

  /** The encrypted rows. @throws `JOB_NOT_DONE`, retryable while the job runs; `STATE_LOST`. */
  async result(): Promise<Rows> {
    if (this.#result) return await this.#result();
    throw new SottoError(this.#ended ? 'The job failed; it has no result.' : 'The job still runs.', {
      code: 'JOB_NOT_DONE',
      fix: this.#ended ? 'Read its events for the reason.' : 'Wait for its done event.',
      retryable: !this.#ended,
    });
  }

  /** Events after `lastId`, in order. */
  eventsAfter(lastId: number): readonly NumberedEvent[] {
    return this.#events.filter(({ id }) => id > lastId);
  }

  /** Calls `reader` after each new event until the returned function is called. */
  subscribe(reader: () => void): () => void {
    this.#readers.add(reader);
    return () => this.#readers.delete(reader);
  }

  #exchange(refreshId: number): Exchange {
    const exchange = this.#exchanges[refreshId - this.#firstRefresh];
    if (exchange) return exchange;
    throw new SottoError('The job did not ask for this refresh.', {
      code: 'REFRESH_UNKNOWN',
      facts: { refreshId, asked: this.#exchanges.length },
      fix: 'Answer the refresh events of the job, each by its number.',
    });
  }

  #end(event: JobEvent): void {
    this.#ended = true;
    this.#endMs = performance.now();
    this.#emit(event);
  }

  #emit(event: JobEvent): void {
    if (event.type === 'progress') {
      const last = this.#events.at(-1);
      if (last?.event.type === 'progress') this.#events.pop();
    }
    this.#events.push({ id: this.#nextId++, event });
    for (const reader of this.#readers) reader();
  }
}

const cancelled = () => new SottoError('The job was cancelled.', { code: 'JOB_CANCELLED' });

const unanswered = () =>
  new SottoError('The client did not answer a refresh.', {
    code: 'REFRESH_TIMEOUT',
    facts: { timeoutMs: REFRESH_TIMEOUT_MS },
    fix: 'Ask again.',
  });
