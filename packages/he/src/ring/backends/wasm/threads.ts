/** Workers that run kernels on one shared memory. They need Node; elsewhere there are none. */
export interface WorkerOptions {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  /** Address of the pool. */
  pool: number;
  /** Top of each worker's stack; one worker for each. */
  stacks: readonly number[];
}

// Runs until the pool is stopped. A worker may come late or not at all: items are taken by whoever is there.
const workerCode = `
const { module, memory, pool, stack } = require('node:worker_threads').workerData;
const { exports } = new WebAssembly.Instance(module, { env: { memory } });
exports.__stack_pointer.value = stack;
exports.sotto_pool_work(pool);
`;

export function workersAvailable(): boolean {
  return globalThis.process?.getBuiltinModule !== undefined && typeof SharedArrayBuffer !== 'undefined';
}

/** Threads worth having on this machine, at most `most`. */
export function usefulThreads(most: number): number {
  if (!workersAvailable()) return 1;
  return Math.min(most, globalThis.process.getBuiltinModule('node:os').availableParallelism());
}

/** Starts the workers and returns at once. They do not keep the process alive. */
export function startWorkers({ module, memory, pool, stacks }: WorkerOptions): void {
  const { Worker } = globalThis.process.getBuiltinModule('node:worker_threads');
  for (const stack of stacks) {
    const worker = new Worker(workerCode, { eval: true, workerData: { module, memory, pool, stack } });
    // A worker that cannot start costs speed, not results.
    worker.on('error', () => {});
    worker.unref();
  }
}
