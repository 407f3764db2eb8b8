import { generate, type LlamaModel } from '@sotto/model';
import type { TextEnd, TextRequest } from './port.js';

/** Tokens that come faster than this are given together; the first one is given at once. */
const BATCH_MS = 20;

export interface ContinueHooks {
  tokens(batch: readonly number[]): void;
  /** Throws when the answer is to stop; called before each block of the prompt and each token. */
  stopIfCancelled(): void;
}

/** Continues a prompt in the thread that calls, in batches of tokens. @throws what `stopIfCancelled` and the model throw. */
export function continueText(model: LlamaModel, request: TextRequest, hooks: ContinueHooks): TextEnd {
  const { tokens, maxTokens } = request;
  const generated = generate(model, request.rows ?? tokens, {
    maxTokens,
    temperature: 0,
    endTokens: new Set(request.endTokens),
    beforeBlock: hooks.stopIfCancelled,
  });
  let batch: number[] = [];
  let count = 0;
  let sentMs = Number.NEGATIVE_INFINITY;
  for (const token of generated) {
    batch.push(token);
    count++;
    const now = performance.now();
    if (now - sentMs < BATCH_MS) continue;
    hooks.tokens(batch);
    batch = [];
    sentMs = now;
  }
  if (batch.length > 0) hooks.tokens(batch);
  return count < maxTokens ? 'end' : 'length';
}
