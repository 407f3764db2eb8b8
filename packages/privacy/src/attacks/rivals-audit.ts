import type { WordVectors } from '../build/vectors.js';
import { type CandidateList, custext, noisyMax, santext } from '../mechanisms/baselines.js';
import { drawFromRow, judge, type Mechanism, mechanismOf } from '../mechanisms/mechanism.js';
import { noisyMaxProbabilities } from '../mechanisms/noisy-max.js';
import type { RandomSource } from '../random/source.js';
import type { SanitizerTable } from '../table/table.js';
import { audit } from './audit.js';
import { vectorBlocks } from './inference.js';

/** What a published mechanism states and what it keeps. */
export interface RivalAudit {
  readonly mechanism: string;
  readonly nominal: number;
  /** Infinity when some output is possible on one input and not on another. */
  readonly found: number;
  /** From draws alone, with 95 % confidence; null where the rows were compared only. */
  readonly drawnAtLeast: number | null;
  readonly pair: readonly [output: string, likely: string, unlikely: string];
}

/** Blocks of a table all of whose words have vectors, as ids of those vectors. */
export const blocksWithVectors = (table: SanitizerTable, vectors: WordVectors): Uint32Array[] =>
  vectorBlocks(table, vectors).map(({ vectorIds }) => vectorIds);

const SYNTHETIC_OUTPUTS = 100;

/**
 * A block made to show the worst of report-noisy-max with scale D/eps: one input prefers the first of 100 outputs by the whole range of
 * utilities, the other one dislikes it, all else is equal. Then one output gains where all others lose, and 2 eps is nearly reached.
 */
export function worstBlockOfNoisyMax(epsilon: number): Mechanism {
  return mechanismOf(
    `report-noisy-max, Laplace D/eps, block of ${SYNTHETIC_OUTPUTS} made for it`,
    `epsilon ${epsilon}`,
    [Uint32Array.of(0, 1)],
    (x) => ({
      outputs: Uint32Array.from({ length: SYNTHETIC_OUTPUTS }, (_, y) => y),
      probabilities: noisyMaxProbabilities(
        Float64Array.from({ length: SYNTHETIC_OUTPUTS }, (_, y) => ((y === 0) === (x === 0) ? 1 : 0)),
        1 / epsilon,
        'laplace',
      ),
    }),
  );
}

/** Judges published mechanisms at a nominal epsilon on the blocks of a table, and on a block made for one of them. */
export function auditRivals(
  vectors: WordVectors,
  blocks: readonly Uint32Array[],
  options: { readonly epsilon: number; readonly draws: number; readonly source: RandomSource },
): RivalAudit[] {
  const { epsilon, draws, source } = options;
  const k = blocks[0]?.length ?? 20;
  const list: CandidateList = { kind: 'blocks', blocks };
  const name = (id: number) => vectors.words[id] ?? String(id);
  const entry = (mechanism: string, from: Mechanism, drawn: boolean, names = name): RivalAudit => {
    const { epsilon: found, pair } = judge(from);
    const [output, likely, unlikely] = pair;
    const group = Uint32Array.of(likely, unlikely);
    const sample = (id: number, random: RandomSource) => drawFromRow(from.row(id), random);
    const drawnAtLeast = drawn ? audit(group, sample, source, draws).epsilonAtLeast : null;
    return {
      mechanism,
      nominal: epsilon,
      found,
      drawnAtLeast,
      pair: [names(output), names(likely), names(unlikely)],
    };
  };
  const synthetic = worstBlockOfNoisyMax(epsilon);
  const rivals = [entry(synthetic.name, synthetic, true, (id) => `word ${id}`)];
  if (blocks.length === 0) return rivals;
  const kept = new Set([vectors.words[0]!]);
  const rnm = (scale: 'D/eps' | 'calibrated', candidates: CandidateList) =>
    noisyMax(vectors, { epsilon, list: candidates, noise: 'laplace', scale });
  return [
    entry('report-noisy-max, Laplace D/eps, these blocks', rnm('D/eps', list), true),
    ...rivals,
    entry(
      'report-noisy-max, Laplace D/eps, list of the nearest words',
      rnm('D/eps', { kind: 'nearest', k }),
      false,
    ),
    entry('report-noisy-max, Laplace, calibrated, these blocks', rnm('calibrated', list), false),
    entry('CUSTEXT', custext(vectors, epsilon, { k, mapping: 'conservative' }), false),
    entry('CUSTEXT aggressive', custext(vectors, epsilon, { k, mapping: 'aggressive' }), false),
    entry('CUSTEXT+', custext(vectors, epsilon, { k, mapping: 'conservative', kept }), false),
    entry('SANTEXT+', santext(vectors, epsilon, { sensitiveShare: 0.9, replace: 0.3 }), false),
  ];
}
