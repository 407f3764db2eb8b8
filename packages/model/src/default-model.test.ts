import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  argmax,
  defaultModel,
  embeddedModel,
  findEmbedded,
  forward,
  generate,
  KvCache,
  modelPath,
  readModelFile,
  readTokenizerFile,
} from './index.js';

const { name, license, weights } = await readModelFile();
const golden: { tokens: number[]; rows: { position: number; logits: number[] }[] } = JSON.parse(
  readFileSync(new URL('./testdata/golden-sotto-stories-2x128.json', import.meta.url), 'utf8'),
);

describe('the default model', () => {
  it('is the distilled one; the other is there by its name', async () => {
    expect([name, license]).toEqual([defaultModel.name, 'Apache-2.0']);
    expect(weights.config).toMatchObject({
      layerCount: 2,
      dim: 128,
      attention: 'kernel4-rms',
      gate: 'bilinear',
    });
    const other = await readModelFile({ model: 'stories260K' });
    expect([other.name, other.license, other.weights.config.layerCount]).toEqual(['stories260K', 'MIT', 5]);
    expect(findEmbedded(modelPath('stories260K'))).toBe(embeddedModel);
    expect(modelPath('models/other')).toBe('models/other');
    expect(findEmbedded('models/other')).toBeUndefined();
  });

  it('gives the logits that it was trained with', () => {
    const { logits } = forward(weights, golden.tokens, new KvCache(2));
    expect(golden.rows.length).toBeGreaterThan(4);
    for (const row of golden.rows) {
      const got = logits[row.position]!;
      for (const [i, want] of row.logits.entries()) expect(Math.abs(got[i]! - want)).toBeLessThan(1e-4);
      expect(argmax(got)).toBe(argmax(row.logits));
    }
  });

  it('tells a story', async () => {
    const tokenizer = await readTokenizerFile({}, weights.config.vocabSize);
    const prompt = tokenizer.encode('Once upon a time, there was a little');
    const options = { maxTokens: 40, temperature: 0, endTokens: new Set<number>() };
    const text = tokenizer.decode([...generate(weights, prompt, options)]);
    const words = text.trim().split(/\s+/);
    expect(words.length).toBeGreaterThan(12);
    expect(new Set(words).size).toBeGreaterThan(10);
  });
});
