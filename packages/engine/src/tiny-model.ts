import { sha256, toHex } from '@sotto/base';
import {
  attentionKindOf,
  attentionWidthOf,
  checkConfig,
  gateKindOf,
  kvDimOf,
  type LlamaConfig,
  type LlamaModel,
  SeededRandom,
} from '@sotto/model';
import { calibrate } from './calibrate.js';
import type { Calibration } from './calibration.js';

/** Names a model that is in no file, by what it was made from. */
export const digestOf = (made: unknown): string =>
  toHex(sha256(new TextEncoder().encode(JSON.stringify(made))));

/**
 * A random model that fits small rings, and its calibration: two layers of width 8, two heads, grouped keys. Weights are scaled so
 * that all ranges are tame; it has no language, but every part of the circuit of its kinds.
 *
 * @param calibratedTokens length of the texts that its ranges are measured on.
 */
export function tinyTestModel(
  seed: number,
  shape: Partial<LlamaConfig> = {},
  calibratedTokens = 32,
): { model: LlamaModel; calibration: Calibration } {
  const config: LlamaConfig = {
    dim: 8,
    hiddenDim: 12,
    layerCount: 2,
    headCount: 2,
    kvHeadCount: 1,
    vocabSize: 24,
    contextLength: 64,
    tied: true,
    normEps: 1e-5,
    ropeBase: 10000,
    ...(shape.attention === 'kernel4-rms' ? { headEps: 4 } : {}),
    ...shape,
  };
  checkConfig(config);
  const random = new SeededRandom(seed);
  const tensor = (size: number, scale: number, mean = 0): Float32Array =>
    Float32Array.from({ length: size }, () => mean + scale * random.normal());
  const { dim, hiddenDim } = config;
  const kvDim = kvDimOf(config);
  const width = attentionWidthOf(config);
  const fan = (inputs: number, gain: number): number => gain / Math.sqrt(inputs);
  const kernel = attentionKindOf(config) === 'kernel4-rms';
  const bilinear = gateKindOf(config) === 'bilinear';
  // A fourth power and a product have longer tails than softmax and SiLU.
  const sharpness = kernel ? 0.6 : 1.2;
  const embedding = tensor(config.vocabSize * dim, 1);
  const layers = Array.from({ length: config.layerCount }, () => ({
    ...(kernel ? { keyCountPower: tensor(config.headCount, 0.1, 0.6) } : {}),
    attentionNorm: tensor(dim, 0.1, 1),
    wq: tensor(width * dim, fan(dim, sharpness)),
    wk: tensor(kvDim * dim, fan(dim, sharpness)),
    wv: tensor(kvDim * dim, fan(dim, 1)),
    wo: tensor(dim * width, fan(width, 0.5)),
    feedForwardNorm: tensor(dim, 0.1, 1),
    w1: tensor(hiddenDim * dim, fan(dim, 1)),
    w2: tensor(dim * hiddenDim, fan(hiddenDim, bilinear ? 0.25 : 0.5)),
    w3: tensor(hiddenDim * dim, fan(dim, 1)),
  }));
  const digest = digestOf([seed, config]);
  const finalNorm = tensor(dim, 0.1, 1);
  const model: LlamaModel = { config, embedding, layers, finalNorm, head: embedding, digest };
  // A random model is asked about any tokens, not about its own text.
  const length = Math.min(calibratedTokens, config.contextLength);
  const texts = Array.from({ length: 64 }, () =>
    Array.from({ length: length - 1 }, () => 3 + Math.floor(random.next() * (config.vocabSize - 3))),
  );
  const corpora = [{ name: 'random tokens', texts }];
  return { model, calibration: calibrate(model, { texts: 0, tokens: length, seed, corpora }) };
}
