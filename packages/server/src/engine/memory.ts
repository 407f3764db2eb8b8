import { freemem } from 'node:os';
import { SottoError } from '@sotto/base';

/** Memory that this process can still get, cgroup limits included. */
export function availableMemoryBytes(): number {
  const free = freemem();
  const limit = process.constrainedMemory?.() ?? 0;
  if (limit <= 0 || limit > 2 ** 50) return free;
  return Math.min(free, Math.max(0, limit - process.memoryUsage.rss()));
}

/** @throws `MEMORY_INSUFFICIENT` when a session would not fit. */
export function requireMemory(neededBytes: number, availableBytes = availableMemoryBytes()): void {
  if (neededBytes <= availableBytes) return;
  throw new SottoError('There is too little memory for this session.', {
    code: 'MEMORY_INSUFFICIENT',
    facts: { neededMB: Math.ceil(neededBytes / 1e6), availableMB: Math.floor(availableBytes / 1e6) },
    fix: 'Close other programs, use a machine with more memory, or let the client refresh (--refresh client).',
  });
}
