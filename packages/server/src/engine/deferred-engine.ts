import { SottoError } from '@sotto/base';
import type { Rows } from '@sotto/protocol';
import type { BlockHooks, BlockResult, Engine, EngineDescription } from './port.js';

/**
 * An engine whose description is known from an earlier run of the server, and which starts when it is first needed: a restarted
 * server answers for all its sessions at once and takes memory only for those that go on.
 */
export class DeferredEngine implements Engine {
  readonly description: EngineDescription;
  readonly #start: () => Promise<Engine>;
  #engine: Promise<Engine> | undefined;
  #closed = false;

  constructor(description: EngineDescription, start: () => Promise<Engine>) {
    this.description = description;
    this.#start = start;
  }

  async loadKey(index: number, bytes: Uint8Array): Promise<void> {
    await (await this.#get()).loadKey(index, bytes);
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

  async close(): Promise<void> {
    this.#closed = true;
    await (await this.#engine?.catch(() => undefined))?.close();
  }

  /** @throws `STATE_LOST` when this server plans otherwise than the one before it; the errors of the start. */
  #get(): Promise<Engine> {
    this.#engine ??= this.#started();
    return this.#engine;
  }

  async #started(): Promise<Engine> {
    const engine = await this.#start();
    const { parametersDigest, planDigest } = engine.description;
    const same =
      parametersDigest === this.description.parametersDigest && planDigest === this.description.planDigest;
    if (same && !this.#closed) return engine;
    await engine.close();
    throw new SottoError('The session belongs to another plan than this server makes.', {
      code: 'STATE_LOST',
      fix: 'Open a new session.',
    });
  }
}
