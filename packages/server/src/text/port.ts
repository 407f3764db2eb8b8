/** A prompt in clear: token ids of public and sanitized text. Crosses a thread boundary, so it is plain data. */
export interface TextRequest {
  readonly tokens: readonly number[];
  /** In place of tokens: their embeddings, one row each. */
  readonly rows?: readonly Float64Array[];
  readonly maxTokens: number;
  /** Tokens after which the answer is over; they are not given. */
  readonly endTokens: readonly number[];
}

export interface TextHooks {
  /** Receives the answer as it grows: one or more tokens at a time. */
  tokens(batch: readonly number[]): void;
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

/** Why an answer ended: the model said so, or it has the asked length. */
export type TextEnd = 'end' | 'length';

/** A model that continues text in clear, wherever it runs. Calls are made one after the other. */
export interface TextModel {
  /** Takes the likeliest token each time. @throws `JOB_CANCELLED`, `WORKER_LOST`, `CONTEXT_EXCEEDED`, `TOKEN_OUT_OF_RANGE`. */
  answer(request: TextRequest, hooks: TextHooks): Promise<TextEnd>;
  /** Stops what runs and frees the model. */
  close(): Promise<void>;
}

export type StartTextModel = (modelPath: string) => Promise<TextModel>;
