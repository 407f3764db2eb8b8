import { randomBytes } from 'node:crypto';
import { readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { SottoError } from '@sotto/base';
import {
  type KeySetInfo,
  type KeySetRequest,
  keyPartsSchema,
  keySetRequestSchema,
  PART_BYTES,
} from '@sotto/protocol';
import { isAbsent, makeFolder, onDisk, readJsonFile, syncFolder, writeDurably } from '../disk.js';
import { type Chunks, PartFile } from './part-file.js';

const MANIFEST = 'manifest.json';
const REMOVED = '.removed';

/** True for the name of a folder whose removal did not come to its end. */
export const isRemoved = (name: string): boolean => name.endsWith(REMOVED);

/** Where a stored key lies. */
export interface KeyFiles {
  readonly folder: string;
  readonly sizeBytes: number;
  readonly parts: readonly { readonly digest: string; readonly sizeBytes: number }[];
}

/** Sizes of the parts of a key. */
function partSizes(sizeBytes: number): number[] {
  const whole = Math.floor(sizeBytes / PART_BYTES);
  const rest = sizeBytes - whole * PART_BYTES;
  return [...Array<number>(whole).fill(PART_BYTES), ...(rest > 0 ? [rest] : [])];
}

/**
 * The evaluation keys of one secret for one plan, in a folder of their own:
 * `manifest.json`, `keys/<index>.json` with the digests of a key's parts, `parts/<digest>`.
 */
export class StoredKeySet {
  /** Parts by digest, of every key whose digests are known. */
  readonly #parts = new Map<string, PartFile>();
  readonly #keys = new Map<number, readonly string[]>();
  readonly #complete = new Set<number>();
  /** Sessions that compute with these keys now. */
  users = 0;
  #removed = false;

  private constructor(
    readonly owner: string,
    readonly id: string,
    readonly request: KeySetRequest,
    readonly folder: string,
    readonly createdAtMs: number,
    public usedAtMs: number,
  ) {}

  /** Makes the folder of a new set. */
  static async create(
    folder: string,
    owner: string,
    id: string,
    request: KeySetRequest,
  ): Promise<StoredKeySet> {
    await makeFolder(join(folder, 'keys'));
    await makeFolder(join(folder, 'parts'));
    const createdAtMs = Date.now();
    await writeDurably(join(folder, MANIFEST), JSON.stringify({ version: 1, createdAtMs, ...request }));
    await syncFolder(join(folder, '..'));
    return new StoredKeySet(owner, id, request, folder, createdAtMs, createdAtMs);
  }

  /** Reads a set from disk; undefined when its manifest is damaged. Which parts are there is seen from their sizes. */
  static async open(folder: string, owner: string, id: string): Promise<StoredKeySet | undefined> {
    const manifest = await readJsonFile(join(folder, MANIFEST));
    if (typeof manifest !== 'object' || manifest === null) return undefined;
    const { version, createdAtMs, ...rest } = manifest as Record<string, unknown>;
    const parsed = keySetRequestSchema.safeParse(rest);
    if (version !== 1 || typeof createdAtMs !== 'number' || !parsed.success) return undefined;
    const { mtimeMs } = await stat(join(folder, MANIFEST));
    const set = new StoredKeySet(owner, id, parsed.data, folder, createdAtMs, mtimeMs);
    await makeFolder(join(folder, 'keys'));
    await makeFolder(join(folder, 'parts'));
    for (const name of await readdir(join(folder, 'keys'))) {
      const match = /^(\d{1,4})\.json$/.exec(name);
      if (!match) continue;
      const parts = keyPartsSchema.safeParse(await readJsonFile(join(folder, 'keys', name)));
      const index = Number(match[1]);
      if (parts.success && set.#adopt(index, parts.data.parts)) await set.#count(index);
    }
    return set;
  }

  get sizeBytes(): number {
    return this.request.keys.reduce((sum, key) => sum + key.sizeBytes, 0);
  }

  get complete(): boolean {
    return this.#complete.size === this.request.keys.length;
  }

  info(lifetimeMs: number): KeySetInfo {
    const { parametersName, modelDigest, refresh, keys } = this.request;
    return {
      id: this.id,
      parametersName,
      modelDigest,
      refresh,
      sizeBytes: this.sizeBytes,
      storedBytes: keys.reduce((sum, key) => sum + (this.#complete.has(key.index) ? key.sizeBytes : 0), 0),
      keys: keys.length,
      missing: keys.flatMap(({ index }) => (this.#complete.has(index) ? [] : [index])),
      createdAt: new Date(this.createdAtMs).toISOString(),
      expiresAt: new Date(this.usedAtMs + lifetimeMs).toISOString(),
      canDecrypt: false,
    };
  }

  /** Marks the set as used now, so that it expires later. */
  async touch(): Promise<void> {
    this.usedAtMs = Date.now();
    await this.#onDisk(() => utimes(join(this.folder, MANIFEST), new Date(), new Date()));
  }

  /**
   * Names the parts of a key before they are sent. Other parts than before take the place of an unfinished key.
   *
   * @returns bytes of each part that are here.
   * @throws `KEY_UNKNOWN`, `KEY_SIZE`, `KEY_CONFLICT` when the key is here already with other parts.
   */
  announce(index: number, digests: readonly string[]): Promise<number[]> {
    return this.#onDisk(async () => {
      this.#requireKey(index);
      const before = this.#keys.get(index);
      if (before?.join() !== digests.join()) {
        if (this.#complete.has(index)) {
          throw new SottoError('Another key is stored under this index.', {
            code: 'KEY_CONFLICT',
            facts: { index },
            fix: 'Remove the key set before sending other keys.',
          });
        }
        for (const digest of before ?? []) await this.#drop(digest);
        if (!this.#adopt(index, digests)) {
          throw new SottoError('The key has another number of parts than its size needs.', {
            code: 'KEY_SIZE',
            facts: { index, parts: digests.length, partBytes: PART_BYTES },
            fix: 'Cut the key into parts of this size.',
          });
        }
        await writeDurably(join(this.folder, 'keys', `${index}.json`), JSON.stringify({ parts: digests }));
      }
      const offsets = await Promise.all(digests.map((digest) => this.part(digest).offset()));
      await this.#count(index);
      return offsets;
    });
  }

  /** @throws `PART_UNKNOWN`. */
  part(digest: string): PartFile {
    const part = this.#parts.get(digest);
    if (part) return part;
    throw new SottoError('The key set has no such part.', {
      code: 'PART_UNKNOWN',
      fix: 'Name the parts of a key before sending them.',
    });
  }

  /** How much of a part is here. @throws `PART_UNKNOWN`. */
  partState(digest: string): Promise<{ offset: number; sizeBytes: number }> {
    return this.#onDisk(async () => {
      const part = this.part(digest);
      return { offset: await part.offset(), sizeBytes: part.sizeBytes };
    });
  }

  /** Appends to a part. @returns the new offset. @throws the errors of {@link PartFile.append}. */
  append(digest: string, offset: number, chunks: Chunks): Promise<number> {
    return this.#onDisk(async () => {
      const at = await this.part(digest).append(offset, chunks);
      for (const [index, digests] of this.#keys) if (digests.includes(digest)) await this.#count(index);
      return at;
    });
  }

  /** One key, every part checked against its digest. @throws `KEYS_DAMAGED`, `KEYSET_INCOMPLETE`. */
  readKey(index: number): Promise<Uint8Array> {
    return this.#onDisk(async () => {
      const { sizeBytes } = this.#requireKey(index);
      const digests = this.#keys.get(index);
      if (!digests) throw incomplete(1);
      const out = new Uint8Array(sizeBytes);
      let at = 0;
      for (const digest of digests) {
        try {
          const bytes = await this.part(digest).read();
          out.set(bytes, at);
          at += bytes.length;
        } catch (error) {
          this.#complete.delete(index);
          throw error;
        }
      }
      return out;
    });
  }

  /** Where a key lies, for a process that reads it by itself as {@link readKey} does. @throws `KEYSET_INCOMPLETE`. */
  filesOf(index: number): KeyFiles {
    const { sizeBytes } = this.#requireKey(index);
    const digests = this.#keys.get(index);
    if (!digests) throw incomplete(1);
    const parts = digests.map((digest) => ({ digest, sizeBytes: this.part(digest).sizeBytes }));
    return { folder: join(this.folder, 'parts'), sizeBytes, parts };
  }

  /** @throws `KEYSET_INCOMPLETE`. */
  requireComplete(): void {
    if (!this.complete) throw incomplete(this.request.keys.length - this.#complete.size);
  }

  /** Ends uploads, then removes every file. What else goes on with the set meanwhile ends with `KEYSET_UNKNOWN`. */
  async remove(): Promise<void> {
    this.#removed = true;
    await Promise.all([...this.#parts.values()].map((part) => part.stop()));
    this.#parts.clear();
    this.#keys.clear();
    this.#complete.clear();
    // Under another name nothing is written into the folder while it is emptied.
    const grave = `${this.folder}.${randomBytes(4).toString('hex')}${REMOVED}`;
    try {
      await rename(this.folder, grave);
    } catch (error) {
      if (!isAbsent(error)) throw error;
    }
    await rm(grave, { recursive: true, force: true });
    await syncFolder(join(this.folder, '..'));
  }

  /** Runs file operations of a set that may be removed meanwhile. */
  async #onDisk<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await onDisk('keys', work);
    } catch (error) {
      throw this.#removed ? keySetUnknown() : error;
    }
  }

  #requireKey(index: number) {
    const entry = this.request.keys[index];
    if (entry) return entry;
    throw new SottoError('The key set has no key of this index.', {
      code: 'KEY_UNKNOWN',
      facts: { index, keys: this.request.keys.length },
      fix: 'Send the keys of the list that the set was made with.',
    });
  }

  #adopt(index: number, digests: readonly string[]): boolean {
    const sizes = partSizes(this.request.keys[index]?.sizeBytes ?? 0);
    if (sizes.length !== digests.length) return false;
    const known = digests.every((digest, i) => (this.#parts.get(digest)?.sizeBytes ?? sizes[i]) === sizes[i]);
    if (!known) return false;
    digests.forEach((digest, i) => {
      if (!this.#parts.has(digest)) {
        this.#parts.set(digest, new PartFile(join(this.folder, 'parts'), digest, sizes[i]!));
      }
    });
    this.#keys.set(index, digests);
    return true;
  }

  async #count(index: number): Promise<void> {
    for (const digest of this.#keys.get(index)!) if (!(await this.part(digest).complete())) return;
    this.#complete.add(index);
  }

  /** Removes a part that no other key has. */
  async #drop(digest: string): Promise<void> {
    const holders = [...this.#keys.values()].filter((digests) => digests.includes(digest)).length;
    if (holders > 1) return;
    await this.#parts.get(digest)?.remove();
    this.#parts.delete(digest);
  }
}

/** Alike for a set that does not exist, one that was removed and one of somebody else. */
export const keySetUnknown = (): SottoError =>
  new SottoError('You have no such key set.', {
    code: 'KEYSET_UNKNOWN',
    fix: 'See `sotto keys list`, or send the keys again.',
  });

function incomplete(missing: number): SottoError {
  return new SottoError('Keys of the set are missing.', {
    code: 'KEYSET_INCOMPLETE',
    facts: { missing },
    fix: 'Send the missing keys, then name the set.',
  });
}
