/** Thread side of a session: runs one engine, away from the server's event loop. */
import { parentPort, workerData } from 'node:worker_threads';
import { SottoError } from '@sotto/base';
import { errorBodyOf, errorFromBody } from '@sotto/protocol';
import { describeUnforeseen } from '../log.js';
import type { Call, FromWorker, ToWorker, WorkerStart } from './messages.js';
import type { BlockHooks, BlockResult, Engine, StartEngine } from './port.js';

const start = workerData as WorkerStart;
const port = parentPort!;
const cancel = new Int32Array(start.cancel);
const send = (message: FromWorker, transfer: ArrayBuffer[] = []) => port.postMessage(message, transfer);

const waiting = new Map<number, { resolve(bytes: Uint8Array): void; reject(error: unknown): void }>();
let refreshes = 0;

function stopIfCancelled(): void {
  if (Atomics.load(cancel, 0) !== 0) {
    throw new SottoError('The job was cancelled.', { code: 'JOB_CANCELLED' });
  }
}

const hooks: BlockHooks = {
  progress(event) {
    stopIfCancelled();
    send({ type: 'progress', event });
  },
  refresh(ciphertext) {
    stopIfCancelled();
    const refreshId = refreshes++;
    return new Promise((resolve, reject) => {
      waiting.set(refreshId, { resolve, reject });
      send({ type: 'refresh', refreshId, ciphertext });
    });
  },
};

async function perform(engine: Engine, call: Call): Promise<BlockResult | null> {
  switch (call.op) {
    case 'loadKey':
      await engine.loadKey(call.index, call.bytes);
      return null;
    case 'loadPublic':
      await engine.loadPublic(call.tokens, hooks);
      return null;
    case 'run':
      return await engine.run(call.rows, hooks);
    case 'reset':
      await engine.reset();
      return null;
    case 'close':
      await engine.close();
      return null;
  }
}

const failure = (error: unknown) => ({
  error: errorBodyOf(error),
  stack: SottoError.is(error) ? '' : JSON.stringify(describeUnforeseen(error)),
});

async function main(): Promise<void> {
  const module = (await import(start.engineModule)) as { startEngine: StartEngine };
  const engine = await module.startEngine(start.options);
  let chain: Promise<void> = Promise.resolve();
  port.on('message', (message: ToWorker) => {
    if (message.type === 'call') {
      const { id, call } = message;
      chain = chain.then(async () => {
        try {
          send({ type: 'returned', id, result: await perform(engine, call) });
        } catch (error) {
          send({ type: 'threw', id, ...failure(error) });
        }
        if (call.op === 'close') port.close();
      });
      return;
    }
    const waiter = waiting.get(message.refreshId);
    waiting.delete(message.refreshId);
    if (message.type === 'refreshed') waiter?.resolve(message.ciphertext);
    else waiter?.reject(errorFromBody(message.error));
  });
  send({ type: 'ready', description: engine.description });
}

main().catch((error) => {
  send({ type: 'startFailed', ...failure(error) });
  port.close();
});
