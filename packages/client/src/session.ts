import { type ProgressListener, ProgressMeter, SottoError } from '@sotto/base';
import { withPublicPrefix } from '@sotto/engine';
import {
  decodeRows,
  encodeRows,
  errorFromBody,
  jobCreatedSchema,
  type KeySetRequest,
  keyStoredSchema,
  keysLoadedSchema,
  type ModelInfo,
  modelInfoSchema,
  type ParameterChoice,
  PROTOCOL_VERSION,
  publicStoredSchema,
  type RefreshMode,
  type SessionInfo,
  type SessionStatus,
  sessionSchema,
  sessionStatusSchema,
} from '@sotto/protocol';
import { Answering, type AnswerToken, type DraftCounts } from './answering.js';
import { type Call, Connection, type ConnectionOptions, frameBody } from './connection.js';
import type { Drafting } from './draft/block-plan.js';
import type { ClientKey } from './key-file.js';
import { keySetIdOf, uploadKeySet } from './key-upload.js';
import { createPrivateSide } from './llama-private-side.js';
import { type LocalModel, loadLocalModel } from './local-model.js';
import type { CreatePrivateSide, PrivateSide, RingFacts } from './private-side.js';
import { type PromptTexts, tokenizePrompt } from './prompt.js';

export interface SessionOptions extends ConnectionOptions {
  /** The client's copy of the model; the embedded one when absent. */
  readonly model?: LocalModel;
  /** Calibration file of the model, the same as the server's; the one at hand when absent. */
  readonly calibrationPath?: string | undefined;
  /** Who restores levels, default `bootstrap`. `client` shows intermediate values to the client: for open weights only. */
  readonly refresh?: RefreshMode;
  /** Default `secure`. */
  readonly parameters?: ParameterChoice;
  /** Kernels of the client: `native`, `wasm` or `auto` (default). */
  readonly backend?: string;
  readonly threads?: number;
  readonly onProgress?: ProgressListener;
  readonly signal?: AbortSignal;
  /** A key that outlives the session: its key set stays at a server that keeps keys, and is made and sent only once. */
  readonly key?: ClientKey;
  /** Replaces what encrypts and decrypts. */
  readonly createPrivateSide?: CreatePrivateSide;
}

export interface Question extends PromptTexts {
  /** Largest number of answer tokens. */
  readonly maxTokens: number;
  /** Tokens of the answer that are already known, e.g. from another session; they are as private as the rest. */
  readonly after?: readonly number[];
  /** Run the clear model beside the encrypted one and report differences. */
  readonly compare?: boolean;
  /** Guess the answer and have several guesses checked in one pass; the answer stays the same. */
  readonly drafting?: Drafting;
  readonly onProgress?: ProgressListener;
  readonly signal?: AbortSignal;
}

/** What a session cost so far. */
export interface SessionCosts {
  readonly seconds: { readonly keygen: number; readonly upload: number };
  readonly bytes: { readonly keysUp: number; readonly up: number; readonly down: number };
}

const KEYS_POLL_MS = 100;
/** Stored keys that turn out damaged are replaced this often. */
const KEY_REPAIRS = 2;
const LOOPBACK_BYTES_PER_MS = 200_000;
const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/**
 * A private conversation with one server. The secret key lives in this object alone.
 *
 * ```ts
 * const session = await Session.connect('http://127.0.0.1:8417');
 * for await (const { text } of session.ask({ publicText: 'Once upon a time', privateText: 'there was a fox', maxTokens: 8 })) {
 *   process.stdout.write(text);
 * }
 * await session.close();
 * ```
 */
export class Session {
  readonly model: LocalModel;
  readonly server: ModelInfo;
  readonly info: SessionInfo;
  readonly #connection: Connection;
  readonly #private: PrivateSide;
  #keygenMs = 0;
  #uploadMs = 0;
  #keyBytesUp = 0;
  #answering: Answering | undefined;
  #asked = false;
  #busy = false;

  private constructor(
    connection: Connection,
    model: LocalModel,
    server: ModelInfo,
    info: SessionInfo,
    privateSide: PrivateSide,
  ) {
    this.#connection = connection;
    this.model = model;
    this.server = server;
    this.info = info;
    this.#private = privateSide;
  }

  /**
   * Opens a session: checks that both sides have the same model, parameters and plan, makes the keys and sends them one by one.
   *
   * @throws `SERVER_UNREACHABLE`, `MODEL_MISMATCH`, `PARAMETERS_MISMATCH`, `PLAN_MISMATCH` and the server's errors.
   */
  static async connect(url: string, options: SessionOptions = {}): Promise<Session> {
    const { refresh = 'bootstrap', parameters = 'secure', signal } = options;
    const connection = new Connection(url, options);
    const model = options.model ?? (await loadLocalModel());
    const server = await connection.json(modelInfoSchema, 'model description', {
      method: 'GET',
      path: '/v1/model',
      signal,
      repeatable: true,
    });
    if (server.modes && !server.modes.includes('fhe')) {
      throw new SottoError('The server does not compute on ciphertexts.', {
        code: 'MODE_UNSUPPORTED',
        facts: { modes: server.modes.join(', ') },
        fix: 'Ask another server, or start this one with --mode fhe.',
      });
    }
    if (server.digest !== model.weights.digest) {
      throw new SottoError('The server has another model than the client.', {
        code: 'MODEL_MISMATCH',
        facts: { client: model.weights.digest, server: server.digest },
        fix: 'Give both sides the same model file.',
      });
    }
    const create = options.createPrivateSide ?? createPrivateSide;
    const { backend = 'auto', threads = 1 } = options;
    const { key } = options;
    const secret = key?.secret;
    const privateSide = await create({
      model,
      calibrationPath: options.calibrationPath,
      refresh,
      parameters,
      backend,
      threads,
      secret,
    });
    try {
      if (key && secret === undefined) await key.keep?.(privateSide.exportSecret());
      const request = { protocol: PROTOCOL_VERSION, modelDigest: model.weights.digest, refresh, parameters };
      const open = async (call: Pick<Call, 'body' | 'headers'>) => {
        const info = await connection.json(sessionSchema, 'session', {
          method: 'POST',
          path: '/v1/sessions',
          signal,
          ...call,
        });
        connection.authorise(info.token);
        const session = new Session(connection, model, server, info, privateSide);
        return session.#prepared(async () => {
          requireSame(
            'PARAMETERS_MISMATCH',
            'parameters',
            privateSide.parametersDigest,
            info.parametersDigest,
          );
          requireSame('PLAN_MISMATCH', 'plan', privateSide.planDigest, info.planDigest);
          requireSame('PLAN_MISMATCH', 'key list', keyListOf(privateSide), keyListOf(info));
          if (call.headers) await session.#awaitKeys(options.onProgress, signal);
          else await session.#sendKeys(options.onProgress, signal);
        });
      };
      if (!key || !server.keyStore) return await open({ body: { json: request } });
      return await withStoredKeys(connection, key.token, privateSide, { ...options, ...request }, (keySet) =>
        open({
          body: { json: { ...request, keySet } },
          headers: { authorization: `Bearer ${key.token}` },
        }),
      );
    } catch (error) {
      privateSide.dispose();
      throw error;
    }
  }

  get ring(): RingFacts {
    return this.#private.ring;
  }

  get costs(): SessionCosts {
    const { upBytes, downBytes } = this.#connection.traffic;
    return {
      seconds: { keygen: this.#keygenMs / 1000, upload: this.#uploadMs / 1000 },
      bytes: { keysUp: this.#keyBytesUp, up: upBytes - this.#keyBytesUp, down: downBytes },
    };
  }

  /** @internal Adds what keys cost before the session was opened. */
  countKeys(costs: { readonly keygenMs: number; readonly uploadMs: number; readonly bytesUp: number }): void {
    this.#keygenMs += costs.keygenMs;
    this.#uploadMs += costs.uploadMs;
    this.#keyBytesUp += costs.bytesUp;
  }

  /** What drafting gave in the latest answer. */
  get draftCounts(): DraftCounts {
    return this.#answering?.counts ?? { passes: 0, drafted: 0, accepted: 0 };
  }

  /** What the server counts. */
  status(): Promise<SessionStatus> {
    return this.#connection.json(sessionStatusSchema, 'session status', {
      method: 'GET',
      path: this.#path(),
      repeatable: true,
    });
  }

  /**
   * Asks one question and yields the answer's tokens, greedily chosen. A later question starts afresh with the same keys.
   *
   * @throws `PROMPT_PRIVATE_EMPTY`, `PROMPT_TOO_LONG`, `SESSION_BUSY`, the tokenizer's and the server's errors.
   */
  async *ask(question: Question): AsyncGenerator<AnswerToken, void, undefined> {
    const { maxTokens, signal, after = [] } = question;
    const prompt = tokenizePrompt(this.model.tokenizer, question);
    const publicTokens = withPublicPrefix(this.#private.publicPrefix, prompt.publicTokens);
    const privateTokens = [...prompt.privateTokens, ...after];
    this.#requireRoom(publicTokens.length, privateTokens.length, maxTokens);
    if (this.#busy) {
      throw new SottoError('The session is answering another question.', {
        code: 'SESSION_BUSY',
        fix: 'Finish the first answer, or open a second session.',
      });
    }
    this.#busy = true;
    try {
      if (this.#asked) await this.#connection.empty({ method: 'POST', path: this.#path('/reset'), signal });
      this.#asked = true;
      const startMs = performance.now();
      await this.#sendPublic(publicTokens, signal);
      this.#answering = new Answering({
        model: this.model,
        prompt: { publicTokens, privateTokens },
        maxTokens,
        compare: question.compare ?? false,
        drafting: question.drafting,
        startMs,
        window: this.info.window,
        knows: (token) => this.#private.knows(token),
        run: (tokens, position) => this.#runBlock(tokens, position, question),
      });
      yield* this.#answering.tokens();
    } finally {
      this.#busy = false;
    }
  }

  /** Ends the session at the server and overwrites the secret key. */
  async close(): Promise<void> {
    this.#private.dispose();
    await this.#connection.empty({ method: 'DELETE', path: this.#path() });
  }

  #path(rest = ''): string {
    return `/v1/sessions/${this.info.sessionId}${rest}`;
  }

  #requireRoom(publicTokens: number, privateTokens: number, maxTokens: number): void {
    if (!Number.isSafeInteger(maxTokens) || maxTokens < 1) {
      throw new SottoError('At least one answer token must be asked for.', {
        code: 'PROMPT_TOKENS',
        facts: { maxTokens },
        fix: 'Ask for 1 or more tokens.',
      });
    }
    const { window } = this.info;
    const encrypted = privateTokens + maxTokens - 1;
    const fits =
      publicTokens <= window.publicTokens &&
      encrypted <= window.privateTokens &&
      publicTokens + encrypted <= window.positions;
    if (fits) return;
    throw new SottoError('Prompt and answer are longer than the window.', {
      code: 'PROMPT_TOO_LONG',
      facts: {
        publicTokens,
        largestPublic: window.publicTokens,
        privateTokens,
        maxTokens,
        largestPrivateWithAnswer: window.privateTokens + 1,
        positions: window.positions,
      },
      fix: 'Shorten the prompt or ask for fewer tokens.',
    });
  }

  /** Closes the session at the server again when its preparation fails; the secret stays for another try. */
  async #prepared(prepare: () => Promise<void>): Promise<Session> {
    try {
      await prepare();
      return this;
    } catch (error) {
      await this.#connection.empty({ method: 'DELETE', path: this.#path() }).catch(() => {});
      throw error;
    }
  }

  /** Waits until the server has the keys of a stored set in memory. @throws `KEYS_DAMAGED`. */
  async #awaitKeys(onProgress: ProgressListener | undefined, signal: AbortSignal | undefined): Promise<void> {
    const meter = new ProgressMeter('keys at the server', this.info.keys.length, 'keys', onProgress);
    let seen = 0;
    for (;;) {
      const { loaded, total } = await this.#connection.json(keysLoadedSchema, 'state of the keys', {
        method: 'GET',
        path: this.#path('/keys'),
        signal,
        repeatable: true,
      });
      if (loaded > seen) meter.advance(loaded - seen, 'read from disk');
      seen = loaded;
      if (loaded >= total) return;
      await pause(KEYS_POLL_MS);
    }
  }

  /** One key is in memory at a time while the one before it is on its way. */
  async #sendKeys(onProgress: ProgressListener | undefined, signal: AbortSignal | undefined): Promise<void> {
    const total = this.info.keys.reduce((sum, key) => sum + key.sizeBytes, 0);
    const meter = new ProgressMeter('keys', total, 'bytes', onProgress);
    const startMs = performance.now();
    let sending: Promise<void> = Promise.resolve();
    for (const { index, id, sizeBytes } of this.info.keys) {
      signal?.throwIfAborted();
      const keyStartMs = performance.now();
      const key = this.#private.makeKey(index);
      this.#keygenMs += performance.now() - keyStartMs;
      await sending;
      const before = this.#connection.traffic.upBytes;
      sending = this.#connection
        .json(keyStoredSchema, 'key receipt', {
          method: 'PUT',
          path: this.#path(`/keys/${index}`),
          body: frameBody('key', index, key),
          signal,
          repeatable: true,
        })
        .then(() => {
          this.#keyBytesUp += this.#connection.traffic.upBytes - before;
          meter.advance(sizeBytes, id);
        });
      // A failure surfaces at the next await; until then it is not unhandled.
      sending.catch(() => {});
      // Making a key keeps this thread busy: let the one before it leave first, so that the server works meanwhile.
      await Promise.race([sending.catch(() => {}), pause(10 + key.length / LOOPBACK_BYTES_PER_MS)]);
    }
    await sending;
    this.#uploadMs = performance.now() - startMs - this.#keygenMs;
  }

  async #sendPublic(tokens: readonly number[], signal: AbortSignal | undefined): Promise<void> {
    await this.#connection.json(publicStoredSchema, 'public receipt', {
      method: 'POST',
      path: this.#path('/public'),
      body: { json: { tokens } },
      signal,
      repeatable: true,
    });
  }

  /** Sends tokens as encrypted rows of one block and gives their hidden rows. */
  async #runBlock(
    tokens: readonly number[],
    position: number,
    question: Question,
  ): Promise<readonly Float64Array[]> {
    const { signal } = question;
    const ciphertexts = this.#private.encryptRows(tokens, position);
    const payload = encodeRows({ position, rows: tokens.length, ciphertexts });
    const { jobId } = await this.#connection.json(jobCreatedSchema, 'job', {
      method: 'POST',
      path: this.#path('/blocks'),
      body: frameBody('block', position, payload),
      signal,
      repeatable: true,
      patient: true,
    });
    const stop = () => {
      // The question is given up: so that the server does not compute on for nobody.
      this.#connection.empty({ method: 'DELETE', path: `/v1/jobs/${jobId}` }).catch(() => {});
    };
    signal?.addEventListener('abort', stop, { once: true });
    try {
      await this.#follow(jobId, question);
    } finally {
      signal?.removeEventListener('abort', stop);
    }
    const result = await this.#connection.frame('result', position, {
      method: 'GET',
      path: `/v1/jobs/${jobId}/result`,
      signal,
      repeatable: true,
      patient: true,
    });
    const rows = decodeRows(result);
    if (rows.position !== position || rows.rows !== tokens.length) {
      throw new SottoError('The result is for other rows than were sent.', {
        code: 'RESULT_MISMATCH',
        facts: { position: rows.position, rows: rows.rows, expected: tokens.length },
        fix: 'Open a new session.',
      });
    }
    return this.#private.decryptRows(rows.ciphertexts, rows.rows);
  }

  /** Passes on progress and answers refreshes until the job is done. */
  async #follow(jobId: string, { signal, onProgress }: Question): Promise<void> {
    let refreshes = 0;
    for await (const event of this.#connection.events(jobId, signal)) {
      if (event.type === 'progress') {
        const { remainingMs, ...rest } = event.progress;
        onProgress?.(remainingMs === undefined ? rest : { ...rest, remainingMs });
      } else if (event.type === 'refresh') {
        if (++refreshes > this.#private.largestRefreshes) {
          throw new SottoError('The server asked for more refreshes than the plan of the block has.', {
            code: 'REFRESH_LIMIT',
            facts: { limit: this.#private.largestRefreshes },
            fix: 'Do not trust this server; open a session with another one.',
          });
        }
        await this.#answerRefresh(jobId, event.refreshId, signal).catch((error) => {
          // A server that was restarted meanwhile asks again, under another number.
          if (!SottoError.is(error) || error.code !== 'REFRESH_UNKNOWN') throw error;
        });
      } else if (event.type === 'failed') {
        throw errorFromBody({ error: event.error });
      }
    }
  }

  async #answerRefresh(jobId: string, refreshId: number, signal: AbortSignal | undefined): Promise<void> {
    if (this.info.refresh !== 'client') {
      throw new SottoError('The server asked for a refresh that this session does not give.', {
        code: 'REFRESH_REFUSED',
        fix: 'Open the session with client refresh, or use another server.',
      });
    }
    const path = `/v1/jobs/${jobId}/refresh/${refreshId}`;
    const asked = await this.#connection.frame('refreshRequest', refreshId, {
      method: 'GET',
      path,
      signal,
      repeatable: true,
      patient: true,
    });
    await this.#connection.empty({
      method: 'PUT',
      path,
      body: frameBody('refreshReply', refreshId, this.#private.refresh(asked)),
      signal,
      repeatable: true,
      patient: true,
    });
  }
}

/** Brings the keys that the server lacks to it, then opens a session with them; damaged ones are made and sent again. */
async function withStoredKeys(
  connection: Connection,
  clientToken: string,
  privateSide: PrivateSide,
  options: SessionOptions & Pick<KeySetRequest, 'refresh' | 'modelDigest'>,
  open: (keySet: string) => Promise<Session>,
): Promise<Session> {
  const { modelDigest, refresh, onProgress, signal } = options;
  const { parametersDigest, planDigest, keys, ring } = privateSide;
  const { parametersName } = ring;
  const request = { modelDigest, refresh, parametersName, parametersDigest, planDigest, keys: [...keys] };
  const id = keySetIdOf(privateSide.secretId, request);
  const costs = { keygenMs: 0, uploadMs: 0, bytesUp: 0 };
  for (let repairs = 0; ; repairs++) {
    const startMs = performance.now();
    const upload = { onProgress, signal };
    const { keygenMs, bytesUp } = await uploadKeySet(
      connection,
      clientToken,
      id,
      request,
      privateSide,
      upload,
    );
    costs.keygenMs += keygenMs;
    costs.bytesUp += bytesUp;
    costs.uploadMs += performance.now() - startMs - keygenMs;
    try {
      const session = await open(id);
      session.countKeys(costs);
      return session;
    } catch (error) {
      const damaged = SottoError.is(error) && ['KEYS_DAMAGED', 'KEYSET_INCOMPLETE'].includes(error.code);
      if (!damaged || repairs >= KEY_REPAIRS) throw error;
    }
  }
}

const keyListOf = ({ keys }: Pick<SessionInfo, 'keys'> | PrivateSide) =>
  keys.map((key) => `${key.index}=${key.id}:${key.sizeBytes}`).join(',');

function requireSame(code: string, what: string, own: string, theirs: string): void {
  if (own === theirs) return;
  throw new SottoError(`The server has another ${what} than the client made from the same model.`, {
    code,
    facts: { client: own.slice(0, 200), server: theirs.slice(0, 200) },
    fix: 'Use the same Sotto version and the same model at both sides.',
  });
}
