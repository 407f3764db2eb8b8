/**
 * Workers that run kernels on one shared memory: threads of Node, or web workers. In a page they need a cross-origin isolated
 * worker, because only there shared memory may be waited for; elsewhere there are none.
 */
export interface WorkerOptions {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  /** Address of the pool. */
  pool: number;
  /** Top of each worker's stack; one worker for each. */
  stacks: readonly number[];
}

// A worker runs until the pool is stopped. It may come late or not at all: items are taken by whoever is there.
const run = `
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  exports.__stack_pointer.value = stack;
  exports.sotto_pool_work(pool);
`;
const nodeCode = `const { module, memory, pool, stack } = process.getBuiltinModule('node:worker_threads').workerData;${run}`;
const webCode = `onmessage = ({ data: { module, memory, pool, stack } }) => {${run} close(); };`;

const inNode = () => globalThis.process?.getBuiltinModule !== undefined;

/** A page's own thread may not wait; its workers may. */
const inIsolatedWorker = () => 'WorkerGlobalScope' in globalThis && globalThis.crossOriginIsolated === true;

export function workersAvailable(): boolean {
  return typeof SharedArrayBuffer !== 'undefined' && (inNode() || inIsolatedWorker());
}

/** Threads worth having on this machine, at most `most`. */
export function usefulThreads(most: number): number {
  if (!workersAvailable()) return 1;
  const processors = inNode()
    ? globalThis.process.getBuiltinModule('node:os').availableParallelism()
    : globalThis.navigator.hardwareConcurrency;
  return Math.min(most, processors);
}

/** Starts the workers and returns at once. They do not keep the process alive. */
export function startWorkers({ module, memory, pool, stacks }: WorkerOptions): void {
  if (!inNode()) {
    startWebWorkers({ module, memory, pool, stacks });
    return;
  }
  const { Worker } = globalThis.process.getBuiltinModule('node:worker_threads');
  for (const stack of stacks) {
    const worker = new Worker(nodeCode, { eval: true, workerData: { module, memory, pool, stack } });
    // A worker that cannot start costs speed, not results.
    worker.on('error', () => {});
    worker.unref();
  }
}

/** A policy of the page that forbids workers from blobs costs speed, not results. */
function startWebWorkers({ module, memory, pool, stacks }: WorkerOptions): void {
  const address = URL.createObjectURL(new Blob([webCode], { type: 'text/javascript' }));
  try {
    for (const stack of stacks) {
      const worker = new Worker(address);
      worker.onerror = (event) => event.preventDefault();
      worker.postMessage({ module, memory, pool, stack });
    }
  } catch {
    // Fewer threads.
  }
}
