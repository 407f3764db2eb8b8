import { type ProgressListener, SottoError } from '@sotto/base';
import { withPublicPrefix } from '@sotto/engine';
import {
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
  type Window,
} from '@sotto/protocol';
import { requireSameModel, requireSamePlan } from './agreement.js';
import { Answering, type AnswerToken, type DraftCounts } from './answering.js';
import { runBlock } from './block-job.js';
import { type Call, Connection, type ConnectionOptions } from './connection.js';
import type { Drafting } from './draft/block-plan.js';
import type { ClientKey } from './key-file.js';
import { createPrivateSide } from './llama-private-side.js';
import { type LocalModel, loadLocalModel } from './local-model.js';
import type { CreatePrivateSide, PrivateSide, RingFacts } from './private-side.js';
import { type Prompt, type PromptTexts, tokenizePrompt } from './prompt.js';
import { awaitSessionKeys, type KeyCosts, sendSessionKeys, withStoredKeys } from './session-keys.js';

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
  /** The first question, where it is known: one that cannot be asked is refused before keys are made for it. */
  readonly firstQuestion?: Question;
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
  readonly #keyCosts: KeyCosts;
  #answering: Answering | undefined;
  #asked = false;
  #busy = false;

  private constructor(
    connection: Connection,
    model: LocalModel,
    server: ModelInfo,
    info: SessionInfo,
    privateSide: PrivateSide,
    keyCosts: KeyCosts,
  ) {
    this.#connection = connection;
    this.model = model;
    this.server = server;
    this.info = info;
    this.#private = privateSide;
    this.#keyCosts = keyCosts;
  }

  /**
   * Opens a session: checks that both sides have the same model, parameters and plan, makes the keys and sends them one by one.
   *
   * @throws `SERVER_UNREACHABLE`, `MODEL_MISMATCH`, `PARAMETERS_MISMATCH`, `PLAN_MISMATCH`, those of {@link ask} for a first question,
   *   and the server's errors.
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
    requireSameModel(server, model.weights.digest);
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
      if (options.firstQuestion) promptOf(options.firstQuestion, model, privateSide);
      if (key && secret === undefined) await key.keep?.(privateSide.exportSecret());
      const request = { protocol: PROTOCOL_VERSION, modelDigest: model.weights.digest, refresh, parameters };
      const open = async (call: Pick<Call, 'body' | 'headers'>, stored?: KeyCosts) => {
        const info = await connection.json(sessionSchema, 'session', {
          method: 'POST',
          path: '/v1/sessions',
          signal,
          ...call,
        });
        connection.authorise(info.token);
        try {
          requireSamePlan(privateSide, info);
          if (stored) await awaitSessionKeys(connection, info, options);
          const costs = stored ?? (await sendSessionKeys(connection, info, privateSide, options));
          return new Session(connection, model, server, info, privateSide, costs);
        } catch (error) {
          // The secret stays for another try; the session at the server does not.
          await connection
            .empty({ method: 'DELETE', path: `/v1/sessions/${info.sessionId}` })
            .catch(() => {});
          throw error;
        }
      };
      if (!key || !server.keyStore) return await open({ body: { json: request } });
      const headers = { authorization: `Bearer ${key.token}` };
      return await withStoredKeys(connection, key.token, privateSide, request, options, (keySet, costs) =>
        open({ body: { json: { ...request, keySet } }, headers }, costs),
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
    const { keygenMs, uploadMs, bytesUp } = this.#keyCosts;
    return {
      seconds: { keygen: keygenMs / 1000, upload: uploadMs / 1000 },
      bytes: { keysUp: bytesUp, up: upBytes - bytesUp, down: downBytes },
    };
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
   * @throws `PROMPT_PRIVATE_EMPTY`, `PROMPT_TOO_LONG`, `ENGINE_TOKEN_UNCALIBRATED`, `SESSION_BUSY`, the tokenizer's and the server's errors.
   */
  async *ask(question: Question): AsyncGenerator<AnswerToken, void, undefined> {
    const { maxTokens, signal } = question;
    const { window } = this.#private;
    const prompt = promptOf(question, this.model, this.#private);
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
      await this.#sendPublic(prompt.publicTokens, signal);
      this.#answering = new Answering({
        model: this.model,
        prompt,
        maxTokens,
        compare: question.compare ?? false,
        drafting: question.drafting,
        startMs,
        window,
        knows: (token) => this.#private.knows(token),
        run: (tokens, position) =>
          runBlock(
            {
              connection: this.#connection,
              privateSide: this.#private,
              session: this.info,
              onProgress: inBlock(question.onProgress, prompt, position, window.blockRows),
              signal,
            },
            tokens,
            position,
          ),
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

  async #sendPublic(tokens: readonly number[], signal: AbortSignal | undefined): Promise<void> {
    await this.#connection.json(publicStoredSchema, 'public receipt', {
      method: 'POST',
      path: this.#path('/public'),
      body: { json: { tokens } },
      signal,
      repeatable: true,
    });
  }
}

/** The tokens of a question, checked against the window and what calibration has met. */
function promptOf(
  question: Question,
  model: LocalModel,
  privateSide: Pick<PrivateSide, 'publicPrefix' | 'window' | 'requireKnown'>,
): Prompt {
  const { maxTokens, after = [] } = question;
  const prompt = tokenizePrompt(model.tokenizer, question);
  const publicTokens = withPublicPrefix(privateSide.publicPrefix, prompt.publicTokens);
  const privateTokens = [...prompt.privateTokens, ...after];
  requireRoom(privateSide.window, publicTokens.length, privateTokens.length, maxTokens);
  privateSide.requireKnown(privateTokens);
  return { publicTokens, privateTokens };
}

function requireRoom(window: Window, publicTokens: number, privateTokens: number, maxTokens: number): void {
  if (!Number.isSafeInteger(maxTokens) || maxTokens < 1) {
    throw new SottoError('At least one answer token must be asked for.', {
      code: 'PROMPT_TOKENS',
      facts: { maxTokens },
      fix: 'Ask for 1 or more tokens.',
    });
  }
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

/** Says which block of the prompt the progress is about, where a prompt has several. */
function inBlock(
  listener: ProgressListener | undefined,
  { publicTokens, privateTokens }: Prompt,
  position: number,
  blockRows: number,
): ProgressListener | undefined {
  const blocks = Math.ceil(privateTokens.length / blockRows);
  const row = position - publicTokens.length;
  if (listener === undefined || blocks === 1 || row >= privateTokens.length) return listener;
  const block = Math.floor(row / blockRows) + 1;
  return (event) => listener({ ...event, label: `block ${block}/${blocks}, ${event.label}` });
}
