import { SottoError } from '@sotto/base';
import { rowsOfHalf } from '@sotto/model';
import {
  type AnswerEvent,
  type AnswerMode,
  type AnswerRequest,
  errorBodyOf,
  type ModelInfo,
  type TextWindow,
} from '@sotto/protocol';
import { describeUnforeseen, type Logger } from '../log.js';
import { JobQueue } from '../state/job-queue.js';
import type { StartTextModel, TextModel, TextRequest } from './port.js';

export interface TextServiceOptions {
  readonly modelPath: string;
  readonly modelDigest: string;
  readonly config: ModelInfo['config'];
  readonly startTextModel: StartTextModel;
  /** Answers that wait for their turn at most. */
  readonly maxQueued: number;
  /** Positions of one answer at most; keys and values of each are kept while it runs. */
  readonly maxPositions: number;
  readonly log: Logger;
}

const stopped = () => new SottoError('The answer was cancelled.', { code: 'JOB_CANCELLED' });

/** Answers prompts in clear, one at a time; callers take turns. The model is read when the first one asks. */
export class TextService {
  readonly window: TextWindow;
  readonly queue = new JobQueue(1);
  readonly #options: TextServiceOptions;
  readonly #running = new Map<AbortController, Promise<void>>();
  #model: Promise<TextModel> | undefined;
  #stopping = false;
  #answers = 0;
  #answerTokens = 0;

  constructor(options: TextServiceOptions) {
    this.#options = options;
    this.window = { positions: Math.min(options.config.contextLength, options.maxPositions) };
  }

  /** Answers that ended well. */
  get answers(): number {
    return this.#answers;
  }

  get answerTokens(): number {
    return this.#answerTokens;
  }

  /** @throws `MODEL_MISMATCH`, `TOKEN_UNKNOWN`, `PROMPT_TOO_LONG`, `EMBEDDINGS_INVALID`, `SERVER_BUSY`, `SERVER_STOPPING`; nothing is computed yet. */
  accept(request: AnswerRequest): TextRequest {
    const { modelDigest, config, maxQueued } = this.#options;
    if (this.#stopping) {
      throw new SottoError('The server is stopping.', {
        code: 'SERVER_STOPPING',
        fix: 'Try again when it runs again.',
        retryable: true,
      });
    }
    if (request.modelDigest !== modelDigest) {
      throw new SottoError('The client has the tokens of another model.', {
        code: 'MODEL_MISMATCH',
        facts: { client: request.modelDigest, server: modelDigest },
        fix: 'Ask the server for its model again, and use the tokenizer of that model.',
      });
    }
    if (request.tokens.some((token) => token >= config.vocabSize)) {
      throw new SottoError('A token is outside the vocabulary.', {
        code: 'TOKEN_UNKNOWN',
        facts: { vocabSize: config.vocabSize },
        fix: 'Use the tokenizer of this model.',
      });
    }
    const { tokens, maxTokens, endTokens, embeddings } = request;
    const rows =
      embeddings === undefined ? undefined : rowsOfHalf(Buffer.from(embeddings, 'base64'), config.dim);
    requireTextRoom(this.window, (rows ?? tokens).length, maxTokens);
    if (this.queue.queued >= maxQueued) {
      throw new SottoError('Too many answers wait already.', {
        code: 'SERVER_BUSY',
        facts: { waiting: this.queue.queued },
        fix: 'Try again later.',
        retryable: true,
      });
    }
    return { tokens, maxTokens, endTokens, ...(rows === undefined ? {} : { rows }) };
  }

  /**
   * Answers an accepted request. Never rejects: the last event is `done` or `failed`.
   *
   * @param owner whose turn it takes
   * @param stop ends the work when it is aborted
   */
  run(
    request: TextRequest,
    owner: string,
    stop: AbortController,
    emit: (event: AnswerEvent) => void,
  ): Promise<void> {
    const running = this.#run(request, owner, stop, emit).finally(() => this.#running.delete(stop));
    this.#running.set(stop, running);
    return running;
  }

  async #run(
    request: TextRequest,
    owner: string,
    stop: AbortController,
    emit: (event: AnswerEvent) => void,
  ): Promise<void> {
    const queuedMs = performance.now();
    try {
      await this.queue.run(owner, stop.signal, async () => {
        const model = await this.#start();
        const startMs = performance.now();
        let answerTokens = 0;
        const reason = await model.answer(request, {
          tokens(tokens) {
            answerTokens += tokens.length;
            emit({ type: 'tokens', tokens: [...tokens] });
          },
          signal: stop.signal,
        });
        this.#answers++;
        this.#answerTokens += answerTokens;
        const promptTokens = (request.rows ?? request.tokens).length;
        const modelSeconds = (performance.now() - startMs) / 1000;
        const queueSeconds = (startMs - queuedMs) / 1000;
        emit({ type: 'done', reason, promptTokens, answerTokens, queueSeconds, modelSeconds });
      });
    } catch (error) {
      const reason = stop.signal.aborted ? stopped() : error;
      if (!SottoError.is(reason)) this.#options.log('answer failed', describeUnforeseen(reason));
      emit({ type: 'failed', error: errorBodyOf(reason).error });
    }
  }

  /** Ends what runs and frees the model. */
  async close(): Promise<void> {
    this.#stopping = true;
    const running = [...this.#running.values()];
    for (const stop of this.#running.keys()) stop.abort(stopped());
    await Promise.all(running);
    const model = await this.#model?.catch(() => undefined);
    await model?.close();
  }

  /** The model; one whose thread ended is started anew. */
  #start(): Promise<TextModel> {
    this.#model ??= this.#options.startTextModel(this.#options.modelPath).then((model) => ({
      close: () => model.close(),
      answer: async (request, hooks) => {
        try {
          return await model.answer(request, hooks);
        } catch (error) {
          if (SottoError.is(error) && error.code === 'WORKER_LOST') this.#model = undefined;
          throw error;
        }
      },
    }));
    this.#model.catch(() => {
      this.#model = undefined;
    });
    return this.#model;
  }
}

/** @throws `PROMPT_TOO_LONG` */
function requireTextRoom({ positions }: TextWindow, promptTokens: number, maxTokens: number): void {
  // The last token of an answer takes no position.
  if (promptTokens + maxTokens - 1 <= positions) return;
  throw new SottoError('Prompt and answer are longer than the window.', {
    code: 'PROMPT_TOO_LONG',
    facts: { promptTokens, maxTokens, positions },
    fix: 'Shorten the prompt or ask for fewer tokens.',
  });
}

/** @throws `MODE_UNSUPPORTED` unless the server answers in this mode: a request never falls to another one. */
export function requireMode(modes: readonly AnswerMode[], mode: AnswerMode): void {
  if (modes.includes(mode)) return;
  throw new SottoError('The server does not answer in this mode.', {
    code: 'MODE_UNSUPPORTED',
    facts: { mode, modes: modes.join(', ') },
    fix: 'Ask another server, or start this one with --mode.',
  });
}
