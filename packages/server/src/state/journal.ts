import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  errorBodySchema,
  parameterChoiceSchema,
  refreshModeSchema,
  sessionSchema,
  sessionStatusSchema,
} from '@sotto/protocol';
import { z } from 'zod';
import { isAbsent, makeFolder, onDisk, readJsonFile, writeDurably } from '../disk.js';

const RECORD = 'session.json';
const identifier = z.string().regex(/^[0-9a-f]{32}$/);
const digest = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.number().int().min(0);

const jobRecordSchema = z.strictObject({
  id: identifier,
  fingerprint: z.string(),
  position: count,
  rows: count,
  state: z.enum(['running', 'done', 'failed', 'cancelled']),
  seconds: z.number(),
  /** How often the job was taken up again. */
  resumed: count,
  status: sessionStatusSchema.optional(),
  error: errorBodySchema.shape.error.optional(),
});
export type JobRecord = z.infer<typeof jobRecordSchema>;

const sessionRecordSchema = z.strictObject({
  version: z.literal(1),
  id: identifier,
  tokenDigest: digest,
  modelDigest: z.string(),
  refresh: refreshModeSchema,
  parameters: parameterChoiceSchema,
  owner: z.string(),
  keySet: identifier,
  description: sessionSchema.pick({
    parametersName: true,
    parametersDigest: true,
    planDigest: true,
    window: true,
    keys: true,
  }),
  /** Planned peak of its engine. */
  memoryBytes: count.default(0),
  publicTokens: z.array(count).nullable(),
  positions: count,
  lastBlock: z.strictObject({ position: count, rows: count }).nullable(),
  droppedRows: count,
  bootstraps: count,
  clientRefreshes: count,
  privateRows: count,
  ciphertextBytes: count,
  messages: count,
  jobs: z.array(jobRecordSchema),
});
export type SessionRecord = z.infer<typeof sessionRecordSchema>;

/**
 * What a session must not forget, in a folder of its own: `session.json` (replaced whole at every change), the blocks and results
 * of its last jobs, the client's answers to refreshes of the running one, and in `engine/` the encrypted state. No content but
 * ciphertexts and public tokens; the session's token is kept as a digest.
 */
export class SessionJournal {
  readonly #folder: string;
  #writing: Promise<unknown> = Promise.resolve();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Where the engine keeps its state. */
  get engineFolder(): string {
    return join(this.#folder, 'engine');
  }

  /** Replaces the record. Calls take effect in order. @throws `STATE_DISK_FULL`, `STATE_DISK`. */
  save(record: SessionRecord): Promise<void> {
    return this.#inOrder(async () => {
      await makeFolder(this.#folder);
      await writeDurably(join(this.#folder, RECORD), JSON.stringify(record));
    });
  }

  /** Keeps a file beside the record. @param kind `block`, `result` or `refresh-<digest>`. */
  put(jobId: string, kind: string, bytes: Uint8Array): Promise<void> {
    return this.#inOrder(async () => {
      await makeFolder(this.#folder);
      await writeDurably(join(this.#folder, `${jobId}.${kind}`), bytes);
    });
  }

  /** Null when there is no such file. */
  get(jobId: string, kind: string): Promise<Uint8Array | null> {
    return onDisk('state', async () => {
      try {
        return await readFile(join(this.#folder, `${jobId}.${kind}`));
      } catch (error) {
        if (isAbsent(error)) return null;
        throw error;
      }
    });
  }

  /** Removes files of jobs that `keep` does not name. */
  forget(keep: (jobId: string, kind: string) => boolean): Promise<void> {
    return this.#inOrder(async () => {
      for (const name of await readdir(this.#folder)) {
        const match = /^([0-9a-f]{32})\.(.+)$/.exec(name);
        if (match && !keep(match[1]!, match[2]!)) await rm(join(this.#folder, name), { force: true });
      }
    });
  }

  /** Removes everything. */
  remove(): Promise<void> {
    return this.#inOrder(() => rm(this.#folder, { recursive: true, force: true }));
  }

  #inOrder<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#writing.then(() => onDisk('state', work));
    this.#writing = done.catch(() => {});
    return done;
  }
}

/** The journals of all sessions in a folder. */
export class Journals {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** @throws `STATE_DISK` when the folder cannot be used. */
  static open(folder: string): Promise<Journals> {
    return onDisk('state', async () => {
      await makeFolder(folder);
      return new Journals(folder);
    });
  }

  of(sessionId: string): SessionJournal {
    return new SessionJournal(join(this.#folder, sessionId));
  }

  /** Records that an earlier run left. A folder without a readable record is removed: nothing can continue from it. */
  async read(): Promise<SessionRecord[]> {
    const records: SessionRecord[] = [];
    for (const id of await onDisk('state', () => readdir(this.#folder))) {
      if (!/^[0-9a-f]{32}$/.test(id)) continue;
      const parsed = sessionRecordSchema.safeParse(await readJsonFile(join(this.#folder, id, RECORD)));
      if (parsed.success && parsed.data.id === id) records.push(parsed.data);
      else await this.of(id).remove();
    }
    return records;
  }
}
