import {
  argmax,
  bosTokenOf,
  embedTokens,
  finishLogits,
  forwardRows,
  KvCache,
  type LlamaModel,
  type LlamaTrace,
  SeededRandom,
  sampleToken,
} from '@sotto/model';

/** Texts of one kind, as token ids that follow the public prefix (no BOS). */
export interface CalibrationCorpus {
  readonly name: string;
  readonly texts: readonly (readonly number[])[];
}

/** Public tokens that stand in front of every text, with their keys and values. */
export interface PrefixContext {
  readonly tokens: readonly number[];
  readonly cache: KvCache;
  /** What the last of them predicts. */
  readonly logits: Float64Array;
}

/** @throws SottoError `TOKEN_OUT_OF_RANGE`, `CONTEXT_EXCEEDED`. */
export function prefixContext(model: LlamaModel, tokens: readonly number[]): PrefixContext {
  const cache = new KvCache(model.config.layerCount);
  const hidden = forwardRows(model, embedTokens(model, tokens), cache);
  return { tokens, cache, logits: finishLogits(model, hidden[hidden.length - 1]!) };
}

/**
 * What the model says by itself after a public prefix, at temperature 1: the text it will meet when it continues its own words.
 * BOS does not come again.
 *
 * @param count tokens after the prefix.
 * @param trace sees the rows of all tokens after the prefix.
 * @returns the tokens after the prefix.
 */
export function sampleText(
  model: LlamaModel,
  prefix: PrefixContext,
  count: number,
  random: SeededRandom,
  trace?: LlamaTrace,
): number[] {
  const bos = bosTokenOf(model.config);
  const tokens: number[] = [];
  const cache = prefix.cache.fork();
  let { logits } = prefix;
  while (tokens.length < count) {
    const drawn = sampleToken(logits, random);
    const next =
      drawn === bos ? argmax(logits.map((v, i) => (i === bos ? Number.NEGATIVE_INFINITY : v))) : drawn;
    tokens.push(next);
    if (tokens.length === count && trace === undefined) break;
    const [hidden] = forwardRows(model, embedTokens(model, [next]), cache, trace);
    logits = finishLogits(model, hidden!);
  }
  return tokens;
}

/** The model's own texts from BOS on, BOS included. Deterministic. */
export function sampleTexts(
  model: LlamaModel,
  options: { readonly texts: number; readonly tokens: number; readonly seed: number },
): number[][] {
  const random = new SeededRandom(options.seed);
  const bos = bosTokenOf(model.config);
  const prefix = prefixContext(model, [bos]);
  return Array.from({ length: options.texts }, () => [
    bos,
    ...sampleText(model, prefix, options.tokens - 1, random),
  ]);
}
