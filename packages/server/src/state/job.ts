import { SottoError } from '@sotto/base';
import { errorBodyOf, type JobEvent, type Rows, type SessionStatus } from '@sotto/protocol';
import type { BlockHooks, BlockResult } from '../engine/port.js';

/** Where a job is. */
export type JobState = 'queued' | 'running' | 'done' | 'failed' | 'cancelled';

interface Exchange {
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

/** A client that does not answer a refresh for this long is taken for gone, and its job ends. */
const REFRESH_TIMEOUT_MS = 10 * 60_000;

/** One block on its way through the engine: its events, its exchanges with the client, its result. */
export class Job implements BlockHooks {
  readonly #events: NumberedEvent[] = [];
  readonly #readers = new Set<() => void>();
  readonly #exchanges: Exchange[] = [];
  readonly #startMs = performance.now();
  #endMs: number | undefined;
  #nextId = 1;
  #lastProgressMs = Number.NEGATIVE_INFINITY;
  #result: Rows | undefined;
  #ended = false;
  #started = false;
  readonly #cancel = new AbortController();

  constructor(
    readonly id: string,
    readonly sessionId: string,
    /** Identifies a block that is sent again. */
    readonly fingerprint: string,
  ) {}

  get ended(): boolean {
    return this.#ended;
  }

  /** True after an end without a result. */
  get failed(): boolean {
    return this.#ended && !this.#result;
  }

  get state(): JobState {
    if (!this.#ended) return this.#started ? 'running' : 'queued';
    if (this.#result) return 'done';
    return this.#cancel.signal.aborted ? 'cancelled' : 'failed';
  }

  get seconds(): number {
    return ((this.#endMs ?? performance.now()) - this.#startMs) / 1000;
  }

  /** Aborted when the job is to stop. */
  get signal(): AbortSignal {
    return this.#cancel.signal;
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
    if (this.#ended || now - this.#lastProgressMs < PROGRESS_INTERVAL_MS) return;
    this.#lastProgressMs = now;
    this.#emit({ type: 'progress', progress });
  };

  refresh(ciphertext: Uint8Array): Promise<Uint8Array> {
    if (this.#cancel.signal.aborted) return Promise.reject(cancelled());
    const refreshId = this.#exchanges.length;
    let timer: NodeJS.Timeout | undefined;
    return new Promise<Uint8Array>((answer, refuse) => {
      timer = setTimeout(() => refuse(unanswered()), REFRESH_TIMEOUT_MS);
      timer.unref();
      this.#exchanges.push({ ciphertext, answer, refuse, answered: false });
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
    status: (result: BlockResult) => SessionStatus,
  ): Promise<void> {
    try {
      const result = await run(() => {
        this.#cancel.signal.throwIfAborted();
        this.#started = true;
      });
      this.#result = result.rows;
      this.#end({
        type: 'done',
        seconds: (performance.now() - this.#startMs) / 1000,
        status: status(result),
      });
    } catch (error) {
      this.#end({ type: 'failed', error: errorBodyOf(error).error });
    }
  }

  /** The encrypted rows. @throws `JOB_NOT_DONE`, retryable while the job runs. */
  result(): Rows {
    if (this.#result) return this.#result;
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
    const exchange = this.#exchanges[refreshId];
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
