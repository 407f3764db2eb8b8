import { SottoError } from '@sotto/base';
import { loadLocalModel } from '@sotto/client';
import { accelerate, argmax, generate, type LlamaModel, type Tokenizer } from '@sotto/model';
import {
  type AttackText,
  auditContext,
  BigramModel,
  type ContextAudit,
  clopperPearson,
  type RandomSource,
  type Rate,
  type SanitizerTable,
  sanitizeForAttack,
  tableChannel,
  wordIds,
} from '@sotto/privacy';
import { ScoringModel } from './attack-model.js';
import type { OptionSpecs, Options, Output } from './command.js';
import { readCorpus } from './corpus.js';
import { modelFilesOf, modelOptions } from './options.js';

export const contextOptions: OptionSpecs = {
  'no-context': { help: 'Leave out the attacks that read words together, which need a language model.' },
  attacker: {
    value: 'PATH',
    help: 'Model that reads the texts, its tokenizer with it; the served one when absent. The larger, the more it finds, and the slower.',
  },
  text: {
    value: 'FILE',
    help: 'Texts to attack, one a line; the later half teaches the attacker. Texts of the model itself when absent.',
  },
  texts: { value: 'N', default: '12', help: 'Texts to attack.' },
  words: { value: 'N', default: '40', help: 'Words of each text to attack.' },
  ...modelOptions,
};

/** Attacks with context, by the model that would be served or by another one. */
export interface ServedModelAudit extends ContextAudit {
  readonly model: NonNullable<ContextAudit['model']>;
  readonly servedModel: string;
  /** The model that read the texts. */
  readonly attacker: string;
  readonly source: string;
  /** Texts that bigrams and frequencies were learnt from. */
  readonly learntFrom: number;
  /** Sending embeddings of tokens instead of tokens: how many the nearest row of the public table gives away. */
  readonly embeddingWire: Rate;
}

/** Texts that teach the attacker, for each one under attack. */
const LESSONS = 24;
const TOKENS_A_WORD = 3;
const MOST_TOKENS = 180;

/** A model's own texts: nobody knows their language better than the model does. */
function textsOf(
  model: LlamaModel,
  tokenizer: Tokenizer,
  count: number,
  words: number,
  seed: number,
): string[] {
  const maxTokens = Math.min(MOST_TOKENS, TOKENS_A_WORD * words, model.config.contextLength - 1);
  const endTokens = new Set([...tokenizer.endTokens, tokenizer.bosToken]);
  return Array.from({ length: count }, (_, i) => {
    const options = { maxTokens, temperature: 1, seed: seed + i, endTokens };
    return tokenizer.decode([...generate(model, [tokenizer.bosToken], options)]).trim();
  });
}

/** Rounds to the 11 bits of half precision, as vectors travel. */
const half = (value: number) => {
  const unit = 2 ** (Math.floor(Math.log2(Math.abs(value) || 1)) - 10);
  return Math.round(value / unit) * unit;
};

/** Nearest row of the public embedding table to the vector of each token, as CMIF's wire shows it. */
function wireRate(model: LlamaModel, tokens: readonly number[]): Rate {
  const { dim, vocabSize } = model.config;
  let hits = 0;
  for (const token of tokens) {
    const sent = Float64Array.from(model.embedding.subarray(token * dim, (token + 1) * dim), half);
    const nearness = new Float64Array(vocabSize);
    for (let other = 0; other < vocabSize; other++) {
      let sum = 0;
      for (let d = 0; d < dim; d++) sum += (sent[d]! - model.embedding[other * dim + d]!) ** 2;
      nearness[other] = -sum;
    }
    if (argmax(nearness) === token) hits++;
  }
  return clopperPearson(hits, tokens.length);
}

const WIRE_TOKENS = 200;

/** @throws `CORPUS_EMPTY`, `AUDIT_TEXTS` and the errors of the model's readers. */
export async function servedModelAudit(
  table: SanitizerTable,
  options: Options,
  output: Output,
  source: RandomSource,
): Promise<ServedModelAudit> {
  const local = await loadLocalModel(modelFilesOf(options));
  const model = accelerate(local.weights);
  const { tokenizer } = local;
  const attackerPath = options.text('attacker');
  const attacker = attackerPath === undefined ? local : await loadLocalModel({ model: attackerPath });
  const attackerModel = attackerPath === undefined ? model : accelerate(attacker.weights);
  const count = options.integer('texts', 1, 10_000)!;
  const words = options.integer('words', 2, 1000)!;
  const path = options.text('text');
  let [attacked, lessons]: [string[], string[]] = [[], []];
  if (path === undefined) {
    attacked = textsOf(model, tokenizer, count, words, 1);
    lessons = textsOf(model, tokenizer, LESSONS * count, words, 1_000_000);
  } else {
    const most = Math.min(MOST_TOKENS, attackerModel.config.contextLength - 1);
    const corpus = await readCorpus(path, attacker.tokenizer, most, 100_000);
    const all = corpus.texts.map((tokens) => attacker.tokenizer.decode(tokens).trim());
    attacked = all.slice(0, Math.min(count, all.length >> 1));
    lessons = all.slice(all.length >> 1);
  }
  const ids = new Map(table.words.map((word, id) => [word, id]));
  const idOf = (word: string) => ids.get(word) ?? -1;
  const bigrams = new BigramModel(
    lessons.map((text) => wordIds(text, idOf)),
    table.words.length,
  );
  const channel = tableChannel(table);
  const texts: AttackText[] = attacked
    .map((text) => sanitizeForAttack(text, channel, table.words, idOf, source, words))
    .filter(({ originals }) => originals.length > 0);
  if (texts.length === 0) {
    throw new SottoError('There is no text to attack.', {
      code: 'AUDIT_TEXTS',
      facts: { texts: attacked.length },
      fix: 'Give at least two texts with words of the table, or none, so that the model writes some.',
    });
  }
  const found = auditContext(channel, {
    texts,
    words: table.words,
    bigrams,
    model: new ScoringModel(attackerModel, attacker.tokenizer),
    onText(done) {
      output.signal.throwIfAborted();
      if (output.interactive) output.err(`\rtext ${done} of ${texts.length} `);
    },
  });
  if (output.interactive) output.err('\r');
  const tokens = textsOf(model, tokenizer, 2, WIRE_TOKENS, 1)
    .flatMap((text) => tokenizer.encode(text, { bos: false }))
    .slice(0, WIRE_TOKENS);
  return {
    ...found,
    model: found.model!,
    servedModel: local.name,
    attacker: attacker.name,
    source: path === undefined ? 'texts of the model itself' : 'the given texts',
    learntFrom: lessons.length,
    embeddingWire: wireRate(model, tokens),
  };
}
