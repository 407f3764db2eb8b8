import { SottoError } from '@sotto/base';
import { argmax, embedTokens, finishLogits, forwardRows, KvCache, type LlamaModel } from '@sotto/model';
import type { Drafter } from './drafter.js';

/**
 * Drafts what a model in the clear, on this machine, would say: a smaller one with the same vocabulary.
 *
 * @throws SottoError `DRAFT_VOCABULARY` when its vocabulary has another size than `vocabSize`.
 */
export function modelDrafter(model: LlamaModel, vocabSize: number): Drafter {
  const { config } = model;
  if (config.vocabSize !== vocabSize) {
    throw new SottoError('The drafting model has another vocabulary.', {
      code: 'DRAFT_VOCABULARY',
      facts: { tokens: config.vocabSize, expected: vocabSize },
      fix: 'Draft with a model that has the same tokenizer, or with --draft ngram.',
    });
  }
  let seen: number[] = [];
  let cache = new KvCache(config.layerCount);
  return {
    name: 'model',
    draft(tokens, count) {
      const room = config.contextLength - tokens.length;
      if (room < 0 || tokens.length === 0) return [];
      if (seen.length >= tokens.length || seen.some((token, i) => token !== tokens[i])) {
        seen = [];
        cache = new KvCache(config.layerCount);
      }
      const read = (text: readonly number[], into: KvCache): number =>
        argmax(finishLogits(model, forwardRows(model, embedTokens(model, text), into).at(-1)!));
      // Only what is certain stays in the cache; guesses are read into a fork of it.
      let next = read(tokens.slice(seen.length), cache);
      seen = [...tokens];
      const fork = cache.fork();
      const guesses: number[] = [];
      while (guesses.length < Math.min(count, room)) {
        guesses.push(next);
        if (guesses.length < Math.min(count, room)) next = read([next], fork);
      }
      return guesses;
    },
  };
}
