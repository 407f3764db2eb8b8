// What a figure was measured on.
import { cpus, loadavg, totalmem } from 'node:os';

export function machine() {
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    date: new Date().toISOString().slice(0, 10),
    /** Runnable processes before the first measurement. */
    load: Number(loadavg()[0].toFixed(1)),
  };
}
