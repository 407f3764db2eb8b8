import { Worker } from 'node:worker_threads';
import { SottoError } from '@sotto/base';
import { errorFromBody } from '@sotto/protocol';
import type { Logger } from '../log.js';
import type { FromTextWorker, TextWorkerStart, ToTextWorker } from './messages.js';
import type { TextEnd, TextHooks, TextModel, TextRequest } from './port.js';

interface Pending {
  tokens(batch: readonly number[]): void;
  resolve(end: TextEnd): void;
  reject(error: unknown): void;
}

/** The event-loop side of a text model that runs in a worker thread. */
class WorkerTextModel implements TextModel {
  readonly #worker: Worker;
  readonly #cancel = new Int32Array(new SharedArrayBuffer(4));
  readonly #log: Logger;
  readonly ready: Promise<void>;
  #pending: Pending | undefined;
  #lost: SottoError | undefined;

  constructor(modelPath: string, log: Logger) {
    this.#log = log;
    const start: TextWorkerStart = { modelPath, cancel: this.#cancel.buffer as SharedArrayBuffer };
    this.#worker = new Worker(new URL('./text-worker.js', import.meta.url), { workerData: start });
    this.ready = new Promise((resolve, reject) => {
      this.#worker.on('message', (message: FromTextWorker) => {
        if (message.type === 'ready') resolve();
        else this.#receive(message, reject);
      });
      this.#worker.on('error', (error: unknown) => this.#lose(error, reject));
      this.#worker.on('exit', () => this.#lose(undefined, reject));
    });
  }

  async answer(request: TextRequest, { tokens, signal }: TextHooks): Promise<TextEnd> {
    if (this.#lost) throw this.#lost;
    if (signal.aborted) throw signal.reason;
    Atomics.store(this.#cancel, 0, 0);
    const stop = () => void Atomics.store(this.#cancel, 0, 1);
    signal.addEventListener('abort', stop, { once: true });
    try {
      return await new Promise<TextEnd>((resolve, reject) => {
        this.#pending = { tokens, resolve, reject };
        const message: ToTextWorker = { type: 'answer', request };
        this.#worker.postMessage(message);
      });
    } finally {
      this.#pending = undefined;
      signal.removeEventListener('abort', stop);
    }
  }

  async close(): Promise<void> {
    Atomics.store(this.#cancel, 0, 1);
    await this.#worker.terminate();
  }

  #receive(message: Exclude<FromTextWorker, { type: 'ready' }>, startFailed: (error: unknown) => void): void {
    switch (message.type) {
      case 'tokens':
        this.#pending?.tokens(message.tokens);
        return;
      case 'done':
        this.#pending?.resolve(message.end);
        return;
      case 'failed': {
        if (message.stack) this.#log('text model failed', { detail: message.stack });
        const error = errorFromBody(message.error);
        if (this.#pending) this.#pending.reject(error);
        else startFailed(error);
      }
    }
  }

  /** The thread is gone: what runs fails, and so does every later call. */
  #lose(cause: unknown, startFailed: (error: unknown) => void): void {
    this.#lost ??= new SottoError('The thread with the model ended.', {
      code: 'WORKER_LOST',
      fix: 'Ask again; the server starts another one. It may have too little memory for the model.',
      retryable: true,
      ...(cause === undefined ? {} : { cause }),
    });
    this.#pending?.reject(this.#lost);
    startFailed(this.#lost);
  }
}

/** Starts a text model in a worker thread of its own. @throws the errors of the model's readers, `WORKER_LOST`. */
export async function startWorkerTextModel(modelPath: string, log: Logger): Promise<TextModel> {
  const model = new WorkerTextModel(modelPath, log);
  await model.ready;
  return model;
}
