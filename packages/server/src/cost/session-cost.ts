import type { SessionSetup } from '@sotto/engine';
import type { Backend } from '@sotto/he/ring';
import type { LlamaModel } from '@sotto/model';
import { PROCESS_BYTES } from '../engine/forecast.js';
import { availableMemoryBytes } from '../engine/memory.js';
import { type CountedPass, type CountedRefresh, type CountOptions, countSession } from './count-session.js';
import {
  ENOUGH_SHARE,
  type KernelTiming,
  knownShare,
  measureKernels,
  type Seconds,
  secondsOf,
} from './measure-kernels.js';
import type { ShapeCounts } from './recording-ring.js';
import { findTimings, keepTimings } from './timing-store.js';

/** What a session will take at the server. Network and client are not in it. */
export interface ServerCost {
  /** Bringing the keys into the form of the kernels. */
  readonly keys: Seconds;
  /** The first block: encodes matrices and weights, too. */
  readonly first: Seconds;
  /** A further block of the prompt; null when it has one only. */
  readonly further: Seconds | null;
  /** A block of one row after it. */
  readonly following: Seconds;
  readonly refreshes: readonly CountedRefresh[];
  /** Resident memory of the session's process at its peak. */
  readonly peakBytes: number;
  readonly keyBytes: number;
  /** Kernels whose times were measured now; the others were kept from an earlier time. */
  readonly measuredKernels: number;
}

export interface ServerCostOptions extends Omit<CountOptions, 'availableBytes'> {
  readonly backend: Backend;
  /** For measuring kernels. 3000 when absent. */
  readonly budgetMs?: number;
  /** Measures again what is kept. */
  readonly fresh?: boolean;
}

function merged(...all: readonly ShapeCounts[]): ShapeCounts {
  const sum = new Map<string, { kernel: string; shape: readonly number[]; calls: number }>();
  for (const counts of all) {
    for (const [name, { kernel, shape, calls }] of counts) {
      sum.set(name, { kernel, shape, calls: calls + (sum.get(name)?.calls ?? 0) });
    }
  }
  return sum;
}

/**
 * Forecasts a session: counts the kernel calls of the very code that will run, and multiplies by the times that a few seconds of
 * measuring on this machine give. The measured times are kept in the user's cache folder.
 */
export async function forecastServer(
  model: LlamaModel,
  setup: SessionSetup,
  options: ServerCostOptions,
): Promise<ServerCost> {
  const { backend, budgetMs = 3000, fresh = false } = options;
  const { parameters } = setup;
  const counts = await countSession(model, setup, { ...options, availableBytes: availableMemoryBytes() });
  const all = merged(
    counts.first.counts,
    counts.further?.counts ?? new Map(),
    counts.following.counts,
    counts.keys,
  );
  const kept = fresh ? [] : await findTimings(backend, parameters);
  let timings: readonly KernelTiming[] = kept;
  let measuredKernels = 0;
  if (knownShare(all, kept) < ENOUGH_SHARE) {
    const measured = measureKernels(backend, parameters, all, budgetMs);
    measuredKernels = measured.length;
    timings = measured;
    await keepTimings(backend, parameters, measured);
  }
  const pass = ({ counts, scriptSeconds }: CountedPass): Seconds => {
    const { seconds, cpuSeconds } = secondsOf(counts, timings);
    return { seconds: seconds + scriptSeconds, cpuSeconds: cpuSeconds + scriptSeconds };
  };
  return {
    keys: secondsOf(counts.keys, timings),
    first: pass(counts.first),
    further: counts.further === null ? null : pass(counts.further),
    following: pass(counts.following),
    refreshes: counts.refreshes,
    peakBytes: counts.peakBytes + counts.weightBytes + PROCESS_BYTES,
    keyBytes: counts.keyBytes,
    measuredKernels,
  };
}
