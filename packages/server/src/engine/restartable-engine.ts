import { SottoError } from '@sotto/base';
import type { Rows } from '@sotto/protocol';
import type { KeyFiles } from '../keys/stored-key-set.js';
import type { BlockHooks, BlockResult, Engine, EngineDescription } from './port.js';

export interface RestartableEngineOptions {
  readonly description: EngineDescription;
  /** Planned peak of its process. */
  readonly memoryBytes: number;
  readonly start: () => Promise<Engine>;
  /** The engine, when it has started already. */
  readonly running?: Engine;
}

/**
 * An engine that starts when it is first needed and can be stopped and started again, without keys and public part then. What it
 * computes with is known from its first start, be it by an earlier run of the server.
 */
export class RestartableEngine implements Engine {
  readonly description: EngineDescription;
  readonly memoryBytes: number;
  readonly #start: () => Promise<Engine>;
  #engine: Promise<Engine> | undefined;
  #closed = false;
  #peakRssBytes = 0;
  #running: Engine | undefined;

  constructor({ description, memoryBytes, start, running }: RestartableEngineOptions) {
    this.description = description;
    this.memoryBytes = memoryBytes;
    this.#start = start;
    this.#running = running;
    this.#engine = running === undefined ? undefined : Promise.resolve(running);
  }

  /** Starts unless it has. @throws the errors of the start. */
  async begin(): Promise<void> {
    await this.#get();
  }

  get peakRssBytes(): number {
    return Math.max(this.#peakRssBytes, this.#running?.peakRssBytes ?? 0);
  }

  async loadKey(index: number, bytes: Uint8Array): Promise<void> {
    await (await this.#get()).loadKey(index, bytes);
  }

  /** Leaves the reading to the engine if that can; `read` gives the bytes otherwise. */
  async loadStored(index: number, files: KeyFiles, read: () => Promise<Uint8Array>): Promise<void> {
    const engine = await this.#get();
    if (engine.loadStoredKey) await engine.loadStoredKey(index, files);
    else await engine.loadKey(index, await read());
  }

  async loadPublic(tokens: readonly number[], hooks: BlockHooks): Promise<void> {
    await (await this.#get()).loadPublic(tokens, hooks);
  }

  async run(rows: Rows, hooks: BlockHooks): Promise<BlockResult> {
    return await (await this.#get()).run(rows, hooks);
  }

  async reset(): Promise<void> {
    await (await this.#get()).reset();
  }

  /** Frees what the engine holds; the next call starts another one. */
  async stop(): Promise<void> {
    const stopping = this.#engine;
    this.#engine = undefined;
    this.#peakRssBytes = this.peakRssBytes;
    this.#running = undefined;
    const engine = await stopping?.catch(() => undefined);
    await engine?.close();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.stop();
  }

  /** @throws `STATE_LOST` when this server plans otherwise than the one before it; the errors of the start. */
  #get(): Promise<Engine> {
    this.#engine ??= this.#started().catch((error) => {
      this.#engine = undefined;
      throw error;
    });
    return this.#engine;
  }

  async #started(): Promise<Engine> {
    if (this.#closed) throw closed();
    const engine = await this.#start();
    const { parametersDigest, planDigest } = engine.description;
    const same =
      parametersDigest === this.description.parametersDigest && planDigest === this.description.planDigest;
    if (same && !this.#closed) {
      this.#running = engine;
      return engine;
    }
    await engine.close();
    if (this.#closed) throw closed();
    throw new SottoError('The session belongs to another plan than this server makes.', {
      code: 'STATE_LOST',
      fix: 'Open a new session.',
    });
  }
}

const closed = () =>
  new SottoError('The session was closed.', { code: 'SESSION_UNKNOWN', fix: 'Open a new session.' });
