// The mechanisms of the SST-2 benchmarks, by name, on the part of the vocabulary that a scope sanitizes.
import {
  bayesSuccess,
  blockEntropyBits,
  buildStaircase,
  custext,
  greedyBlocks,
  groupWords,
  judge,
  keepRate,
  lexiconValues,
  noisyMax,
  plainBlocks,
  randomisedResponse,
  santext,
  tableMechanism,
  taskValues,
  wordVectors,
} from '@sotto/privacy';

export const stopWords = new Set(
  (
    'i me my we our ours you your yours he him his she her hers it its they them their theirs what which who whom this that these those ' +
    'am is are was were be been being have has had having do does did doing a an the and but if or because as until while of at by for ' +
    'with about against between into through during before after above below to from up down in out on off over under again further then ' +
    "once here there when where why how all any both each few more most other some such no nor not only own same so than too very 's n't can " +
    'will just should now'
  ).split(' '),
);

/** Share of the types, the most frequent ones, that pass in clear. */
export const scopes = { all: 0, low5: 0.05, low: 0.1, low50: 0.5 };

/** Block sizes of the staircase tables with the epsilons that they are measured at. */
export const shapes = [
  [50, 10, ['0.5', '1', '2', '3', '6']],
  [20, 5, ['0.01', '0.5', '1', '2', '3', '6']],
  [20, 3, ['2', '3', '6']],
  [8, 2, ['0.5', '1', '2', '3', '6']],
];

export const tables = ['task', 'lexicon', 'neutral'];
const isMetric = (name) => name.startsWith('santext');

/** Keeps all rows, a gigabyte of them for a whole vocabulary: each is asked for several times. */
function withKeptRows(mechanism) {
  const rows = [];
  return {
    ...mechanism,
    row: (input) => {
      rows[input] ??= mechanism.row(input);
      return rows[input];
    },
  };
}

const round = (value) => Math.round(value * 1e4) / 1e4;

/**
 * @param data of `loadSst2`
 * @param lexicon sentiment by word, or null: then there are no lexicon tables
 * @returns `make(name, epsilon)`, where `name` is a rival of `rivals` or a table with its shape, such as `task 20,5`: the mechanism over
 * the words from `offset` on, and the facts about it that go into a line of results
 */
export function mechanismsOf(data, scope, lexicon) {
  const { vocabulary, counts } = data;
  const { dimension } = vocabulary;
  const offset = Math.floor(vocabulary.words.length * scopes[scope]);
  const part = wordVectors(
    vocabulary.words.slice(offset),
    dimension,
    vocabulary.values.slice(offset * dimension),
  );
  const coordinates = {
    neutral: () => [],
    task: () => {
      const texts = [...data.phrases, ...data.train].map(({ items, label }) => ({
        words: items.filter((id) => id !== null),
        label,
      }));
      return [{ values: taskValues(vocabulary.words.length, texts).slice(offset), weight: 1 }];
    },
    lexicon: () => [{ values: lexiconValues(part, lexicon), weight: 1 }],
  };
  const groups = new Map();
  const grouped = (table, k) => {
    const key = `${table} ${k}`;
    if (!groups.has(key)) {
      const own = coordinates[table]();
      groups.set(key, { own, words: groupWords(part, { k, coordinates: own }) });
    }
    return groups.get(key);
  };
  const plain = { kind: 'blocks', blocks: plainBlocks(part, 20) };
  const nearest = { kind: 'nearest', k: 20 };
  const unit = unitRows(part);
  const custextOf = (epsilon, options) => custext(part, epsilon, { k: 20, ...options });
  const onBlocks = (epsilon, noise, scale) => noisyMax(part, { epsilon, list: plain, noise, scale });
  const rivals = {
    rnm: (epsilon) => noisyMax(part, { epsilon, list: nearest, noise: 'laplace', scale: 'D/eps' }),
    rnm2: (epsilon) => noisyMax(part, { epsilon, list: nearest, noise: 'laplace', scale: '2D/eps' }),
    rnmBlocks: (epsilon) => onBlocks(epsilon, 'laplace', 'D/eps'),
    rnmCalibrated: (epsilon) => onBlocks(epsilon, 'laplace', 'calibrated'),
    rnmTaskBlocks: (epsilon) => {
      const list = { kind: 'blocks', blocks: grouped('task', 20).words.groups };
      return noisyMax(part, { epsilon, list, noise: 'laplace', scale: 'calibrated' });
    },
    exponential: (epsilon) => onBlocks(epsilon, 'gumbel', '2D/eps'),
    permuteAndFlip: (epsilon) => onBlocks(epsilon, 'exponential', '2D/eps'),
    custext: (epsilon) => custextOf(epsilon, { mapping: 'conservative' }),
    custextPlus: (epsilon) => custextOf(epsilon, { mapping: 'conservative', kept: stopWords }),
    custextAggressive: (epsilon) => custextOf(epsilon, { mapping: 'aggressive' }),
    custextPlusAggressive: (epsilon) => custextOf(epsilon, { mapping: 'aggressive', kept: stopWords }),
    response: (epsilon) => randomisedResponse(greedyBlocks(unit, dimension, 20), epsilon),
    santext: (epsilon) => withKeptRows(santext(part, epsilon)),
    santextPlus: (epsilon) => withKeptRows(santext(part, epsilon, { sensitiveShare: 0.9, replace: 0.3 })),
  };

  const prior = (weight) => {
    const values = Float64Array.from(part.words, (_, i) => weight(i + offset));
    const total = values.reduce((sum, value) => sum + value, 0);
    return values.map((value) => value / total);
  };
  const attacks = (mechanism) => ({
    keep: round(
      keepRate(
        mechanism,
        prior((i) => counts[i]),
      ),
    ),
    attackUniform: round(
      bayesSuccess(
        mechanism,
        prior(() => 1),
      ),
    ),
    attackZipf: round(
      bayesSuccess(
        mechanism,
        prior((i) => 1 / (i + 11)),
      ),
    ),
    attackTrue: round(
      bayesSuccess(
        mechanism,
        prior((i) => counts[i]),
      ),
    ),
  });

  const make = (name, epsilon) => {
    const [family, shape] = name.split(' ');
    if (!tables.includes(family)) {
      const mechanism = rivals[family](Number(epsilon));
      const sample = Uint32Array.from({ length: 40 }, (_, i) => Math.floor((i * part.words.length) / 40));
      const { epsilon: found } = judge(mechanism, isMetric(family) ? [sample] : mechanism.groups);
      const facts = {
        notion: isMetric(family) ? 'metric privacy, epsilon a unit of distance' : 'ldp-within-block',
        exactEpsilon: Number.isFinite(found) ? round(found) : null,
        ...(isMetric(family) ? { exactEpsilonIs: 'at least, from 40 words' } : {}),
      };
      return { mechanism, facts: () => ({ ...facts, ...attacks(mechanism) }) };
    }
    const [k, m] = shape.split(',').map(Number);
    const { own, words } = grouped(family, k);
    const shared = {
      name: family,
      provenance: 'SST-2',
      notion: 'ldp-within-block',
      k,
      m,
      coordinates: own,
      epsilon: `${epsilon}`,
    };
    const table = buildStaircase(part, shared, words);
    const mechanism = tableMechanism(table);
    return {
      mechanism,
      facts: () => ({
        notion: table.notion,
        exactEpsilon: Number(epsilon),
        blockBits: round(blockEntropyBits(table)),
        ...attacks(mechanism),
      }),
    };
  };
  return { offset, part, rivals: Object.keys(rivals), make };
}

function unitRows({ values, words, dimension }) {
  const unit = Float64Array.from(values);
  for (let i = 0; i < words.length; i++) {
    const row = unit.subarray(dimension * i, dimension * i + dimension);
    const length = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
    for (let d = 0; d < dimension; d++) row[d] /= length;
  }
  return unit;
}
