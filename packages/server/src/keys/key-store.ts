import { createHash } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SottoError } from '@sotto/base';
import type { KeySetInfo, KeySetRequest } from '@sotto/protocol';
import { makeFolder, onDisk } from '../disk.js';
import type { Logger } from '../log.js';
import { isRemoved, keySetUnknown, StoredKeySet } from './stored-key-set.js';

export interface KeyStoreOptions {
  readonly folder: string;
  /** A set that nobody uses for this long is removed. */
  readonly lifetimeMs: number;
  /** Of all sets of one owner, whether their keys arrived or not. */
  readonly ownerQuotaBytes: number;
  /** Of all sets. */
  readonly totalQuotaBytes: number;
  readonly log: Logger;
}

/** Most sets of one owner. */
const MOST_SETS = 64;
const SWEEP_INTERVAL_MS = 10 * 60_000;

/** The owner that a client token stands for: the token itself is not kept. */
export const ownerOf = (clientToken: string): string =>
  createHash('sha256').update('sotto key owner\0').update(clientToken).digest('hex');

/** Key sets on disk, each visible to its owner alone. They hold evaluation keys; nothing here can decrypt. */
export class KeyStore {
  readonly #options: KeyStoreOptions;
  /** By owner, then by identifier. */
  readonly #sets = new Map<string, Map<string, StoredKeySet>>();
  readonly #sweeper: NodeJS.Timeout;
  /** Sets are made and removed one after the other: a set that is removed and made again would else lose files of the new one. */
  #changing: Promise<unknown> = Promise.resolve();

  private constructor(options: KeyStoreOptions) {
    this.#options = options;
    this.#sweeper = setInterval(() => void this.sweep().catch(() => {}), SWEEP_INTERVAL_MS);
    this.#sweeper.unref();
  }

  /** Opens the folder and reads what an earlier run left there; what is too old stays until the first {@link sweep}. @throws `KEYS_DISK`, `KEYS_DISK_FULL`. */
  static open(options: KeyStoreOptions): Promise<KeyStore> {
    return onDisk('keys', async () => {
      const store = new KeyStore(options);
      await makeFolder(options.folder);
      for (const owner of await readdir(options.folder)) {
        if (!/^[0-9a-f]{64}$/.test(owner)) continue;
        for (const id of await readdir(join(options.folder, owner))) {
          if (isRemoved(id)) await rm(join(options.folder, owner, id), { recursive: true, force: true });
          if (!/^[0-9a-f]{32}$/.test(id)) continue;
          const set = await StoredKeySet.open(join(options.folder, owner, id), owner, id);
          if (set) store.#of(owner).set(id, set);
          else options.log('key set unreadable', { keySet: id.slice(0, 8) });
        }
      }
      return store;
    });
  }

  /** The set of an owner that is known already; undefined when it is gone. */
  find(owner: string, id: string): StoredKeySet | undefined {
    return this.#sets.get(owner)?.get(id);
  }

  get count(): number {
    return [...this.#sets.values()].reduce((sum, sets) => sum + sets.size, 0);
  }

  /** Bytes that all sets take once their keys have arrived. */
  get sizeBytes(): number {
    return [...this.#sets.keys()].reduce((sum, owner) => sum + this.#bytesOf(owner), 0);
  }

  /**
   * Makes a set, or gives the one that exists.
   *
   * @throws `KEYSET_CONFLICT` when it was made for something else, `KEYS_QUOTA`, `KEY_UNKNOWN` for a list without order.
   */
  create(clientToken: string, id: string, request: KeySetRequest): Promise<KeySetInfo> {
    return this.#inTurn(() => this.#create(ownerOf(clientToken), id, request));
  }

  /** @throws `KEYSET_UNKNOWN` alike for a set that does not exist and for one of somebody else. */
  get(clientToken: string, id: string): StoredKeySet {
    const set = this.#sets.get(ownerOf(clientToken))?.get(id);
    if (set) return set;
    throw keySetUnknown();
  }

  info(set: StoredKeySet): KeySetInfo {
    return set.info(this.#options.lifetimeMs);
  }

  list(clientToken: string): KeySetInfo[] {
    const sets = this.#sets.get(ownerOf(clientToken));
    return [...(sets?.values() ?? [])].map((set) => this.info(set));
  }

  /** @throws `KEYSET_UNKNOWN`; `KEYSET_IN_USE` while a session computes with it. */
  async remove(clientToken: string, id: string): Promise<void> {
    await this.#inTurn(async () => {
      const set = this.get(clientToken, id);
      if (set.users > 0) {
        throw new SottoError('A session computes with these keys.', {
          code: 'KEYSET_IN_USE',
          facts: { sessions: set.users },
          fix: 'Close the session first.',
          retryable: true,
        });
      }
      await this.#remove(set);
    });
  }

  /** Removes sets that nobody used for their lifetime. */
  async sweep(nowMs = Date.now()): Promise<void> {
    await this.#inTurn(async () => {
      for (const sets of this.#sets.values()) {
        for (const set of [...sets.values()]) {
          if (set.users === 0 && nowMs - set.usedAtMs > this.#options.lifetimeMs) await this.#remove(set);
        }
      }
    });
  }

  close(): void {
    clearInterval(this.#sweeper);
  }

  async #create(owner: string, id: string, request: KeySetRequest): Promise<KeySetInfo> {
    const existing = this.#sets.get(owner)?.get(id);
    if (existing) {
      if (JSON.stringify(existing.request) !== JSON.stringify(request)) {
        throw new SottoError('The key set was made for other parameters or another model.', {
          code: 'KEYSET_CONFLICT',
          fix: 'Remove it with `sotto keys rm`, then send the keys again.',
        });
      }
      await existing.touch();
      return this.info(existing);
    }
    if (request.keys.some((key, i) => key.index !== i || key.sizeBytes < 1)) {
      throw new SottoError('The key list is not in order.', {
        code: 'KEY_UNKNOWN',
        fix: 'Number the keys from 0, each with its size.',
      });
    }
    const { ownerQuotaBytes, totalQuotaBytes, folder, log } = this.#options;
    const wanted = request.keys.reduce((sum, key) => sum + key.sizeBytes, 0);
    const used = this.#bytesOf(owner);
    const full = used + wanted > ownerQuotaBytes || this.sizeBytes + wanted > totalQuotaBytes;
    if (full || (this.#sets.get(owner)?.size ?? 0) >= MOST_SETS) {
      throw new SottoError('The key set is larger than the room that is left for it.', {
        code: 'KEYS_QUOTA',
        facts: { sizeBytes: wanted, usedBytes: used, quotaBytes: ownerQuotaBytes },
        fix: 'Remove key sets with `sotto keys rm`.',
      });
    }
    await makeFolder(join(folder, owner));
    const set = await StoredKeySet.create(join(folder, owner, id), owner, id, request);
    this.#of(owner).set(id, set);
    log('key set made', { keySet: id.slice(0, 8), keys: request.keys.length, sizeBytes: wanted });
    return this.info(set);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#changing.then(() => onDisk('keys', work));
    this.#changing = done.catch(() => {});
    return done;
  }

  async #remove(set: StoredKeySet): Promise<void> {
    const sets = this.#sets.get(set.owner);
    sets?.delete(set.id);
    await set.remove();
    if (sets?.size === 0) {
      this.#sets.delete(set.owner);
      await rm(join(this.#options.folder, set.owner), { recursive: true, force: true });
    }
    this.#options.log('key set removed', { keySet: set.id.slice(0, 8) });
  }

  #bytesOf(owner: string): number {
    return [...(this.#sets.get(owner)?.values() ?? [])].reduce((sum, set) => sum + set.sizeBytes, 0);
  }

  #of(owner: string): Map<string, StoredKeySet> {
    const sets = this.#sets.get(owner) ?? new Map<string, StoredKeySet>();
    this.#sets.set(owner, sets);
    return sets;
  }
}
