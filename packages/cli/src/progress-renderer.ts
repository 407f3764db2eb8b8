import type { ProgressEvent, ProgressListener } from '@sotto/base';

const BAR_CELLS = 24;
const REDRAW_MS = 100;
const LINE_MS = 5000;

function amount(value: number, unit: string): string {
  if (unit !== 'bytes') return `${Math.round(value)}`;
  return value < 1e9 ? `${(value / 1e6).toFixed(1)} MB` : `${(value / 1e9).toFixed(2)} GB`;
}

/** `3.4 s`, `2 min 05 s`. */
export function duration(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 100) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`;
}

/** One line about an event, without a line break. */
export function progressText({ phase, label, done, total, unit, remainingMs }: ProgressEvent): string {
  const share = total > 0 ? Math.min(1, done / total) : 0;
  const filled = Math.round(share * BAR_CELLS);
  const bar = `${'#'.repeat(filled)}${'.'.repeat(BAR_CELLS - filled)}`;
  const counted =
    unit === 'bytes' ? `${amount(done, unit)} of ${amount(total, unit)}` : `${Math.floor(100 * share)} %`;
  const left = remainingMs === undefined ? '' : `, ${duration(remainingMs)} left`;
  return `${phase.padEnd(8)} [${bar}] ${counted}${left}  ${label}`;
}

/**
 * Shows progress: one redrawn line on a terminal; elsewhere a plain line at the start and end of each phase and every few
 * seconds between.
 */
export class ProgressRenderer {
  readonly #write: (text: string) => void;
  readonly #interactive: boolean;
  readonly #columns: number;
  #phase = '';
  #lastMs = Number.NEGATIVE_INFINITY;
  #drawn = false;

  constructor(write: (text: string) => void, interactive: boolean, columns = process.stderr.columns ?? 100) {
    this.#write = write;
    this.#interactive = interactive;
    this.#columns = columns;
  }

  readonly listener: ProgressListener = (event) => {
    const now = performance.now();
    const turning = event.phase !== this.#phase || event.done >= event.total;
    if (!turning && now - this.#lastMs < (this.#interactive ? REDRAW_MS : LINE_MS)) return;
    this.#phase = event.phase;
    this.#lastMs = now;
    const text = progressText(event);
    if (this.#interactive) {
      this.#write(`\r\x1b[2K${text.slice(0, this.#columns - 1)}`);
      this.#drawn = true;
    } else {
      this.#write(`${text}\n`);
    }
  };

  /** Takes the redrawn line away, before something else is printed. */
  clear(): void {
    if (this.#drawn) this.#write('\r\x1b[2K');
    this.#drawn = false;
    this.#phase = '';
  }
}
