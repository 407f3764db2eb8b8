import { bosTokenOf, embedTokens, type LlamaModel, traceRows } from '@sotto/model';
import { prefixContext } from './calibration-texts.js';

/** Rows whose mean square exceeds the median of their layer by this factor are massive activations (arXiv 2402.17762). */
const MASSIVE = 50;
/** Tokens with the most massive rows that are tried at each step of the search. */
const CANDIDATES = 4;
/** Tokens that the search adds to a prefix at most. */
const MOST_ADDED = 4;
/** Bits of the ratio of mean squares, on average over the layers, that a longer prefix must save. */
const LEAST_BENEFIT_BITS = 0.1;

/** What a public prefix leaves to the private rows. */
export interface PrefixMeasure {
  readonly tokens: readonly number[];
  /** Largest over smallest mean square of the private rows, in bits, layer by layer: what sets the degree of a norm. */
  readonly ratioBits: readonly number[];
  /** Private rows with a massive activation. */
  readonly massiveRows: number;
  readonly rows: number;
}

interface Measured extends PrefixMeasure {
  /** Tokens of massive rows, most frequent first. */
  readonly suspects: readonly number[];
}

/** Mean squares of the private rows of texts behind a prefix. */
function measure(
  model: LlamaModel,
  tokens: readonly number[],
  texts: readonly (readonly number[])[],
): Measured {
  const { layerCount, contextLength } = model.config;
  const prefix = prefixContext(model, tokens);
  const squares = Array.from({ length: layerCount }, (): number[] => []);
  const owners: number[] = [];
  for (const text of texts) {
    const fitting = text.slice(0, contextLength - tokens.length);
    const rows = embedTokens(model, fitting);
    traceRows(model, rows, prefix.cache.fork(), (name, layer, _, values) => {
      if (name === 'attentionMeanSquare') squares[layer]!.push(values[0]!);
    });
    owners.push(...fitting);
  }
  const massive = new Set<number>();
  const ratioBits = squares.map((values) => {
    const sorted = Float64Array.from(values).sort();
    const limit = MASSIVE * sorted[sorted.length >> 1]!;
    values.forEach((value, row) => {
      if (value > limit) massive.add(row);
    });
    return Math.log2(sorted[sorted.length - 1]! / sorted[0]!);
  });
  const counts = new Map<number, number>();
  for (const row of massive) counts.set(owners[row]!, (counts.get(owners[row]!) ?? 0) + 1);
  const suspects = [...counts].sort(([a, n], [b, m]) => m - n || a - b).map(([token]) => token);
  return { tokens, ratioBits, massiveRows: massive.size, rows: owners.length, suspects };
}

const total = ({ ratioBits }: PrefixMeasure): number => ratioBits.reduce((sum, bits) => sum + bits, 0);

/**
 * The public prefix behind which the private rows have the narrowest mean squares: the best of those given (BOS alone when none is),
 * lengthened token by token with tokens that are sinks themselves, as long as that helps. The texts stay the same, so only the
 * prefix changes what is measured.
 *
 * @param texts token ids without a prefix.
 * @param given prefixes to choose from.
 * @returns all that was tried, the chosen one first.
 */
export function findPublicPrefix(
  model: LlamaModel,
  texts: readonly (readonly number[])[],
  given: readonly (readonly number[])[] = [],
): PrefixMeasure[] {
  const starts = given.length > 0 ? given : [[bosTokenOf(model.config)]];
  const tried = starts.map((tokens) => measure(model, tokens, texts));
  const better = (a: Measured, b: Measured): Measured => (total(b) < total(a) ? b : a);
  let best = tried.reduce(better);
  const enough = LEAST_BENEFIT_BITS * model.config.layerCount;
  for (let added = 0; added < MOST_ADDED && best.massiveRows > 0; added++) {
    const next = best.suspects
      .slice(0, CANDIDATES)
      .map((token) => measure(model, [...best.tokens, token], texts));
    tried.push(...next);
    const winner = next.reduce(better, best);
    if (total(best) - total(winner) < enough) break;
    best = winner;
  }
  const plain = ({ tokens, ratioBits, massiveRows, rows }: Measured): PrefixMeasure => ({
    tokens,
    ratioBits,
    massiveRows,
    rows,
  });
  return [plain(best), ...tried.filter((one) => one !== best).map(plain)];
}
