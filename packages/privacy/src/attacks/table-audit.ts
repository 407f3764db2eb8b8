import type { WordVectors } from '../build/vectors.js';
import { keepCeiling, type Mechanism, tableMechanism } from '../mechanisms/mechanism.js';
import { ReplyMemo } from '../memo.js';
import type { RandomSource } from '../random/source.js';
import { type Certificate, certify } from '../table/certificate.js';
import { TableSampler } from '../table/sampler.js';
import { blockEntropyBits } from '../table/statistics.js';
import type { SanitizerTable } from '../table/table.js';
import { type Audit, audit } from './audit.js';
import {
  type AttributeLeak,
  blockInversionSuccess,
  keepRate,
  replaySuccess,
  tableAttributeLeak,
  tableBayesSuccess,
} from './inference.js';
import { clopperPearson, type Rate, wordPrior } from './statistics.js';
import { attributeLabels, wordAttributes } from './word-attributes.js';

export interface TableAudit {
  readonly certificate: Certificate;
  /** Entropy of the visible block of a word; 0 where it is not visible. */
  readonly blockBits: number;
  /** What draws alone say, without the weights. */
  readonly drawn: Audit;
  /** Best guess at one word without context, by how common words are and with all words alike. Exact. */
  readonly guess: { readonly zipf: number; readonly uniform: number };
  /** Share of words that stay, all words alike, and the most that epsilon allows within a block. */
  readonly kept: { readonly rate: number; readonly ceiling: number | null };
  /** Success of guessing a word after repetitions of one text; null where the block is not visible. */
  readonly replay: {
    readonly repetitions: readonly number[];
    fresh: readonly Rate[];
    memo: readonly Rate[];
  } | null;
  /** The word is among the K words of its block nearest to the substitute, exact; null without vectors or a visible block. */
  readonly inversion: { readonly guesses: readonly number[]; readonly success: readonly number[] } | null;
  /** What block and substitute tell of a property of a word, all words alike. */
  readonly attributes: readonly (AttributeLeak & { readonly attribute: string })[];
  /** The certificate holds, and draws do not contradict it. */
  readonly holds: boolean;
}

export interface TableAuditOptions {
  readonly source: RandomSource;
  /** For the lower bound on epsilon; 10^6 is a minute's patience and comes within a tenth. */
  readonly draws: number;
  /** Trials of the replay attack, default 400. */
  readonly trials?: number;
  /** Vectors of words of some blocks, for embedding inversion. */
  readonly vectors?: WordVectors;
}

const REPETITIONS = [1, 10, 100, 1000];
const GUESSES = [1, 5, 10];

/** Checks a table by its weights and by draws, and attacks it in every way that needs no text. */
export function auditTable(table: SanitizerTable, options: TableAuditOptions): TableAudit {
  const { source, draws } = options;
  const certificate = certify(table);
  const sampler = new TableSampler(table);
  const count = table.words.length;
  const uniform = wordPrior(count, 'uniform');
  const zipf = wordPrior(count, 'zipf');
  // With the block drawn too, two words have the whole vocabulary for outputs: more inputs would thin the draws out.
  const group = table.stage === null ? table.blocks[0]!.members : Uint32Array.of(0, count - 1);
  const drawn = audit(group, (id, from) => sampler.draw(id, from), source, draws);
  const guess = { zipf: tableBayesSuccess(table, zipf), uniform: tableBayesSuccess(table, uniform) };
  const attributesOf = (mechanism: Mechanism | null) =>
    wordAttributes.map((attribute) => ({
      attribute: attribute.name,
      ...tableAttributeLeak(table, mechanism, uniform, attributeLabels(table.words, attribute)),
    }));
  const holds = certificate.holds && drawn.epsilonAtLeast <= certificate.epsilon;
  if (table.stage !== null) {
    const kept = { rate: keptByDraws(sampler, count, source).rate, ceiling: null };
    const attributes = attributesOf(null);
    return {
      certificate,
      blockBits: 0,
      drawn,
      guess,
      kept,
      replay: null,
      inversion: null,
      attributes,
      holds,
    };
  }
  const mechanism = tableMechanism(table);
  const trials = { repetitions: REPETITIONS, trials: options.trials ?? 400, source };
  const fresh = replaySuccess(mechanism, zipf, (id) => sampler.draw(id, source), trials);
  // Every trial is another user with another key.
  const newUser = () => new ReplyMemo(ReplyMemo.newKey(), 0).context('', '');
  let [context, last] = [newUser(), 0];
  const replies = (id: number, repetition: number) => {
    if (repetition < last) context = newUser();
    last = repetition;
    return sampler.draw(id, context.word(id));
  };
  const inversion =
    options.vectors === undefined ? null : blockInversionSuccess(mechanism, table, options.vectors, GUESSES);
  return {
    certificate,
    blockBits: blockEntropyBits(table),
    drawn,
    guess,
    kept: { rate: keepRate(mechanism, uniform), ceiling: keepCeiling(certificate.epsilon, table.k) },
    replay: { repetitions: REPETITIONS, fresh, memo: replaySuccess(mechanism, zipf, replies, trials) },
    inversion: inversion === null ? null : { guesses: GUESSES, success: inversion },
    attributes: attributesOf(mechanism),
    holds,
  };
}

const KEPT_DRAWS = 200_000;

function keptByDraws(sampler: TableSampler, count: number, source: RandomSource): Rate {
  let hits = 0;
  for (let i = 0; i < KEPT_DRAWS; i++) if (sampler.draw(i % count, source) === i % count) hits++;
  return clopperPearson(hits, KEPT_DRAWS);
}
