/**
 * An engine process: its main thread stays free to hear that the block is to stop or that the server is gone, its other thread
 * computes (`worker.ts`).
 */
import { Worker } from 'node:worker_threads';
import type { FromProcess, FromThread, ProcessStart, ThreadStart, ToProcess } from './messages.js';

const cancel = new Int32Array(new SharedArrayBuffer(4));
const send = (message: FromProcess, then = () => {}) => process.send!(message, undefined, {}, then);

// What is on disk is whole at any moment, so there is nothing to save; and nobody is there who wants the result.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
// A terminal and a service manager signal the server and its engines alike; the server says when engines end.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});

process.once('message', (start: ProcessStart) => {
  const workerData: ThreadStart = { ...start, cancel: cancel.buffer as SharedArrayBuffer };
  const thread = new Worker(new URL('./worker.js', import.meta.url), { workerData });
  thread.on('message', (message: FromThread) => send(message));
  thread.on('error', (error: NodeJS.ErrnoException) => {
    const reason = error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'memory' : 'error';
    send({ type: 'dying', reason }, () => process.exit(1));
  });
  thread.on('exit', (code) => {
    // An error says its reason first.
    if (code === 0) process.exit(0);
  });
  process.on('message', (message: ToProcess) => {
    if (message.type === 'cancel') {
      Atomics.store(cancel, 0, 1);
      return;
    }
    // The next block runs again after one that was stopped.
    if (message.type === 'call' && message.call.op === 'run') Atomics.store(cancel, 0, 0);
    thread.postMessage(message);
  });
});
