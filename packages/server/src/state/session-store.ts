import { randomBytes, SottoError } from '@sotto/base';
import type { KeyEntry, SessionRequest } from '@sotto/protocol';
import type { Engine, EngineDescription, EngineOptions, StartEngine } from '../engine/port.js';
import { RestartableEngine } from '../engine/restartable-engine.js';
import type { KeyStore } from '../keys/key-store.js';
import type { StoredKeySet } from '../keys/stored-key-set.js';
import type { Logger } from '../log.js';
import type { Job } from './job.js';
import { JobQueue } from './job-queue.js';
import type { Journals, SessionRecord } from './journal.js';
import { Residency } from './residency.js';
import { Session, tokenDigestOf } from './session.js';

export interface SessionStoreOptions {
  readonly startEngine: StartEngine;
  readonly engine: Omit<EngineOptions, 'refresh' | 'parameters'>;
  readonly modelDigest: string;
  readonly allowInsecure: boolean;
  /** Sessions that hold their keys in memory at a time. */
  readonly maxSessions: number;
  /** Memory of all engines together. */
  readonly memoryBudgetBytes: number;
  /** See {@link Residency}. */
  readonly keepMs?: number | undefined;
  /** A session that nobody uses for this long is closed. */
  readonly idleTimeoutMs: number;
  /** Jobs that run at a time; more wait. */
  readonly maxJobs: number;
  /** Key sets that sessions may name; null when keys live in memory only. */
  readonly keyStore: KeyStore | null;
  /** Sessions with stored keys outlive the server when they have journals. */
  readonly journals: Journals | null;
  readonly log: Logger;
}

/** Sessions with stored keys that may wait for memory or be without it, besides those that have it. */
const MOST_ASLEEP = 256;

/** What an engine of some parameters is, known since one of them started. */
interface KnownEngine {
  readonly description: EngineDescription;
  readonly memoryBytes: number;
}

const hex = (sizeBytes: number) => Buffer.from(randomBytes(sizeBytes)).toString('hex');

/** All open sessions. */
export class SessionStore {
  readonly #options: SessionStoreOptions;
  readonly #sessions = new Map<string, Session>();
  readonly #reaper: NodeJS.Timeout;
  readonly queue: JobQueue;
  readonly residency: Residency;
  /** By refresh mode and parameters. */
  readonly #known = new Map<string, Promise<KnownEngine | undefined>>();
  #stopping = false;

  constructor(options: SessionStoreOptions) {
    this.#options = options;
    this.queue = new JobQueue(options.maxJobs);
    const { memoryBudgetBytes: budgetBytes, maxSessions: most, keepMs } = options;
    this.residency = new Residency({ budgetBytes, most, ...(keepMs === undefined ? {} : { keepMs }) });
    this.#reaper = setInterval(() => this.#reap(), Math.min(60_000, options.idleTimeoutMs));
    this.#reaper.unref();
  }

  /** Takes up the sessions that an earlier run of the server left. @throws `STATE_DISK`. */
  async restore(): Promise<void> {
    const { journals, log } = this.#options;
    for (const record of (await journals?.read()) ?? []) {
      const keySet = this.#options.keyStore?.find(record.owner, record.keySet);
      if (record.modelDigest !== this.#options.modelDigest || !keySet?.complete) {
        log('session not restored', { session: record.id.slice(0, 8), keys: keySet?.complete ?? false });
        await journals!.of(record.id).remove();
        continue;
      }
      this.#sessions.set(record.id, this.#restored(record, keySet));
      log('session restored', { session: record.id.slice(0, 8) });
    }
  }

  #restored(record: SessionRecord, keySet: StoredKeySet): Session {
    const { id, modelDigest, refresh, parameters, owner } = record;
    const journal = this.#options.journals!.of(id);
    const start = () =>
      this.#options.startEngine({
        ...this.#options.engine,
        ...{ refresh, parameters, stateFolder: journal.engineFolder },
      });
    const tokenDigest = Buffer.from(record.tokenDigest, 'hex');
    const identity = { id, tokenDigest, modelDigest, refresh, parameters, owner };
    const engine = new RestartableEngine({ ...record, start });
    const { queue, residency } = this;
    const parts = { identity, engine, queue, residency, log: this.#options.log, journal };
    return Session.restore(parts, record, keySet);
  }

  get size(): number {
    return this.#sessions.size;
  }

  /**
   * @param clientToken gives the owner of the key set that the request names; asked for only then.
   * @throws `MODEL_MISMATCH`, `PARAMETERS_INSECURE`, `SERVER_BUSY`, `SERVER_STOPPING`, `KEYS_DISABLED`, `KEYSET_UNKNOWN`,
   *   `KEYSET_INCOMPLETE`, `KEYSET_CONFLICT` and the engine's errors.
   */
  async open(
    request: SessionRequest,
    clientToken: () => string,
  ): Promise<{ session: Session; token: string }> {
    const { modelDigest, maxSessions, allowInsecure, log } = this.#options;
    this.requireRunning();
    if (request.modelDigest !== modelDigest) {
      throw new SottoError('The client has another model than the server.', {
        code: 'MODEL_MISMATCH',
        facts: { client: request.modelDigest, server: modelDigest },
        fix: 'Give both sides the same model file.',
      });
    }
    if (request.parameters !== 'secure' && !allowInsecure) {
      throw new SottoError('This server refuses insecure parameters.', {
        code: 'PARAMETERS_INSECURE',
        facts: { asked: request.parameters },
        fix: 'Use the secure parameters, or start the server with --allow-insecure for tests.',
      });
    }
    const keySet = request.keySet === undefined ? undefined : this.#keySet(clientToken(), request.keySet);
    if (keySet ? this.#sessions.size >= maxSessions + MOST_ASLEEP : !this.residency.mayHaveRoom) {
      throw busy(maxSessions);
    }
    const { refresh, parameters } = request;
    const id = hex(16);
    const token = hex(32);
    const journal = keySet ? this.#options.journals?.of(id) : undefined;
    const engine = await this.#engineOf(`${refresh} ${parameters}`, () =>
      this.#options.startEngine({
        ...this.#options.engine,
        ...{ refresh, parameters },
        ...(journal ? { stateFolder: journal.engineFolder } : {}),
      }),
    );
    const owner = keySet?.owner ?? id;
    const tokenDigest = tokenDigestOf(token);
    const identity = { id, tokenDigest, modelDigest, refresh, parameters, owner };
    const { queue, residency } = this;
    const session = new Session({
      ...{ identity, engine, queue, residency, log },
      ...(journal ? { journal } : {}),
    });
    try {
      this.requireRunning();
      if (keySet && !fits(keySet, session.info)) {
        throw new SottoError('The key set was made for other parameters or another plan.', {
          code: 'KEYSET_CONFLICT',
          fix: 'Send keys for the model of this server.',
        });
      }
      residency.requireFit(engine.memoryBytes);
      if (keySet) await session.useKeySet(keySet);
      else if (!(await session.enter())) throw busy(maxSessions);
      this.requireRunning();
    } catch (error) {
      await session.close();
      throw error;
    }
    this.#sessions.set(session.id, session);
    log('session opened', {
      session: session.id.slice(0, 8),
      refresh,
      parameters: session.info.parametersName,
    });
    return { session, token };
  }

  /** An engine that has started if it is the first of its kind; what the others are is known then. */
  async #engineOf(kind: string, start: () => Promise<Engine>): Promise<RestartableEngine> {
    const pending = this.#known.get(kind);
    const known = pending && (await pending);
    if (known) return new RestartableEngine({ ...known, start });
    const starting = start();
    this.#known.set(
      kind,
      starting.then(
        ({ description, memoryBytes = 0 }) => ({ description, memoryBytes }),
        () => undefined,
      ),
    );
    const running = await starting;
    return new RestartableEngine({
      description: running.description,
      memoryBytes: running.memoryBytes ?? 0,
      start,
      running,
    });
  }

  /** @throws `SESSION_UNKNOWN` alike for a wrong identifier and a wrong token; `SERVER_STOPPING`. */
  get(id: string, token: string): Session {
    const session = this.#sessions.get(id);
    if (session?.authorises(token)) return session;
    // A session that was suspended is not unknown: it is back when the server is.
    this.requireRunning();
    throw new SottoError('There is no such session.', {
      code: 'SESSION_UNKNOWN',
      fix: 'Open a session, and send its token with every request.',
    });
  }

  /** @throws `JOB_UNKNOWN` alike for a wrong identifier and a wrong token; `SERVER_STOPPING`. */
  findJob(jobId: string, token: string): { session: Session; job: Job } {
    for (const session of this.#sessions.values()) {
      const job = session.job(jobId);
      if (job && session.authorises(token)) return { session, job };
    }
    this.requireRunning();
    throw new SottoError('There is no such job.', {
      code: 'JOB_UNKNOWN',
      fix: 'Results are kept for the last few blocks of an open session.',
    });
  }

  async close(session: Session): Promise<void> {
    this.#sessions.delete(session.id);
    await session.close();
    this.#options.log('session closed', { session: session.id.slice(0, 8) });
  }

  /** @throws `SERVER_STOPPING` once the server is to end. */
  requireRunning(): void {
    if (!this.#stopping) return;
    throw new SottoError('The server is stopping.', {
      code: 'SERVER_STOPPING',
      fix: 'Try again when it runs again.',
      retryable: true,
    });
  }

  /** Takes no new work, gives running blocks `graceMs` to end, then suspends those that can go on later and cancels the others. */
  async closeAll(graceMs = 0): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#reaper);
    const endMs = performance.now() + graceMs;
    while (performance.now() < endMs && [...this.#sessions.values()].some((session) => session.working)) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const end = async (session: Session) => {
      if (!(await session.suspend())) await this.close(session);
    };
    await Promise.all([...this.#sessions.values()].map(end));
    this.#sessions.clear();
  }

  #keySet(clientToken: string, id: string): StoredKeySet {
    const { keyStore } = this.#options;
    if (!keyStore) {
      throw new SottoError('This server keeps no keys.', {
        code: 'KEYS_DISABLED',
        fix: 'Send the keys to the session, or start the server with --keys DIR.',
      });
    }
    const set = keyStore.get(clientToken, id);
    set.requireComplete();
    return set;
  }

  #reap(): void {
    for (const session of this.#sessions.values()) {
      if (session.idleMs > this.#options.idleTimeoutMs) void this.close(session);
    }
  }
}

const busy = (sessions: number) =>
  new SottoError('The server has as many sessions as it can hold.', {
    code: 'SERVER_BUSY',
    facts: { sessions },
    fix: 'Close a session or try again later.',
    retryable: true,
  });

/** Keys of a set are for exactly this session. */
function fits({ request }: StoredKeySet, info: Session['info']): boolean {
  const list = (keys: readonly KeyEntry[]) => keys.map(({ id, sizeBytes }) => `${id}:${sizeBytes}`).join();
  return (
    request.parametersDigest === info.parametersDigest &&
    request.planDigest === info.planDigest &&
    request.modelDigest === info.modelDigest &&
    request.refresh === info.refresh &&
    list(request.keys) === list(info.keys)
  );
}
