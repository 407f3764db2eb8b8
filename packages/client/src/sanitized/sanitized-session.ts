import { ByteWriter, SottoError } from '@sotto/base';
import type { ModelFiles, Tokenizer } from '@sotto/model';
import {
  Desanitizer,
  type Receipt,
  type Sanitizer,
  type SanitizerTimes,
  type Substitution,
} from '@sotto/privacy';
import {
  type AnswerEvent,
  answerEventSchema,
  errorFromBody,
  type ModelInfo,
  modelInfoSchema,
  PROTOCOL_VERSION,
} from '@sotto/protocol';
import { Connection, type ConnectionOptions } from '../connection.js';
import { messageTokens } from '../prompt.js';
import {
  joinParts,
  placesIn,
  requirePrivateText,
  requireTokens,
  type SanitizedQuestion,
  streamMismatch,
} from './question.js';
import { embeddingsOf, tokenizerOfServer } from './server-tokenizer.js';

export interface SanitizedSessionOptions extends ConnectionOptions {
  readonly sanitizer: Sanitizer;
  /** Where the tokenizer is; the embedded model's when absent. */
  readonly files?: ModelFiles;
  /**
   * What travels: tokens, or their embeddings, for which the weights are read here. The table of embeddings is public, so embeddings tell
   * exactly what tokens tell; they take two hundred times the room. Default `tokens`.
   */
  readonly wire?: 'tokens' | 'embeddings';
  readonly signal?: AbortSignal;
}

/** A question that was sanitized and paid for, and has not left yet. */
export interface PreparedQuestion {
  /** All of the prompt as the server will read it. */
  readonly sent: string;
  readonly tokens: readonly number[];
  readonly maxTokens: number;
  readonly receipt: Receipt;
  readonly times: SanitizerTimes;
  /** Secret: holds the user's words. */
  readonly substitutions: readonly Substitution[];
}

/** A part of the answer with the user's own words; empty while a substitute may still be growing. */
export interface SanitizedPiece {
  readonly text: string;
  readonly tokens: readonly number[];
}

/** What an answer cost. */
export interface SanitizedSummary {
  readonly reason: 'end' | 'length';
  readonly promptTokens: number;
  readonly answerTokens: number;
  /** The answer as it came: about the replaced words. */
  readonly answerAsSent: string;
  readonly seconds: {
    /** From sending to the first token, and to the last. */
    readonly firstToken: number;
    readonly total: number;
    /** At the server: waiting, computing. */
    readonly queue: number;
    readonly model: number;
    /** Here: replacing words, writing the ledger, putting words back. */
    readonly sanitize: number;
    readonly ledger: number;
    readonly restore: number;
  };
  /** Words of the user that were put back, and how many of them had to be chosen among several ({@link Desanitizer}). */
  readonly restored: { readonly words: number; readonly chosenByPlace: number };
  readonly bytes: { readonly up: number; readonly down: number };
}

type Done = Extract<AnswerEvent, { type: 'done' }>;

/**
 * Asks a server in mode `sanitized`: words of the private part are replaced here, the server works in clear on what is left, and
 * the user's words are put back into the answer here. Tokenizer, table, ledger and memo never leave this process.
 *
 * ```ts
 * const state = SanitizerState.open(folder);
 * const sanitizer = new Sanitizer({ tableBytes: await readShippedTable('neutral'), ...state, memo: state.memo() });
 * const session = await SanitizedSession.connect('http://127.0.0.1:8417', { sanitizer });
 * const prepared = session.prepare({ privateText: 'My doctor suspects a flu.', maxTokens: 40 });
 * for await (const { text } of session.send(prepared)) process.stdout.write(text);
 * ```
 */
export class SanitizedSession {
  readonly server: ModelInfo;
  readonly #connection: Connection;
  readonly #tokenizer: Tokenizer;
  readonly #sanitizer: Sanitizer;

  /** Null when tokens travel. */
  readonly #embed: ((tokens: readonly number[]) => string) | null;

  private constructor(
    connection: Connection,
    server: ModelInfo,
    tokenizer: Tokenizer,
    sanitizer: Sanitizer,
    embed: ((tokens: readonly number[]) => string) | null,
  ) {
    this.#connection = connection;
    this.server = server;
    this.#tokenizer = tokenizer;
    this.#sanitizer = sanitizer;
    this.#embed = embed;
  }

  /** @throws `SERVER_UNREACHABLE`, `MODE_UNSUPPORTED`, `MODEL_MISMATCH` and the errors of the tokenizer's readers. */
  static async connect(url: string, options: SanitizedSessionOptions): Promise<SanitizedSession> {
    const connection = new Connection(url, options);
    const server = await connection.json(modelInfoSchema, 'model description', {
      method: 'GET',
      path: '/v1/model',
      signal: options.signal,
      repeatable: true,
    });
    if (!server.modes?.includes('sanitized') || !server.textWindow) {
      throw new SottoError('The server does not answer in mode sanitized.', {
        code: 'MODE_UNSUPPORTED',
        facts: { modes: (server.modes ?? ['fhe']).join(', ') },
        fix: 'Ask another server, or start this one with --mode sanitized.',
      });
    }
    const tokenizer = await tokenizerOfServer(options.files ?? {}, server);
    const embed = options.wire === 'embeddings' ? await embeddingsOf(options.files ?? {}, server) : null;
    return new SanitizedSession(connection, server, tokenizer, options.sanitizer, embed);
  }

  /**
   * Sanitizes a question and pays for it; nothing is sent. What cannot be asked is refused before it is paid for.
   *
   * @throws `PROMPT_PRIVATE_EMPTY`, `PROMPT_SYSTEM_UNUSED`, `PROMPT_TOKENS`, `PROMPT_TOO_LONG`, `BUDGET_SPENT`, and the other errors of sanitizer and
   *   tokenizer
   */
  prepare(question: SanitizedQuestion): PreparedQuestion {
    const { publicText = '', privateText, maxTokens, context = '' } = question;
    requirePrivateText(privateText);
    requireTokens(maxTokens);
    let sent = '';
    let tokens: readonly number[] = [];
    const sanitized = this.#sanitizer.sanitize(privateText.trim(), context, (text) => {
      sent = joinParts(publicText, text);
      tokens = this.#encode(sent, question);
    });
    const { receipt, times } = sanitized;
    return { sent, tokens, maxTokens, receipt, times, substitutions: placesIn(sent, sanitized) };
  }

  /**
   * Sends a prepared question and yields the answer as it grows, with the user's words put back. Its return value is the summary.
   * Leaving it early, or the signal, stops the server's work.
   *
   * @throws `JOB_CANCELLED`, `SERVER_BUSY`, `RESULT_MISMATCH` and the server's errors
   */
  async *send(
    prepared: PreparedQuestion,
    signal?: AbortSignal,
  ): AsyncGenerator<SanitizedPiece, SanitizedSummary, undefined> {
    const startMs = performance.now();
    const before = { ...this.#connection.traffic };
    const desanitizer = new Desanitizer(prepared.substitutions, prepared.sent);
    const asSent = new TextDecoder();
    let answerAsSent = '';
    let restoreMs = 0;
    let firstMs: number | undefined;
    let answerTokens = 0;
    let done: Done | undefined;
    for await (const event of this.#events(prepared, signal)) {
      if (event.type === 'failed') throw errorFromBody({ error: event.error });
      if (event.type === 'done') {
        done = event;
        break;
      }
      firstMs ??= performance.now();
      answerTokens += event.tokens.length;
      if (answerTokens > prepared.maxTokens) throw streamMismatch('more tokens than were asked for');
      const writer = new ByteWriter();
      for (const token of event.tokens) writer.bytes(this.#tokenizer.bytesOf(token));
      const bytes = writer.finish();
      const restoreStartMs = performance.now();
      const text = desanitizer.push(bytes);
      restoreMs += performance.now() - restoreStartMs;
      answerAsSent += asSent.decode(bytes, { stream: true });
      yield { text, tokens: event.tokens };
    }
    if (!done) throw streamMismatch('no end');
    if (done.answerTokens !== answerTokens) throw streamMismatch('other tokens than it says');
    const rest = desanitizer.finish();
    if (rest !== '') yield { text: rest, tokens: [] };
    const endMs = performance.now();
    const { upBytes, downBytes } = this.#connection.traffic;
    return {
      reason: done.reason,
      promptTokens: prepared.tokens.length,
      answerTokens,
      answerAsSent: answerAsSent + asSent.decode(),
      seconds: {
        firstToken: ((firstMs ?? endMs) - startMs) / 1000,
        total: (endMs - startMs) / 1000,
        queue: done.queueSeconds,
        model: done.modelSeconds,
        sanitize: prepared.times.sanitizeMs / 1000,
        ledger: prepared.times.ledgerMs / 1000,
        restore: restoreMs / 1000,
      },
      restored: { words: desanitizer.restored, chosenByPlace: desanitizer.chosenByPlace },
      bytes: { up: upBytes - before.upBytes, down: downBytes - before.downBytes },
    };
  }

  #events(prepared: PreparedQuestion, signal: AbortSignal | undefined) {
    const { bosToken, endTokens } = this.#tokenizer;
    const request = {
      protocol: PROTOCOL_VERSION,
      mode: 'sanitized',
      modelDigest: this.server.digest,
      ...(this.#embed === null
        ? { tokens: prepared.tokens }
        : { tokens: [], embeddings: this.#embed(prepared.tokens) }),
      maxTokens: prepared.maxTokens,
      endTokens: [...new Set([...endTokens, bosToken])],
    };
    return this.#connection.stream(answerEventSchema, 'event of the answer', {
      method: 'POST',
      path: '/v1/answers',
      body: { json: request },
      signal,
      // The same tokens again show nothing new.
      repeatable: true,
    });
  }

  #encode(text: string, { maxTokens, raw, system }: SanitizedQuestion): readonly number[] {
    const { positions } = this.server.textWindow!;
    // No token is longer: a text that cannot fit is not cut into tokens at all.
    const smallest = Math.ceil(text.length / LONGEST_TOKEN_UNITS);
    if (smallest <= positions) {
      const tokens = messageTokens(this.#tokenizer, text, { raw, system, bos: true });
      if (tokens.length + maxTokens - 1 <= positions) return tokens;
    }
    throw new SottoError('Prompt and answer are longer than the window.', {
      code: 'PROMPT_TOO_LONG',
      facts: { maxTokens, positions },
      fix: 'Shorten the prompt or ask for fewer tokens.',
    });
  }
}

/** UTF-16 units of a token at most, in any vocabulary worth the name (runs of spaces are the longest). */
const LONGEST_TOKEN_UNITS = 256;
