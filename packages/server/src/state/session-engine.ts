import { SottoError } from '@sotto/base';
import type { Rows } from '@sotto/protocol';
import type { BlockHooks, BlockResult, EngineDescription } from '../engine/port.js';
import type { RestartableEngine } from '../engine/restartable-engine.js';
import type { StoredKeySet } from '../keys/stored-key-set.js';
import type { Logger } from '../log.js';
import type { Job } from './job.js';
import { type Residency, type Resident, untilAborted } from './residency.js';
import { SessionKeys } from './session-keys.js';

/** A job whose engine process was lost goes on in a new one this many times. */
const MOST_RESTARTS = 3;

const clearHooks: BlockHooks = {
  progress: () => {},
  refresh: () => Promise.reject(new Error('the public part is computed in clear')),
};

/** What a session tells its engine's keeper. */
export interface SessionView {
  readonly publicTokens: readonly number[] | undefined;
  /** The encrypted rows so far are on disk, or there are none. */
  readonly rowsKept: boolean;
  /** A job is queued or runs. */
  readonly working: boolean;
  readonly lastUseMs: number;
}

const isLost = (error: unknown): boolean => SottoError.is(error) && error.code === 'WORKER_LOST';

/**
 * The engine of one session with the keys in it. With a stored key set it sleeps, that is gives its memory up, when others need the
 * memory or its process dies, and wakes when it is needed: keys and public part are loaded again, encrypted rows are on disk.
 */
export class SessionEngine implements Resident {
  readonly keys: SessionKeys;
  readonly #engine: RestartableEngine;
  readonly #residency: Residency;
  readonly #view: SessionView;
  readonly #log: Logger;
  readonly #gone = new AbortController();
  /** The engine holds everything that it needs. */
  #awake: boolean;
  #waking: Promise<void> | undefined;
  /** Processes lost one after the other while they loaded. */
  #losses = 0;
  /** Calls of the engine that are under way. */
  #calls = 0;
  #bootstraps = 0;
  /** Of earlier engines: one counts from its own start. */
  #bootstrapsBefore = 0;

  constructor(engine: RestartableEngine, residency: Residency, view: SessionView, log: Logger) {
    this.#engine = engine;
    this.#residency = residency;
    this.#view = view;
    this.#log = log;
    this.keys = new SessionKeys(engine);
    this.#awake = true;
  }

  get description(): EngineDescription {
    return this.#engine.description;
  }

  /** Planned peak of its process. */
  get memoryBytes(): number {
    return this.#engine.memoryBytes;
  }

  get peakRssBytes(): number {
    return this.#engine.peakRssBytes;
  }

  get bootstraps(): number {
    return this.#bootstrapsBefore + this.#bootstraps;
  }

  /** What a job that does not run yet waits for. */
  get waitingFor(): 'memory' | 'keys' | 'slot' {
    if (this.#residency.isWaiting(this)) return 'memory';
    return this.#awake ? 'slot' : 'keys';
  }

  get lastUseMs(): number {
    return this.#view.lastUseMs;
  }

  get evictable(): boolean {
    return this.#recoverable && this.#awake && !this.#view.working && this.#calls === 0;
  }

  /** What the engine holds can be loaded again. */
  get #recoverable(): boolean {
    return !this.#gone.signal.aborted && this.keys.set !== undefined && this.#view.rowsKept;
  }

  /** The keys are those of a stored set; the engine sleeps until it is woken. */
  useKeySet(set: StoredKeySet, bootstraps = 0): void {
    this.keys.use(set);
    this.#bootstrapsBefore = bootstraps;
    this.#awake = false;
  }

  /** Takes its place in memory for keys that will be sent, and starts. @returns false when there is no room now. */
  async enter(): Promise<boolean> {
    if (!(await this.#residency.tryEnter(this, this.#engine.memoryBytes))) return false;
    await this.#engine.begin();
    return true;
  }

  /** Loads what the engine needs, when there is memory. @throws what stopped it, e.g. `KEYS_DAMAGED`, `MEMORY_INSUFFICIENT`. */
  wake(): Promise<void> {
    if (this.#awake) return Promise.resolve();
    this.#waking ??= this.#load().finally(() => {
      this.#waking = undefined;
    });
    return this.#waking;
  }

  async #load(): Promise<void> {
    await this.#residency.enter(this, this.#engine.memoryBytes, this.#gone.signal);
    try {
      await this.keys.load();
      const tokens = this.#view.publicTokens;
      if (tokens) await this.#engine.loadPublic(tokens, clearHooks);
      this.#awake = true;
      this.#losses = 0;
      this.#residency.changed();
    } catch (error) {
      // The next try starts over, unless this one was the last of several.
      if (isLost(error) && this.#losses++ < MOST_RESTARTS) this.keys.forget();
      await this.#engine.stop();
      this.settle();
      throw error;
    }
  }

  /** Gives the place in memory back when nothing is there and no job is about to need it; others may come in then. */
  settle(): void {
    if (this.#awake || this.#view.working) this.#residency.changed();
    else this.#residency.leave(this);
  }

  /** Begins to wake; what stops it is told by the keys. */
  wakeInBackground(): void {
    this.wake().catch(() => {});
  }

  async evict(): Promise<void> {
    this.#log('keys leave memory', { keys: this.keys.set!.id.slice(0, 8) });
    await this.#sleep();
  }

  async #sleep(): Promise<void> {
    this.#awake = false;
    this.keys.forget();
    this.#bootstrapsBefore += this.#bootstraps;
    this.#bootstraps = 0;
    await this.#engine.stop();
  }

  async putKey(index: number, bytes: Uint8Array): Promise<void> {
    await this.#calling(() => this.keys.put(index, bytes));
  }

  /** Tells an engine that is awake of the public part; one that sleeps hears of it when it wakes. */
  async loadPublic(tokens: readonly number[]): Promise<void> {
    if (this.#awake) await this.#calling(() => this.#engine.loadPublic(tokens, clearHooks));
  }

  /** Runs a block, and again when the process was lost. @throws `WORKER_LOST` when that happens time and again. */
  async run(rows: Rows, job: Job, start: () => void): Promise<BlockResult> {
    for (let restarts = 0; ; restarts++) {
      try {
        await untilAborted(this.wake(), job.signal);
        start();
        const result = await this.#engine.run(rows, job);
        this.#bootstraps = result.bootstraps;
        return result;
      } catch (error) {
        if (!isLost(error) || !this.#recoverable) throw error;
        await this.#sleep();
        job.signal.throwIfAborted();
        if (restarts === MOST_RESTARTS) throw lostAgain(error, restarts + 1);
        this.#log('job restarts', { job: job.id.slice(0, 8), restarts: restarts + 1 });
      }
    }
  }

  /** Forgets public part and rows; keys stay. */
  async reset(): Promise<void> {
    await this.#waking?.catch(() => {});
    if (this.#awake) await this.#calling(() => this.#engine.reset());
  }

  async close(): Promise<void> {
    this.#gone.abort(
      new SottoError('The session was closed.', { code: 'SESSION_UNKNOWN', fix: 'Open a new session.' }),
    );
    try {
      await this.#engine.close();
    } finally {
      this.keys.release();
      this.#residency.leave(this);
    }
  }

  /** Calls an engine; one that was lost and can be made again sleeps then, and the call has nothing left to do. */
  async #calling(call: () => Promise<void>): Promise<void> {
    this.#calls++;
    try {
      await call();
    } catch (error) {
      if (!isLost(error) || !this.#recoverable) throw error;
      await this.#sleep();
    } finally {
      this.#calls--;
      this.settle();
    }
  }
}

const lostAgain = (cause: unknown, ends: number) =>
  new SottoError('The process that computed for this job ended again and again.', {
    code: 'WORKER_LOST',
    facts: { ends },
    fix: 'Ask again when the machine has more memory to spare; `sotto doctor` tests its kernels.',
    cause,
  });
