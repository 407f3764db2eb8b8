import { SottoError } from '@sotto/base';
import { checksum32, type KeyEntry } from '@sotto/protocol';
import type { RestartableEngine } from '../engine/restartable-engine.js';
import type { StoredKeySet } from '../keys/stored-key-set.js';

/** The evaluation keys of one session: sent to it one by one, or those of a stored set, which can be loaded again. */
export class SessionKeys {
  readonly #engine: RestartableEngine;
  /** Keys that the engine holds. */
  readonly #held = new Set<number>();
  /** Checksums of keys that were sent to this session. */
  readonly #checksums = new Map<number, number>();
  #set: StoredKeySet | undefined;
  #loading: Promise<void> | undefined;
  #loadError: unknown;
  /** Loads that were given up: they stop at their next key. */
  #generation = 0;

  constructor(engine: RestartableEngine) {
    this.#engine = engine;
  }

  get set(): StoredKeySet | undefined {
    return this.#set;
  }

  get #list(): readonly KeyEntry[] {
    return this.#engine.description.keys;
  }

  /** Keys that the engine does not hold. */
  get missing(): number {
    return this.#list.length - this.#held.size;
  }

  /** Size of the keys that the engine holds. */
  get sizeBytes(): number {
    return [...this.#held].reduce((sum, index) => sum + this.#list[index]!.sizeBytes, 0);
  }

  /** Exact size of a key. @throws `KEY_UNKNOWN`. */
  sizeOf(index: number): number {
    const entry = this.#list[index];
    if (entry) return entry.sizeBytes;
    throw new SottoError('The session has no key of this index.', {
      code: 'KEY_UNKNOWN',
      facts: { index, keys: this.#list.length },
      fix: 'Send the keys of the list that the session was opened with.',
    });
  }

  /** Stores one key. The same key again changes nothing. @throws `KEY_CONFLICT` and the engine's errors. */
  async put(index: number, bytes: Uint8Array): Promise<void> {
    const expected = this.sizeOf(index);
    if (bytes.length !== expected) {
      throw new SottoError('The key has not the size that the key list says.', {
        code: 'KEY_SIZE',
        facts: { index, sizeBytes: bytes.length, expected },
        fix: 'Make the key for the parameters of this session.',
      });
    }
    const checksum = checksum32(bytes);
    const stored = this.#set ? checksum32(await this.#set.readKey(index)) : this.#checksums.get(index);
    if (stored === undefined) {
      await this.#engine.loadKey(index, bytes);
      this.#checksums.set(index, checksum);
      this.#held.add(index);
    } else if (stored !== checksum) {
      throw new SottoError('Another key is stored under this index.', {
        code: 'KEY_CONFLICT',
        facts: { index },
        fix: 'Open a new session for new keys.',
      });
    }
  }

  /** The keys are those of a stored set, which stays as long as the session does. */
  use(set: StoredKeySet): void {
    this.#set = set;
    set.users++;
  }

  /** Loads every key of the stored set, once. @throws what stopped it, e.g. `KEYS_DAMAGED`. */
  load(): Promise<void> {
    this.#loading ??= this.#load(this.#set!).catch((error) => {
      this.#loadError = error;
      throw error;
    });
    return this.#loading;
  }

  /** How far the loading is. @throws what stopped it. */
  progress(): { loaded: number; total: number } {
    if (this.#loadError !== undefined) throw this.#loadError;
    return { loaded: this.#held.size, total: this.#list.length };
  }

  /** The engine holds no keys any more. */
  forget(): void {
    this.#generation++;
    this.#held.clear();
    this.#loading = undefined;
    this.#loadError = undefined;
  }

  /** The session has ended. */
  release(): void {
    this.forget();
    if (this.#set) this.#set.users--;
  }

  async #load(set: StoredKeySet): Promise<void> {
    const generation = this.#generation;
    await set.touch();
    let damage: unknown;
    for (const { index } of this.#list) {
      if (generation !== this.#generation) return;
      try {
        // After a damaged key the rest is only checked, so that one more upload brings everything that is missing.
        if (damage === undefined) await this.#loadOne(set, index);
        else await set.readKey(index);
        if (damage === undefined && generation === this.#generation) this.#held.add(index);
      } catch (error) {
        if (!SottoError.is(error) || error.code !== 'KEYS_DAMAGED') throw error;
        damage ??= error;
      }
    }
    if (damage !== undefined) throw damage;
  }

  async #loadOne(set: StoredKeySet, index: number): Promise<void> {
    try {
      await this.#engine.loadStored(index, set.filesOf(index), () => set.readKey(index));
    } catch (error) {
      // The set takes note of what is missing when it reads the key itself.
      if (SottoError.is(error) && error.code === 'KEYS_DAMAGED') await set.readKey(index);
      throw error;
    }
  }
}
