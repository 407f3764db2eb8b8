import { type AttackText, textWith } from './attack-texts.js';
import type { Behind, Channel } from './channel.js';
import { type BigramModel, hmmDecode } from './hmm.js';
import { clopperPearson, type Rate } from './statistics.js';

/** A language model in the hands of an attacker. */
export interface AttackModel {
  /** ln P(text), the text standing at the beginning. Calls with long common beginnings in a row should be fast. */
  logProbability(text: string): number;
  /** The likeliest word to follow, in lower case; empty where the model sees no word coming. */
  nextWord(text: string): string;
}

/** Share of the words that each attack finds. The interval takes words as independent of each other. */
export interface ContextAudit {
  readonly words: number;
  readonly texts: number;
  /** Words that simply stayed. */
  readonly kept: Rate;
  /** Each word by itself, with the frequencies of the attacker's corpus. */
  readonly bayes: Rate;
  /** Hidden Markov model over bigrams: the likeliest word at each position, and the likeliest sequence. */
  readonly hmmMarginal: Rate;
  readonly hmmPath: Rate;
  /** Null without a language model. */
  readonly model: {
    /** The model goes on from the words before, knowing nothing of table and substitute. */
    readonly maskToken: Rate;
    /** The likely word that fits best between its neighbours, the substitute itself ignored. */
    readonly maskTokenInBlock: Rate;
    /** The same, weighed with the chance of the substitute. */
    readonly bayesContext: Rate;
    /** The whole text decoded from left to right: likelihood of the substitutes times that of the text. */
    readonly reconstruction: Rate;
  } | null;
}

export interface ContextOptions {
  readonly texts: readonly AttackText[];
  /** Words of the table, most frequent first. */
  readonly words: readonly string[];
  /** Bigrams and frequencies of other texts of the same kind. */
  readonly bigrams: BigramModel;
  readonly model: AttackModel | null;
  /** Words behind a substitute that bigrams weigh: the likeliest ones by frequency and substitute. Default 256, more than a block has. */
  readonly states?: number;
  /** The same for the model. Default 12. */
  readonly candidates?: number;
  /** Texts that the reconstruction follows at a time, default 4. */
  readonly beams?: number;
  /** Words behind a position that the model also reads, default 4. */
  readonly wordsBehind?: number;
  /** Called after each text. */
  readonly onText?: (done: number) => void;
}

interface Candidate {
  readonly word: number;
  /** ln P(substitute | word). */
  readonly substitute: number;
  /** ln of frequency times the chance of the substitute. */
  readonly posterior: number;
}

/**
 * Attacks that read words together. The attacker knows the table, which words may be behind a substitute, and a model of the language; of
 * the user he has nothing but the received text. Mask-token inference: Yue et al. 2021; Bayes with context: arXiv 2410.17052, with all
 * likely words instead of two and a model that was not trained for it; reconstruction: noisy-channel decoding by beam search.
 */
export function auditContext(channel: Channel, options: ContextOptions): ContextAudit {
  const { texts, words, bigrams, model, states = 256 } = options;
  const hits = new Map<string, number>();
  const score = (attack: string, text: AttackText, guesses: readonly number[]) => {
    const found = guesses.filter((guess, t) => guess === text.originals[t]).length;
    hits.set(attack, (hits.get(attack) ?? 0) + found);
  };
  const ids = new Map(words.map((word, id) => [word, id]));
  let count = 0;
  texts.forEach((text, done) => {
    count += text.originals.length;
    const candidates = text.received.map((output) => candidatesOf(channel.behind(output), bigrams, states));
    score('kept', text, text.received);
    score(
      'bayes',
      text,
      candidates.map(([first]) => first!.word),
    );
    const { marginal, path } = hmmDecode(candidates.map(behindOf), bigrams);
    score('hmmMarginal', text, marginal);
    score('hmmPath', text, path);
    if (model !== null) {
      const most = options.candidates ?? 12;
      const likely = candidates.map((list) => list.slice(0, most));
      const next = text.received.map((_, t) =>
        model.nextWord(textWith(text, words, t, (at) => text.received[at]!) + text.between[t]!.trimEnd()),
      );
      score(
        'maskToken',
        text,
        next.map((word) => ids.get(word) ?? -1),
      );
      const behind = options.wordsBehind ?? 4;
      const fits = likely.map((list, t) => fitBetween(text, words, model, list, t, behind));
      score(
        'maskTokenInBlock',
        text,
        likely.map((list, t) => best(list, (_, i) => fits[t]![i]!)),
      );
      score(
        'bayesContext',
        text,
        likely.map((list, t) => best(list, ({ substitute }, i) => substitute + fits[t]![i]!)),
      );
      score('reconstruction', text, reconstruct(text, words, model, likely, options.beams ?? 4));
    }
    options.onText?.(done + 1);
  });
  const rate = (attack: string) => clopperPearson(hits.get(attack) ?? 0, count);
  return {
    words: count,
    texts: texts.length,
    kept: rate('kept'),
    bayes: rate('bayes'),
    hmmMarginal: rate('hmmMarginal'),
    hmmPath: rate('hmmPath'),
    model:
      model === null
        ? null
        : {
            maskToken: rate('maskToken'),
            maskTokenInBlock: rate('maskTokenInBlock'),
            bayesContext: rate('bayesContext'),
            reconstruction: rate('reconstruction'),
          },
  };
}

/** The words that may be behind a substitute, the likeliest first. */
function candidatesOf({ words, chances }: Behind, bigrams: BigramModel, most: number): Candidate[] {
  return Array.from(words, (word, i) => {
    const substitute = Math.log(chances[i]!);
    return { word, substitute, posterior: substitute + Math.log(bigrams.frequency(word)) };
  })
    .sort((a, b) => b.posterior - a.posterior || a.word - b.word)
    .slice(0, most);
}

const behindOf = (list: readonly Candidate[]): Behind => ({
  words: Uint32Array.from(list, ({ word }) => word),
  chances: Float64Array.from(list, ({ substitute }) => Math.exp(substitute)),
});

function best(list: readonly Candidate[], value: (candidate: Candidate, at: number) => number): number {
  let [at, most] = [0, Number.NEGATIVE_INFINITY];
  list.forEach((candidate, i) => {
    const found = value(candidate, i);
    if (found > most) [at, most] = [i, found];
  });
  return list[at]!.word;
}

/** ln P of the text from its beginning to a few words behind a position, for each word at that position. */
function fitBetween(
  text: AttackText,
  words: readonly string[],
  model: AttackModel,
  candidates: readonly Candidate[],
  position: number,
  wordsBehind: number,
): number[] {
  const end = Math.min(text.received.length, position + 1 + wordsBehind);
  return candidates.map(({ word }) =>
    model.logProbability(textWith(text, words, end, (at) => (at === position ? word : text.received[at]!))),
  );
}

interface Beam {
  readonly path: readonly number[];
  /** ln P of the substitutes given the path. */
  readonly substitutes: number;
  /** That plus ln P(text). */
  readonly score: number;
}

/** The likeliest originals, by beam search. */
function reconstruct(
  text: AttackText,
  words: readonly string[],
  model: AttackModel,
  candidates: readonly (readonly Candidate[])[],
  width: number,
): readonly number[] {
  let beams: Beam[] = [{ path: [], substitutes: 0, score: 0 }];
  candidates.forEach((list, t) => {
    beams = beams
      .flatMap((beam) =>
        list.map(({ word, substitute }) => {
          const path = [...beam.path, word];
          const longer = textWith(text, words, t + 1, (at) => path[at]!);
          const substitutes = beam.substitutes + substitute;
          return { path, substitutes, score: substitutes + model.logProbability(longer) };
        }),
      )
      .sort((a, b) => b.score - a.score)
      .slice(0, width);
  });
  return beams[0]!.path;
}
