interface Waiting {
  begin(): void;
}

/**
 * Lets a few jobs run at a time. Waiting jobs take turns by owner, so that one who sends many does not keep others waiting.
 */
export class JobQueue {
  readonly #slots: number;
  /** By owner, in the order of their turns. */
  readonly #waiting = new Map<string, Waiting[]>();
  #running = 0;

  /** @param slots jobs that may run at a time, at least 1. */
  constructor(slots: number) {
    this.#slots = slots;
  }

  get running(): number {
    return this.#running;
  }

  get queued(): number {
    return [...this.#waiting.values()].reduce((sum, list) => sum + list.length, 0);
  }

  /** Runs `job` when a slot is free; a job that is cancelled while it waits leaves at once with the signal's reason. */
  async run<T>(owner: string, signal: AbortSignal, job: () => Promise<T>): Promise<T> {
    await this.#slot(owner, signal);
    try {
      return await job();
    } finally {
      this.#running--;
      this.#next();
    }
  }

  #slot(owner: string, signal: AbortSignal): Promise<void> {
    if (this.#running < this.#slots) {
      this.#running++;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const list = this.#waiting.get(owner) ?? [];
      this.#waiting.set(owner, list);
      const leave = () => {
        list.splice(list.indexOf(entry), 1);
        if (list.length === 0) this.#waiting.delete(owner);
        reject(signal.reason);
      };
      const entry: Waiting = {
        begin: () => {
          signal.removeEventListener('abort', leave);
          this.#running++;
          resolve();
        },
      };
      list.push(entry);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  #next(): void {
    const [turn] = this.#waiting;
    if (!turn) return;
    const [owner, list] = turn;
    const entry = list.shift()!;
    // The owner goes to the end of the line.
    this.#waiting.delete(owner);
    if (list.length > 0) this.#waiting.set(owner, list);
    entry.begin();
  }
}
