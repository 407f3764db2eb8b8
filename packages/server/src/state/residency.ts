import { SottoError } from '@sotto/base';

/** Something that holds an engine's memory. */
export interface Resident {
  /** When it was used last, on the monotonic clock. */
  readonly lastUseMs: number;
  /** Nothing uses it, and what it would lose can be loaded again. */
  readonly evictable: boolean;
  /** Frees its memory. */
  evict(): Promise<void>;
}

export interface ResidencyOptions {
  /** Memory of all engines together. */
  readonly budgetBytes: number;
  /** Engines at a time. */
  readonly most: number;
  /**
   * An idle engine stays this long after its last use although another waits: between two blocks of one answer there is a moment
   * without work, and loading keys takes seconds. Default 10 s.
   */
  readonly keepMs?: number;
  /** One that has waited this long no longer respects that. Default 30 s. */
  readonly patienceMs?: number;
  /** Default: the monotonic clock. */
  readonly nowMs?: () => number;
}

/** Waiting ones look again this often, besides when something changed. */
const LOOK_AGAIN_MS = 500;

/**
 * Lets engines into memory while their planned sizes fit a budget. One that does not fit waits until the least recently used idle
 * ones have made room; those who wait come in the order of their arrival.
 */
export class Residency {
  readonly #options: Required<ResidencyOptions>;
  /** Planned bytes. */
  readonly #held = new Map<Resident, number>();
  /** Still held, and about to be free. */
  readonly #leaving = new Set<Resident>();
  readonly #waiting = new Set<Resident>();
  readonly #listeners = new Set<() => void>();
  #last: Promise<void> = Promise.resolve();

  constructor(options: ResidencyOptions) {
    this.#options = { keepMs: 10_000, patienceMs: 30_000, nowMs: () => performance.now(), ...options };
  }

  get budgetBytes(): number {
    return this.#options.budgetBytes;
  }

  /** Planned bytes of all engines that are in memory. */
  get heldBytes(): number {
    return [...this.#held.values()].reduce((sum, sizeBytes) => sum + sizeBytes, 0);
  }

  get count(): number {
    return this.#held.size;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** False when nothing could come in now. */
  get mayHaveRoom(): boolean {
    return this.#room().places > 0 || [...this.#held.keys()].some((one) => one.evictable);
  }

  isWaiting(resident: Resident): boolean {
    return this.#waiting.has(resident);
  }

  /** @throws `MEMORY_INSUFFICIENT` for what would never fit. */
  requireFit(sizeBytes: number): void {
    const { budgetBytes } = this.#options;
    if (sizeBytes <= budgetBytes) return;
    throw new SottoError('A session of this plan needs more memory than the server may use.', {
      code: 'MEMORY_INSUFFICIENT',
      facts: { neededMB: Math.ceil(sizeBytes / 1e6), budgetMB: Math.floor(budgetBytes / 1e6) },
      fix: 'Let the client refresh (--refresh client), or start the server with a larger --memory-budget or with --key-memory.',
    });
  }

  /**
   * Comes in when there is room, and stays until it leaves or is evicted. At once when it is in already.
   *
   * @throws `MEMORY_INSUFFICIENT`, the signal's reason.
   */
  async enter(resident: Resident, sizeBytes: number, signal: AbortSignal): Promise<void> {
    this.requireFit(sizeBytes);
    signal.throwIfAborted();
    if (this.#held.has(resident) && !this.#leaving.has(resident)) return;
    const before = this.#last;
    let done = () => {};
    this.#last = new Promise((resolve) => {
      done = resolve;
    });
    this.#waiting.add(resident);
    const sinceMs = this.#options.nowMs();
    try {
      await untilAborted(before, signal);
      while (!this.#held.has(resident)) {
        const impatient = this.#options.nowMs() - sinceMs >= this.#options.patienceMs;
        if (await this.#makeRoom(sizeBytes, impatient)) this.#held.set(resident, sizeBytes);
        else await this.#change(signal);
        signal.throwIfAborted();
      }
    } catch (error) {
      if (signal.aborted) this.leave(resident);
      throw error;
    } finally {
      this.#waiting.delete(resident);
      // The next one has its turn when this one and all before it had theirs.
      void before.then(done);
    }
  }

  /** Comes in if that can be at once. @throws `MEMORY_INSUFFICIENT`. */
  async tryEnter(resident: Resident, sizeBytes: number): Promise<boolean> {
    this.requireFit(sizeBytes);
    if (this.#waiting.size > 0) return false;
    const turn = this.#last.then(async () => {
      if (!(await this.#makeRoom(sizeBytes, false))) return false;
      this.#held.set(resident, sizeBytes);
      return true;
    });
    this.#last = turn.then(
      () => {},
      () => {},
    );
    return await turn;
  }

  leave(resident: Resident): void {
    if (this.#held.delete(resident)) this.changed();
  }

  /** Something may have become evictable. */
  changed(): void {
    for (const listener of this.#listeners) listener();
  }

  #room(): { bytes: number; places: number } {
    const { budgetBytes, most } = this.#options;
    return { bytes: budgetBytes - this.heldBytes, places: most - this.#held.size };
  }

  /** Evicts what is needed, nothing when that would not be enough. @returns whether there is room now. */
  async #makeRoom(sizeBytes: number, impatient: boolean): Promise<boolean> {
    const { nowMs, keepMs } = this.#options;
    const idle = () =>
      [...this.#held.keys()]
        .filter((one) => one.evictable && (impatient || nowMs() - one.lastUseMs >= keepMs))
        .sort((a, b) => a.lastUseMs - b.lastUseMs);
    for (;;) {
      const { bytes, places } = this.#room();
      if (bytes >= sizeBytes && places >= 1) return true;
      const candidates = idle();
      const freed = candidates.reduce((sum, one) => sum + this.#held.get(one)!, 0);
      const [oldest] = candidates;
      if (!oldest || bytes + freed < sizeBytes || places + candidates.length < 1) return false;
      this.#leaving.add(oldest);
      try {
        await oldest.evict();
      } finally {
        this.#leaving.delete(oldest);
        this.#held.delete(oldest);
      }
    }
  }

  async #change(signal: AbortSignal): Promise<void> {
    let look = () => {};
    const changed = new Promise<void>((resolve) => {
      look = resolve;
    });
    this.#listeners.add(look);
    const timer = setTimeout(look, LOOK_AGAIN_MS);
    try {
      await untilAborted(changed, signal);
    } finally {
      clearTimeout(timer);
      this.#listeners.delete(look);
    }
  }
}

/** What the promise gives, unless the signal comes first. @throws the signal's reason. */
export async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let stop = () => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
  });
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
