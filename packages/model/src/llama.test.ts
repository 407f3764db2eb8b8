import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  argmax,
  embeddedModel,
  embedTokens,
  finishLogits,
  forward,
  forwardRows,
  KvCache,
  meanSquare,
  readLlama2c,
  readTokenizer,
} from './index.js';

interface GoldenCase {
  prompt: string;
  prompt_ids: number[];
  greedy_ids: number[];
  text: string;
  logits_first_generated: number[];
  logits_after_8_more: number[];
  top5_ids: number[][];
  trace_last_prompt_token: Record<string, number[]>;
}

const golden: { cases: GoldenCase[] } = JSON.parse(
  readFileSync(new URL('./testdata/golden-stories260K.json', import.meta.url), 'utf8'),
);
const model = readLlama2c(readFileSync(embeddedModel.model));
const tokenizer = readTokenizer(readFileSync(embeddedModel.tokenizer), model.config.vocabSize);

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  let worst = 0;
  for (let i = 0; i < a.length; i++) worst = Math.max(worst, Math.abs(a[i]! - b[i]!));
  return worst;
}

test('the embedded model is the file its licence note names', () => {
  expect(model.digest).toBe('b0a507e7ad0f626624f17112325e66691f9076d622e1d3274d103d00299f2696');
  expect(model.config).toMatchObject({
    dim: 64,
    hiddenDim: 172,
    layerCount: 5,
    headCount: 8,
    kvHeadCount: 4,
    tied: true,
  });
});

describe.each(golden.cases)('golden run of "$prompt"', (expected) => {
  test('prompt ids, greedy ids, text, logits', () => {
    expect(tokenizer.encode(expected.prompt)).toEqual(expected.prompt_ids);
    const cache = new KvCache(model.config.layerCount);
    const tokens = [...expected.prompt_ids];
    const logits = forward(model, tokens, cache).logits;
    let last = logits[logits.length - 1]!;
    expect(largestDifference(last, expected.logits_first_generated)).toBeLessThan(1e-4);
    for (let step = 0; tokens.length < expected.greedy_ids.length; step++) {
      if (step === 8) expect(largestDifference(last, expected.logits_after_8_more)).toBeLessThan(1e-4);
      tokens.push(argmax(last));
      last = forward(model, tokens.slice(-1), cache).logits[0]!;
    }
    expect(tokens).toEqual(expected.greedy_ids);
    expect(tokenizer.decode(tokens)).toBe(expected.text);
  });

  test('residual stream and mean squares of the last prompt token', () => {
    const last = expected.prompt_ids.length - 1;
    const seen: Record<string, Float64Array> = {};
    forward(model, expected.prompt_ids, new KvCache(5), (name, layer, position, values) => {
      if (position === last) seen[`${name}${layer}`] = Float64Array.from(values);
    });
    const trace = expected.trace_last_prompt_token;
    for (let l = 0; l < 5; l++) {
      expect(largestDifference(seen[`residual${l}`]!, trace[`resid_in_${l}`]!)).toBeLessThan(1e-5);
      expect(largestDifference(seen[`residualMiddle${l}`]!, trace[`resid_mid_${l}`]!)).toBeLessThan(1e-5);
      expect(largestDifference(seen[`attentionMeanSquare${l}`]!, trace[`ms_att_${l}`]!)).toBeLessThan(1e-5);
      expect(largestDifference(seen[`feedForwardMeanSquare${l}`]!, trace[`ms_ffn_${l}`]!)).toBeLessThan(1e-5);
    }
    expect(meanSquare(seen.residual5!)).toBeCloseTo(trace.ms_fin_0![0]!, 4);
  });
});

test('a block of rows equals the same rows one at a time, at every split', () => {
  const tokens = golden.cases[2]!.prompt_ids;
  const whole = forward(model, tokens, new KvCache(5)).hidden;
  for (let split = 1; split < tokens.length; split++) {
    const cache = new KvCache(5);
    const first = forwardRows(model, embedTokens(model, tokens.slice(0, split)), cache);
    const fork = cache.fork();
    const rest = forwardRows(model, embedTokens(model, tokens.slice(split)), fork);
    expect(cache.length).toBe(split);
    [...first, ...rest].forEach((row, i) => {
      expect(largestDifference(row, whole[i]!)).toBe(0);
    });
  }
  expect(finishLogits(model, whole[0]!).length).toBe(512);
});

test('a token outside the vocabulary and a text beyond the context are refused', () => {
  expect(() => embedTokens(model, [512])).toThrow(/TOKEN_OUT_OF_RANGE/);
  expect(() => embedTokens(model, [-1])).toThrow(/TOKEN_OUT_OF_RANGE/);
  const rows = Array.from({ length: 513 }, () => new Float64Array(64));
  expect(() => forwardRows(model, rows, new KvCache(5))).toThrow(/CONTEXT_EXCEEDED/);
});
