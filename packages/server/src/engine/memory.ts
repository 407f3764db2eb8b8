import { freemem } from 'node:os';

/** Memory that this process can still get, cgroup limits included. */
export function availableMemoryBytes(): number {
  const free = freemem();
  const limit = process.constrainedMemory?.() ?? 0;
  if (limit <= 0 || limit > 2 ** 50) return free;
  return Math.min(free, Math.max(0, limit - process.memoryUsage.rss()));
}
