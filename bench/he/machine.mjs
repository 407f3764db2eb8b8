// What a figure was measured on.
import { createHash } from 'node:crypto';
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

/** CPU time of a kernel that is not ours and does not change: SHA-256 of 16 MiB and eight copies of 32 MiB, the least of five. */
export function referenceMs() {
  const data = new Uint8Array(2 ** 24);
  const [from, to] = [new Uint8Array(2 ** 25).fill(1), new Uint8Array(2 ** 25)];
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 5; i++) {
    const before = process.cpuUsage();
    createHash('sha256').update(data).digest();
    for (let copy = 0; copy < 8; copy++) to.set(from);
    const { user, system } = process.cpuUsage(before);
    least = Math.min(least, (user + system) / 1000);
  }
  return least;
}
