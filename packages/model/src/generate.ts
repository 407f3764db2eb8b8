import { argmax, embedTokens, finishLogits, forwardRows, KvCache } from './llama.js';
import type { LlamaModel } from './llama2c.js';
import { SeededRandom, sampleToken } from './random.js';

export interface GenerateOptions {
  readonly maxTokens: number;
  /** 0 takes the likeliest token each time. */
  readonly temperature: number;
  /** The same seed gives the same text. */
  readonly seed?: number;
  /** Tokens after which the text is over; they are not yielded. */
  readonly endTokens: ReadonlySet<number>;
}

/**
 * Continues `tokens` in the clear, one token at a time.
 *
 * @throws `CONTEXT_EXCEEDED`, `TOKEN_OUT_OF_RANGE`.
 */
export function* generate(
  model: LlamaModel,
  tokens: readonly number[],
  options: GenerateOptions,
): Generator<number, void, undefined> {
  const cache = new KvCache(model.config.layerCount);
  const random = new SeededRandom(options.seed ?? 1);
  let next: readonly number[] = tokens;
  for (let i = 0; i < options.maxTokens; i++) {
    const rows = forwardRows(model, embedTokens(model, next), cache);
    const logits = finishLogits(model, rows[rows.length - 1]!);
    const token =
      options.temperature === 0 ? argmax(logits) : sampleToken(logits, random, options.temperature);
    if (options.endTokens.has(token)) return;
    yield token;
    next = [token];
  }
}
