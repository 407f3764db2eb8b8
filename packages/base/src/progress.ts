/** One step of a long operation, for people and programs alike. */
export interface ProgressEvent {
  /** e.g. `keygen`, `upload`, `prefill`, `decode`. */
  phase: string;
  /** What is being done now, e.g. `layer 2/5 softmax`. */
  label: string;
  done: number;
  total: number;
  /** Unit of `done` and `total`: `bytes`, `operations`, `keys`. */
  unit: string;
  elapsedMs: number;
  /** Estimate from the progress so far; absent before anything is known. */
  remainingMs?: number;
}

export type ProgressListener = (event: ProgressEvent) => void;

/** Counts work and tells a listener how far it is. */
export class ProgressMeter {
  readonly #phase: string;
  readonly #total: number;
  readonly #unit: string;
  readonly #listener: ProgressListener | undefined;
  readonly #startMs = performance.now();
  #done = 0;

  constructor(phase: string, total: number, unit: string, listener?: ProgressListener) {
    this.#phase = phase;
    this.#total = total;
    this.#unit = unit;
    this.#listener = listener;
  }

  advance(amount: number, label: string): void {
    this.#done = Math.min(this.#total, this.#done + amount);
    const elapsedMs = performance.now() - this.#startMs;
    this.#listener?.({
      phase: this.#phase,
      label,
      done: this.#done,
      total: this.#total,
      unit: this.#unit,
      elapsedMs,
      ...(this.#done > 0 ? { remainingMs: (elapsedMs / this.#done) * (this.#total - this.#done) } : {}),
    });
  }
}
