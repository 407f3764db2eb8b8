import { BOS_TOKEN, checkConfig, type LlamaConfig, type LlamaModel, SeededRandom } from '@sotto/model';
import { digestOf } from './tiny-model.js';

/**
 * Where a planted model is massive (arXiv 2402.17762):
 *
 * - `first-position`: the row of BOS, by its embedding;
 * - `first-occurrence`: the first row of one token, by attention and SiLU, as delimiters in large models; later rows of it are like
 *   all others;
 * - `channel`: one channel of every row.
 */
export type PlantedSink = 'first-position' | 'first-occurrence' | 'channel';

/** The token that is massive where it comes first. */
export const PLANTED_TOKEN = 7;
/** Massive values are about this; others are of the order of one. */
const MASSIVE = 300;

const SHAPE: LlamaConfig = {
  dim: 16,
  hiddenDim: 24,
  layerCount: 2,
  headCount: 2,
  kvHeadCount: 2,
  vocabSize: 24,
  contextLength: 64,
  tied: false,
  normEps: 1e-5,
  ropeBase: 10000,
};
/** Channels of the mechanism of `first-occurrence`; `sink` is the massive one of every kind. */
const channel = { bos: 12, token: 13, one: 14, sink: 15 } as const;
const FREE_CHANNELS = 12;

/**
 * A random model of two layers with massive activations made by hand, for tests of what a public prefix and a rotation repair. Its
 * head is its own: a tied one would answer BOS to everything. Deterministic.
 */
export function plantedModel(sink: PlantedSink, seed: number): LlamaModel {
  const config = SHAPE;
  checkConfig(config);
  const random = new SeededRandom(seed);
  const { dim, hiddenDim, layerCount, vocabSize } = config;
  const tensor = (size: number, scale: number, mean = 0): Float32Array =>
    Float32Array.from({ length: size }, () => mean + scale * random.normal());
  const fan = (inputs: number, gain: number): number => gain / Math.sqrt(inputs);
  const embedding = tensor(vocabSize * dim, 1);
  const layers = Array.from({ length: layerCount }, () => ({
    attentionNorm: tensor(dim, 0.1, 1),
    wq: tensor(dim * dim, fan(dim, 1.2)),
    wk: tensor(dim * dim, fan(dim, 1.2)),
    wv: tensor(dim * dim, fan(dim, 1)),
    wo: tensor(dim * dim, fan(dim, 0.5)),
    feedForwardNorm: tensor(dim, 0.1, 1),
    w1: tensor(hiddenDim * dim, fan(dim, 1)),
    w2: tensor(dim * hiddenDim, fan(hiddenDim, 0.5)),
    w3: tensor(hiddenDim * dim, fan(dim, 1)),
  }));
  const model: LlamaModel = {
    config,
    embedding,
    layers,
    finalNorm: tensor(dim, 0.1, 1),
    head: tensor(vocabSize * dim, fan(dim, 2)),
    digest: digestOf([sink, seed, config]),
  };
  if (sink === 'first-position') {
    for (let i = 0; i < dim; i++) embedding[BOS_TOKEN * dim + i]! *= MASSIVE;
  } else if (sink === 'channel') plantChannel(model, random);
  else plantFirstOccurrence(model);
  return model;
}

/** A constant that all rows carry in one channel; norms with gains that make up for it. */
function plantChannel(model: LlamaModel, random: SeededRandom): void {
  const { dim, vocabSize } = model.config;
  for (let token = 0; token < vocabSize; token++)
    model.embedding[token * dim + channel.sink] = MASSIVE * (1 + 0.01 * random.normal());
  const gains = [model.finalNorm, ...model.layers.flatMap((l) => [l.attentionNorm, l.feedForwardNorm])];
  for (const gain of gains) {
    for (let i = 0; i < dim; i++) gain[i]! *= i === channel.sink ? 0.02 : MASSIVE / Math.sqrt(dim);
  }
}

/**
 * In layer 0, head 0 of a row of the token sees BOS and all rows of the token so far alike: BOS by half when there is one, by a third
 * when there are two. Their values are opposite, so only the first row of the token has none in the sink channel; a unit of the
 * feed-forward half whose gate is open only there makes it massive.
 */
function plantFirstOccurrence({ config, embedding, layers }: LlamaModel): void {
  const { dim, vocabSize, hiddenDim } = config;
  const headDim = dim / config.headCount;
  for (let token = 0; token < vocabSize; token++) {
    const row = embedding.subarray(token * dim, (token + 1) * dim);
    // Rows of one length, so that normalised flags are alike.
    const length = Math.hypot(...row.subarray(0, FREE_CHANNELS));
    for (let i = 0; i < FREE_CHANNELS; i++) row[i]! *= Math.sqrt(FREE_CHANNELS - 4) / length;
    row[channel.bos] = token === BOS_TOKEN ? 2 : 0;
    row[channel.token] = token === PLANTED_TOKEN ? 2 : 0;
    row[channel.one] = token === BOS_TOKEN || token === PLANTED_TOKEN ? 1 : Math.sqrt(5);
    row[channel.sink] = 0;
  }
  const reserved = Object.values(channel);
  for (const layer of layers) {
    layer.attentionNorm.fill(1);
    layer.feedForwardNorm.fill(1);
  }
  const { wq, wk, wv, wo, w1, w2, w3 } = layers[0]!;
  for (const output of reserved) {
    for (let j = 0; j < dim; j++) wo[output * dim + j] = 0;
    for (let j = 0; j < hiddenDim; j++) w2[output * hiddenDim + j] = 0;
  }
  const head = (w: Float32Array) => w.subarray(0, headDim * dim).fill(0);
  for (const w of [wq, wk, wv]) head(w);
  // The slow rotary pairs hardly turn within the context.
  const slow = headDim - 2;
  wq[slow * dim + channel.token] = 6;
  wk[slow * dim + channel.bos] = 2;
  wk[slow * dim + channel.token] = 2;
  wk[slow * dim + channel.one] = -1;
  // Rows of other tokens look at each other, which leaves the sink channel empty.
  const others = headDim - 4;
  wq[others * dim + channel.one] = 3;
  wk[others * dim + channel.bos] = -3;
  wk[others * dim + channel.token] = -3;
  wv[channel.bos] = 1;
  wv[channel.token] = -1;
  for (let i = 0; i < dim; i++) for (let j = 0; j < headDim; j++) wo[i * dim + j] = 0;
  wo[channel.sink * dim] = 4;
  // The gate: open at the token while the sink channel is not below -1.3.
  w1.subarray(0, dim).fill(0);
  w3.subarray(0, dim).fill(0);
  w1[channel.sink] = 6;
  w1[channel.token] = 6;
  w1[channel.one] = -4;
  w3[channel.one] = 1;
  for (let i = 0; i < dim; i++) w2[i * hiddenDim] = 0;
  w2[channel.sink * hiddenDim] = MASSIVE / 8;
}
