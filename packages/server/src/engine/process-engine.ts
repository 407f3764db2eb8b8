import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { SottoError } from '@sotto/base';
import { errorBodyOf, errorFromBody, type Rows } from '@sotto/protocol';
import type { KeyFiles } from '../keys/stored-key-set.js';
import type { Logger } from '../log.js';
import type { Call, FromProcess, ProcessStart, ToProcess, ToThread } from './messages.js';
import type {
  BlockHooks,
  BlockResult,
  Engine,
  EngineDescription,
  EngineOptions,
  PublicStore,
} from './port.js';

export interface ProcessEngineOptions {
  /** URL of a module that exports `startEngine`. */
  readonly engineModule: string;
  readonly log: Logger;
  /** What engines share of public parts; nothing when absent. */
  readonly publicStore?: PublicStore;
  /** Wait this long for a cancelled block to stop before the process is ended by force. */
  readonly closeTimeoutMs?: number;
}

interface Pending {
  resolve(result: BlockResult | null): void;
  reject(error: unknown): void;
}

/** A message without the sizes of its pieces, which are counted when it is sent. */
type Unsized<M> = M extends unknown ? Omit<M, 'piecesBytes'> : never;

/** The server's side of an engine that runs in a process of its own. */
class ProcessEngine implements Engine {
  description!: EngineDescription;
  memoryBytes = 0;
  peakRssBytes = 0;
  readonly #child: ChildProcess;
  readonly #log: Logger;
  readonly #publicStore: PublicStore | undefined;
  readonly #closeTimeoutMs: number;
  readonly #pending = new Map<number, Pending>();
  readonly #openRefreshes = new Set<number>();
  #calls = 0;
  #hooks: BlockHooks | undefined;
  #reason: string | undefined;
  #lost: SottoError | undefined;
  #closing: Promise<void> | undefined;
  readonly #exited: Promise<void>;
  readonly ready: Promise<void>;

  constructor(engine: EngineOptions, options: ProcessEngineOptions) {
    this.#log = options.log;
    this.#publicStore = options.publicStore;
    this.#closeTimeoutMs = options.closeTimeoutMs ?? 20_000;
    this.#child = fork(fileURLToPath(new URL('./process-main.js', import.meta.url)), [], {
      serialization: 'advanced',
      stdio: ['pipe', 'ignore', 'inherit', 'ipc'],
      // Limits of memory hold for engines too; anything else, a script on the command line above all, is the server's own.
      execArgv: process.execArgv.filter((argument) => argument.startsWith('--max-')),
    });
    // A process that is gone is noticed by its exit.
    this.#child.stdin!.on('error', () => {});
    this.#exited = new Promise((resolve) => this.#child.once('close', () => resolve()));
    this.ready = new Promise((resolve, reject) => {
      this.#child.on('message', (message: FromProcess) => this.#receive(message, resolve, reject));
      this.#child.once('error', () => this.#lose('start', reject));
      this.#child.once('exit', (code, signal) => this.#lose(signal ?? `exit ${code}`, reject));
    });
    const start: ProcessStart = { options: engine, engineModule: options.engineModule };
    this.#child.send(start, () => {});
    this.#log('engine process', { process: this.#child.pid ?? 0 });
  }

  async loadKey(index: number, bytes: Uint8Array): Promise<void> {
    await this.#call({ op: 'loadKey', index }, undefined, [bytes]);
  }

  async loadStoredKey(index: number, files: KeyFiles): Promise<void> {
    await this.#call({ op: 'loadStoredKey', index, files });
  }

  async loadPublic(tokens: readonly number[], hooks: BlockHooks): Promise<void> {
    await this.#call({ op: 'loadPublic', tokens }, hooks);
  }

  async run({ position, rows, ciphertexts }: Rows, hooks: BlockHooks): Promise<BlockResult> {
    const { signal } = hooks;
    const stop = () => this.#stopBlock();
    signal?.addEventListener('abort', stop, { once: true });
    try {
      if (signal?.aborted) throw signal.reason;
      const result = await this.#call({ op: 'run', position, rows }, hooks, ciphertexts);
      return result!;
    } finally {
      signal?.removeEventListener('abort', stop);
    }
  }

  async reset(): Promise<void> {
    await this.#call({ op: 'reset' });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#lost) return;
    this.#stopBlock();
    const call = this.#call({ op: 'close' }).catch(() => null);
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), this.#closeTimeoutMs);
    await Promise.all([call, this.#exited]);
    clearTimeout(timer);
  }

  /** The running block ends with `JOB_CANCELLED` at its next operation. */
  #stopBlock(): void {
    this.#send({ type: 'cancel' });
    const cancelled = errorBodyOf(new SottoError('The job was cancelled.', { code: 'JOB_CANCELLED' }));
    for (const refreshId of this.#openRefreshes)
      this.#tell({ type: 'refreshFailed', refreshId, error: cancelled });
  }

  #send(message: ToProcess): void {
    if (this.#child.connected) this.#child.send(message, () => {});
  }

  #tell(message: Unsized<ToThread>, pieces: readonly Uint8Array[] = []): void {
    if (this.#lost) return;
    this.#send({ ...message, piecesBytes: pieces.map((piece) => piece.length) } as ToThread);
    for (const piece of pieces) this.#child.stdin!.write(piece);
  }

  #call(call: Call, hooks?: BlockHooks, pieces: readonly Uint8Array[] = []): Promise<BlockResult | null> {
    if (this.#lost) return Promise.reject(this.#lost);
    if (hooks) this.#hooks = hooks;
    const id = this.#calls++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#tell({ type: 'call', id, call }, pieces);
    });
  }

  #receive(message: FromProcess, ready: () => void, failed: (error: unknown) => void): void {
    switch (message.type) {
      case 'ready':
        this.description = message.description;
        this.memoryBytes = message.memoryBytes;
        ready();
        return;
      case 'startFailed':
        if (message.stack) this.#log('engine start failed', { detail: message.stack });
        failed(errorFromBody(message.error));
        return;
      case 'returned':
        this.peakRssBytes = message.peakRssBytes;
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
      case 'recall':
        void this.#recall(message.recallId, message.key);
        return;
      case 'keep':
        this.#publicStore?.put(message.key, message.bytes);
        return;
      case 'dying':
        this.#reason = message.reason;
        return;
    }
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }

  async #recall(recallId: number, key: string): Promise<void> {
    const known = (await this.#publicStore?.get(key)) ?? null;
    this.#tell({ type: 'recalled', recallId }, known === null ? [] : [known]);
  }

  #askClient(refreshId: number, ciphertext: Uint8Array): void {
    this.#openRefreshes.add(refreshId);
    this.#hooks!.refresh(ciphertext)
      .then(
        (reply) => this.#tell({ type: 'refreshed', refreshId }, [reply]),
        (error) => this.#tell({ type: 'refreshFailed', refreshId, error: errorBodyOf(error) }),
      )
      .finally(() => this.#openRefreshes.delete(refreshId));
  }

  /** The process is gone: everything that waits for it fails. */
  #lose(reason: string, failed: (error: unknown) => void): void {
    if (this.#lost) return;
    this.#lost = new SottoError('The process that computed for this session ended.', {
      code: 'WORKER_LOST',
      facts: { reason: this.#reason ?? reason },
      fix: 'Open a new session. When it happens again, the machine may have too little memory.',
    });
    if (!this.#closing) this.#log('engine process lost', { reason: this.#reason ?? reason });
    failed(this.#lost);
    for (const pending of this.#pending.values()) pending.reject(this.#lost);
    this.#pending.clear();
  }
}

/** Starts an engine in a process of its own. @throws the errors of the engine's start, `WORKER_LOST`. */
export async function startProcessEngine(
  engine: EngineOptions,
  options: ProcessEngineOptions,
): Promise<Engine> {
  const process = new ProcessEngine(engine, options);
  try {
    await process.ready;
  } catch (error) {
    await process.close();
    throw error;
  }
  return process;
}
