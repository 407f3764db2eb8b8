import { balancedGroups, nearestIndices } from '../build/cluster.js';
import { unitRows, type WordVectors } from '../build/vectors.js';
import { judge, type Mechanism, mechanismOf, type Row } from './mechanism.js';
import { type Noise, noisyMaxProbabilities } from './noisy-max.js';

/** Which outputs an input may get. */
export type CandidateList =
  /** All words. */
  | { readonly kind: 'vocabulary' }
  /** The k nearest words of the input: the list depends on the input, so no epsilon is finite. */
  | { readonly kind: 'nearest'; readonly k: number }
  /** Public blocks, equal for all their members. */
  | { readonly kind: 'blocks'; readonly blocks: readonly Uint32Array[] };

/** Noise scale: the range of utilities D over epsilon, twice that, or what makes the tabulated ratio equal epsilon. */
export type NoiseScale = 'D/eps' | '2D/eps' | 'calibrated';

function cosines(unit: Float64Array, dimension: number, x: number, outputs: Uint32Array): Float64Array {
  return Float64Array.from(outputs, (y) => {
    let sum = 0;
    for (let d = 0; d < dimension; d++) sum += unit[x * dimension + d]! * unit[y * dimension + d]!;
    return sum;
  });
}

function spread(values: Float64Array): number {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return Math.max(high - low, 1e-9);
}

const everyWord = (count: number) => Uint32Array.from({ length: count }, (_, i) => i);

/** The k nearest by cosine, the word itself first. */
function nearestWords(
  unit: Float64Array,
  dimension: number,
  x: number,
  among: Uint32Array,
  k: number,
): Uint32Array {
  const distances = cosines(unit, dimension, x, among).map((value, j) => (among[j] === x ? -2 : -value));
  return Uint32Array.from(nearestIndices(distances, Math.min(k, among.length)), (j) => among[j]!);
}

function groupsOf(list: CandidateList, count: number): readonly Uint32Array[] {
  return list.kind === 'blocks' ? list.blocks : [everyWord(count)];
}

/** Lists already searched for: finding all nearest words takes far longer than anything that is done with them. */
const nearestLists = new WeakMap<CandidateList, Uint32Array[]>();

/** One list object stands for one set of vectors. */
function candidateFinder(
  vectors: WordVectors,
  unit: Float64Array,
  list: CandidateList,
): (x: number) => Uint32Array {
  const all = everyWord(vectors.words.length);
  if (list.kind === 'vocabulary') return () => all;
  if (list.kind === 'nearest') {
    const known = nearestLists.get(list) ?? [];
    nearestLists.set(list, known);
    return (x) => {
      known[x] ??= nearestWords(unit, vectors.dimension, x, all, list.k);
      return known[x]!;
    };
  }
  const blockOf: Uint32Array[] = [];
  for (const block of list.blocks) for (const word of block) blockOf[word] = block;
  return (x) => blockOf[x]!;
}

/**
 * Arg-max of cosine plus noise over a list of candidates. With Laplace noise and D/eps this is the Report-Noisy-Max of CMIF (Yu et al.
 * 2025) as described; D is the range of the input's own utilities (per input, as described) or, on blocks, of the whole block. Gumbel noise
 * with 2D/eps is the exponential mechanism, exponential noise permute-and-flip.
 */
export function noisyMax(
  vectors: WordVectors,
  options: {
    readonly epsilon: number;
    readonly list: CandidateList;
    readonly noise: Noise;
    readonly scale: NoiseScale;
    readonly range?: 'input' | 'block';
  },
): Mechanism {
  const unit = unitRows(vectors);
  const candidates = candidateFinder(vectors, unit, options.list);
  const groups = groupsOf(options.list, vectors.words.length);
  const blockRange = new Map<Uint32Array, number>();
  const rangeOf = (outputs: Uint32Array, utilities: Float64Array): number => {
    if (options.range === 'input' || options.list.kind !== 'blocks') return spread(utilities);
    let range = blockRange.get(outputs);
    if (range === undefined) {
      range = Math.max(...Array.from(outputs, (x) => columnSpread(unit, vectors.dimension, outputs, x)));
      blockRange.set(outputs, range);
    }
    return range;
  };
  const make =
    (factor: number) =>
    (x: number): Row => {
      const outputs = candidates(x);
      const utilities = cosines(unit, vectors.dimension, x, outputs);
      const scale = (factor * rangeOf(outputs, utilities)) / options.epsilon;
      return { outputs, probabilities: noisyMaxProbabilities(utilities, scale, options.noise) };
    };
  const name = `noisy max, ${options.noise}, ${options.scale}, ${options.list.kind}`;
  const promise = `epsilon ${options.epsilon}`;
  if (options.scale !== 'calibrated')
    return mechanismOf(name, promise, groups, make(options.scale === 'D/eps' ? 1 : 2));
  // One factor a group, so that no group pays for another's worst pair.
  const factorOf: number[] = [];
  for (const group of groups) {
    let [low, high] = [0.25, 2.5];
    for (let step = 0; step < 20; step++) {
      const middle = (low + high) / 2;
      const found = judge(mechanismOf('', '', [group], make(middle)), [group]).epsilon;
      if (found > options.epsilon) low = middle;
      else high = middle;
    }
    for (const word of group) factorOf[word] = high;
  }
  return mechanismOf(name, promise, groups, (x) => make(factorOf[x]!)(x));
}

/** How much the utility of one output varies over the inputs of a block. */
function columnSpread(unit: Float64Array, dimension: number, inputs: Uint32Array, output: number): number {
  return spread(cosines(unit, dimension, output, inputs));
}

/**
 * SANTEXT (Yue et al. 2021): P(y|x) ~ exp(-eps d(x,y) / 2) with Euclidean distances, over all words. Metric privacy: the ratio is bounded
 * by eps times the distance of the inputs. `plus`: only the rarest words are sensitive and are drawn among each other; another word is
 * replaced with probability p.
 */
export function santext(
  vectors: WordVectors,
  epsilon: number,
  plus?: { readonly sensitiveShare: number; readonly replace: number },
): Mechanism {
  const count = vectors.words.length;
  const firstSensitive = plus === undefined ? 0 : Math.floor(count * (1 - plus.sensitiveShare));
  const outputs = everyWord(count).subarray(firstSensitive);
  const { dimension, values } = vectors;
  const softmax = (x: number): Float64Array => {
    const weights = Float64Array.from(outputs, (y) => {
      let square = 0;
      for (let d = 0; d < dimension; d++)
        square += (values[x * dimension + d]! - values[y * dimension + d]!) ** 2;
      return Math.exp((-epsilon * Math.sqrt(square)) / 2);
    });
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return weights.map((weight) => weight / total);
  };
  return mechanismOf(
    plus === undefined ? 'SANTEXT' : 'SANTEXT+',
    `metric privacy, ${epsilon} a unit of Euclidean distance`,
    [everyWord(count)],
    (x) => {
      const probabilities = softmax(x);
      if (x >= firstSensitive) return { outputs, probabilities };
      const scaled = probabilities.map((p) => p * plus!.replace);
      return {
        outputs: Uint32Array.of(x, ...outputs),
        probabilities: Float64Array.of(1 - plus!.replace, ...scaled),
      };
    },
  );
}

/**
 * CUSTEXT (Chen et al. 2023): lists of k words, utilities scaled to [0,1] per input, exponential mechanism. `conservative`: blocks, made
 * by walking the words by frequency and taking the nearest unused ones. `aggressive`: every word has its own list, hence no finite
 * epsilon. `kept` words (CUSTEXT+: stop words) pass in clear.
 */
export function custext(
  vectors: WordVectors,
  epsilon: number,
  options: {
    readonly k: number;
    readonly mapping: 'conservative' | 'aggressive';
    readonly kept?: ReadonlySet<string>;
  },
): Mechanism {
  const unit = unitRows(vectors);
  const count = vectors.words.length;
  const list: CandidateList =
    options.mapping === 'aggressive'
      ? { kind: 'nearest', k: options.k }
      : { kind: 'blocks', blocks: greedyBlocks(unit, vectors.dimension, options.k) };
  const candidates = candidateFinder(vectors, unit, list);
  const kept = options.kept ?? new Set<string>();
  return mechanismOf(
    `CUSTEXT${kept.size > 0 ? '+' : ''} ${options.mapping}`,
    `epsilon ${epsilon}`,
    groupsOf(list, count),
    (x) => {
      const outputs = candidates(x);
      if (kept.has(vectors.words[x]!))
        return { outputs: Uint32Array.of(x), probabilities: Float64Array.of(1) };
      const utilities = cosines(unit, vectors.dimension, x, outputs);
      return {
        outputs,
        probabilities: noisyMaxProbabilities(utilities, (2 * spread(utilities)) / epsilon, 'gumbel'),
      };
    },
  );
}

/** Blocks by walking the words in order and taking the k - 1 nearest that are still free. */
export function greedyBlocks(unit: Float64Array, dimension: number, k: number): Uint32Array[] {
  const free = new Set(Array.from({ length: unit.length / dimension }, (_, i) => i));
  const blocks: Uint32Array[] = [];
  for (const word of free) {
    const block = nearestWords(unit, dimension, word, Uint32Array.from(free), k);
    for (const member of block) free.delete(member);
    blocks.push(block);
  }
  return blocks;
}

/** k-ary randomised response on blocks: keep with e^eps / (e^eps + k - 1), else any other word of the block. */
export function randomisedResponse(blocks: readonly Uint32Array[], epsilon: number): Mechanism {
  const blockOf: Uint32Array[] = [];
  for (const block of blocks) for (const word of block) blockOf[word] = block;
  return mechanismOf('k-ary randomised response', `epsilon ${epsilon}`, blocks, (x) => {
    const outputs = blockOf[x]!;
    const total = Math.exp(epsilon) + outputs.length - 1;
    return {
      outputs,
      probabilities: Float64Array.from(outputs, (y) => (y === x ? Math.exp(epsilon) : 1) / total),
    };
  });
}

/** Blocks of k words by vectors alone, for baselines that need some. */
export function plainBlocks(vectors: WordVectors, k: number): Uint32Array[] {
  return balancedGroups(unitRows(vectors), vectors.dimension, k);
}
