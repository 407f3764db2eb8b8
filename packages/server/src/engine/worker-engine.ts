import { Worker } from 'node:worker_threads';
import { SottoError } from '@sotto/base';
import { errorBodyOf, errorFromBody, type Rows } from '@sotto/protocol';
import type { Logger } from '../log.js';
import type { Call, FromWorker, ToWorker, WorkerStart } from './messages.js';
import type { BlockHooks, BlockResult, Engine, EngineDescription, EngineOptions } from './port.js';

export interface WorkerEngineOptions {
  /** URL of a module that exports `startEngine`. */
  readonly engineModule: string;
  readonly log: Logger;
  /** Wait this long for a cancelled block to stop before the thread is ended by force. */
  readonly closeTimeoutMs?: number;
}

interface Pending {
  resolve(result: BlockResult | null): void;
  reject(error: unknown): void;
}

/** The event-loop side of an engine that runs in a worker thread. */
class WorkerEngine implements Engine {
  description!: EngineDescription;
  readonly #worker: Worker;
  readonly #cancel: SharedArrayBuffer;
  readonly #log: Logger;
  readonly #closeTimeoutMs: number;
  readonly #pending = new Map<number, Pending>();
  readonly #openRefreshes = new Set<number>();
  #calls = 0;
  #hooks: BlockHooks | undefined;
  #lost: SottoError | undefined;
  #closing: Promise<void> | undefined;
  readonly ready: Promise<void>;

  constructor(engine: EngineOptions, options: WorkerEngineOptions) {
    this.#log = options.log;
    this.#closeTimeoutMs = options.closeTimeoutMs ?? 20_000;
    this.#cancel = new SharedArrayBuffer(4);
    const start: WorkerStart = { options: engine, engineModule: options.engineModule, cancel: this.#cancel };
    this.#worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: start });
    this.ready = new Promise((resolve, reject) => {
      this.#worker.on('message', (message: FromWorker) => this.#receive(message, resolve, reject));
      this.#worker.on('error', (error) => this.#lose(error, reject));
      this.#worker.on('exit', () => this.#lose(undefined, reject));
    });
  }

  loadKey(index: number, bytes: Uint8Array): Promise<void> {
    const owned =
      bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice();
    return this.#call({ op: 'loadKey', index, bytes: owned }, undefined, [owned.buffer as ArrayBuffer]).then(
      () => undefined,
    );
  }

  async loadPublic(tokens: readonly number[], hooks: BlockHooks): Promise<void> {
    await this.#call({ op: 'loadPublic', tokens }, hooks);
  }

  async run(rows: Rows, hooks: BlockHooks): Promise<BlockResult> {
    const { signal } = hooks;
    const stop = () => this.#stopBlock();
    signal?.addEventListener('abort', stop, { once: true });
    try {
      if (signal?.aborted) throw signal.reason;
      const result = await this.#call({ op: 'run', rows }, hooks);
      return result!;
    } finally {
      signal?.removeEventListener('abort', stop);
      // The next block of this engine runs again.
      if (!this.#closing) Atomics.store(new Int32Array(this.#cancel), 0, 0);
    }
  }

  async reset(): Promise<void> {
    await this.#call({ op: 'reset' }, undefined);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#lost) return;
    this.#stopBlock();
    const exited = new Promise<void>((resolve) => this.#worker.once('exit', () => resolve()));
    const call = this.#call({ op: 'close' }, undefined).catch(() => null);
    const timer = setTimeout(() => void this.#worker.terminate(), this.#closeTimeoutMs);
    await Promise.all([call, exited]);
    clearTimeout(timer);
  }

  /** The running block ends with `JOB_CANCELLED` at its next operation. */
  #stopBlock(): void {
    Atomics.store(new Int32Array(this.#cancel), 0, 1);
    const cancelled = errorBodyOf(new SottoError('The job was cancelled.', { code: 'JOB_CANCELLED' }));
    for (const refreshId of this.#openRefreshes)
      this.#send({ type: 'refreshFailed', refreshId, error: cancelled });
  }

  #send(message: ToWorker, transfer: ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  #call(
    call: Call,
    hooks: BlockHooks | undefined,
    transfer: ArrayBuffer[] = [],
  ): Promise<BlockResult | null> {
    if (this.#lost) return Promise.reject(this.#lost);
    if (hooks) this.#hooks = hooks;
    const id = this.#calls++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#send({ type: 'call', id, call }, transfer);
    });
  }

  #receive(message: FromWorker, ready: () => void, failed: (error: unknown) => void): void {
    switch (message.type) {
      case 'ready':
        this.description = message.description;
        ready();
        return;
      case 'startFailed':
        if (message.stack) this.#log('engine start failed', { detail: message.stack });
        failed(errorFromBody(message.error));
        return;
      case 'returned':
        this.#settle(message.id)?.resolve(message.result);
        return;
      case 'threw':
        if (message.stack) this.#log('engine failed', { detail: message.stack });
        this.#settle(message.id)?.reject(errorFromBody(message.error));
        return;
      case 'progress':
        // Progress that was on its way when the block was cancelled.
        if (!this.#hooks?.signal?.aborted) this.#hooks?.progress(message.event);
        return;
      case 'refresh':
        this.#askClient(message.refreshId, message.ciphertext);
        return;
    }
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }

  #askClient(refreshId: number, ciphertext: Uint8Array): void {
    this.#openRefreshes.add(refreshId);
    this.#hooks!.refresh(ciphertext)
      .then(
        (reply) => this.#send({ type: 'refreshed', refreshId, ciphertext: reply }),
        (error) => this.#send({ type: 'refreshFailed', refreshId, error: errorBodyOf(error) }),
      )
      .finally(() => this.#openRefreshes.delete(refreshId));
  }

  /** The thread is gone: everything that waits for it fails. */
  #lose(error: unknown, failed: (error: unknown) => void): void {
    if (this.#lost) return;
    const memory = (error as { code?: string } | undefined)?.code === 'ERR_WORKER_OUT_OF_MEMORY';
    this.#lost = memory
      ? new SottoError('The engine ran out of memory.', {
          code: 'MEMORY_INSUFFICIENT',
          fix: 'Close other sessions, or use a machine with more memory.',
        })
      : new SottoError('The engine of this session stopped.', {
          code: 'WORKER_LOST',
          fix: 'Open a new session.',
        });
    if (error !== undefined) this.#log('engine thread lost', { code: this.#lost.code });
    failed(this.#lost);
    for (const pending of this.#pending.values()) pending.reject(this.#lost);
    this.#pending.clear();
  }
}

/** Starts an engine in a worker thread of its own. */
export async function startWorkerEngine(
  engine: EngineOptions,
  options: WorkerEngineOptions,
): Promise<Engine> {
  const worker = new WorkerEngine(engine, options);
  await worker.ready;
  return worker;
}
