import { randomBytes, SottoError } from '@sotto/base';
import type { SessionRequest } from '@sotto/protocol';
import type { EngineOptions, StartEngine } from '../engine/port.js';
import type { Logger } from '../log.js';
import type { Job } from './job.js';
import { Session } from './session.js';

export interface SessionStoreOptions {
  readonly startEngine: StartEngine;
  readonly engine: Omit<EngineOptions, 'refresh' | 'parameters'>;
  readonly modelDigest: string;
  readonly allowInsecure: boolean;
  /** Each session holds its keys in memory, so there are few. */
  readonly maxSessions: number;
  /** A session that nobody uses for this long is closed. */
  readonly idleTimeoutMs: number;
  readonly log: Logger;
}

const hex = (sizeBytes: number) => Buffer.from(randomBytes(sizeBytes)).toString('hex');

/** All open sessions. */
export class SessionStore {
  readonly #options: SessionStoreOptions;
  readonly #sessions = new Map<string, Session>();
  readonly #reaper: NodeJS.Timeout;
  #starting = 0;
  #stopping = false;

  constructor(options: SessionStoreOptions) {
    this.#options = options;
    this.#reaper = setInterval(() => this.#reap(), Math.min(60_000, options.idleTimeoutMs));
    this.#reaper.unref();
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** @throws `MODEL_MISMATCH`, `PARAMETERS_INSECURE`, `SERVER_BUSY`, `SERVER_STOPPING` and the engine's errors. */
  async open(request: SessionRequest): Promise<Session> {
    const { modelDigest, maxSessions, allowInsecure, log } = this.#options;
    if (this.#stopping) {
      throw new SottoError('The server is stopping.', { code: 'SERVER_STOPPING', retryable: true });
    }
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
    if (this.#sessions.size + this.#starting >= maxSessions) {
      throw new SottoError('The server has as many sessions as it can hold.', {
        code: 'SERVER_BUSY',
        facts: { sessions: maxSessions },
        fix: 'Close a session or try again later.',
        retryable: true,
      });
    }
    this.#starting++;
    try {
      const { refresh, parameters } = request;
      const engine = await this.#options.startEngine({ ...this.#options.engine, refresh, parameters });
      const session = new Session({ id: hex(16), token: hex(32), modelDigest, refresh }, engine);
      this.#sessions.set(session.id, session);
      log('session opened', {
        session: session.id.slice(0, 8),
        refresh,
        parameters: session.info.parametersName,
      });
      return session;
    } finally {
      this.#starting--;
    }
  }

  /** @throws `SESSION_UNKNOWN` alike for a wrong identifier and a wrong token. */
  get(id: string, token: string): Session {
    const session = this.#sessions.get(id);
    if (session?.authorises(token)) return session;
    throw new SottoError('There is no such session.', {
      code: 'SESSION_UNKNOWN',
      fix: 'Open a session, and send its token with every request.',
    });
  }

  /** @throws `JOB_UNKNOWN` alike for a wrong identifier and a wrong token. */
  findJob(jobId: string, token: string): { session: Session; job: Job } {
    for (const session of this.#sessions.values()) {
      const job = session.job(jobId);
      if (job && session.authorises(token)) return { session, job };
    }
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

  async closeAll(): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#reaper);
    await Promise.all([...this.#sessions.values()].map((session) => this.close(session)));
  }

  #reap(): void {
    for (const session of this.#sessions.values()) {
      if (session.idleMs > this.#options.idleTimeoutMs) void this.close(session);
    }
  }
}
