/** Thread side of the text model: holds the clear model, away from the server's event loop. */
import { parentPort, workerData } from 'node:worker_threads';
import { SottoError } from '@sotto/base';
import { accelerate, readModelFile } from '@sotto/model';
import { errorBodyOf } from '@sotto/protocol';
import { describeUnforeseen } from '../log.js';
import { continueText } from './continue-text.js';
import type { FromTextWorker, TextWorkerStart, ToTextWorker } from './messages.js';

const start = workerData as TextWorkerStart;
const port = parentPort!;
const cancel = new Int32Array(start.cancel);
const send = (message: FromTextWorker) => port.postMessage(message);

const hooks = {
  tokens: (tokens: readonly number[]) => send({ type: 'tokens', tokens }),
  stopIfCancelled() {
    if (Atomics.load(cancel, 0) === 0) return;
    throw new SottoError('The answer was cancelled.', { code: 'JOB_CANCELLED' });
  },
};

function fail(error: unknown): void {
  const stack = SottoError.is(error) ? '' : JSON.stringify(describeUnforeseen(error));
  send({ type: 'failed', error: errorBodyOf(error), stack });
}

async function main(): Promise<void> {
  const model = accelerate((await readModelFile({ model: start.modelPath })).weights);
  port.on('message', ({ request }: ToTextWorker) => {
    try {
      send({ type: 'done', end: continueText(model, request, hooks) });
    } catch (error) {
      fail(error);
    }
  });
  send({ type: 'ready' });
}

main().catch((error) => {
  fail(error);
  port.close();
});
