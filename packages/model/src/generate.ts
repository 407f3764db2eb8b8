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
  /** Called before each block of at most 16 rows of the prompt and before each token; throws to stop. */
  readonly beforeBlock?: () => void;
}

/** Rows of the prompt that go through the model at a time. */
const PREFILL_ROWS = 16;

/**
 * Continues a prompt in the clear, one token at a time.
 *
 * @param prompt tokens, or rows of dim numbers in place of their embeddings
 * @throws `CONTEXT_EXCEEDED`, `TOKEN_OUT_OF_RANGE`.
 */
export function* generate(
  model: LlamaModel,
  prompt: readonly number[] | readonly Float64Array[],
  options: GenerateOptions,
): Generator<number, void, undefined> {
  const cache = new KvCache(model.config.layerCount);
  const random = new SeededRandom(options.seed ?? 1);
  let next: readonly (number | Float64Array)[] = prompt;
  for (let i = 0; i < options.maxTokens; i++) {
    let last: Float64Array | undefined;
    for (let from = 0; from < next.length; from += PREFILL_ROWS) {
      options.beforeBlock?.();
      const block = next
        .slice(from, from + PREFILL_ROWS)
        .map((one) => (typeof one === 'number' ? embedTokens(model, [one])[0]! : one));
      last = forwardRows(model, block, cache).at(-1);
    }
    const logits = finishLogits(model, last!);
    const token =
      options.temperature === 0 ? argmax(logits) : sampleToken(logits, random, options.temperature);
    if (options.endTokens.has(token)) return;
    yield token;
    next = [token];
  }
}
