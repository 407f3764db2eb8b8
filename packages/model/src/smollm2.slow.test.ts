import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  accelerate,
  argmax,
  embedTokens,
  encodeChat,
  finishLogits,
  forwardRows,
  generate,
  KvCache,
  type LlamaModel,
  readModelFile,
  readTokenizerFile,
  type Tokenizer,
} from './index.js';

const path = fileURLToPath(
  new URL(
    '../../../../shared/data/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf',
    import.meta.url,
  ),
);
const golden: {
  runs: { kind: 'raw' | 'chat'; prompt: string; promptIds: number[]; ids: number[] }[];
} = JSON.parse(readFileSync(new URL('./testdata/golden-smollm2.json', import.meta.url), 'utf8'));

/** llama.cpp rounds activations to eight bits: below this distance of two logits it may choose otherwise. */
const ROUNDING_GAP = 0.3;

describe.skipIf(!existsSync(path))('SmolLM2-135M-Instruct (skipped without its file in shared/data)', () => {
  let oracle: LlamaModel;
  let fast: LlamaModel;
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    oracle = (await readModelFile({ model: path })).weights;
    fast = accelerate(oracle);
    tokenizer = await readTokenizerFile({ model: path }, oracle.config.vocabSize);
  });

  test('chooses what llama.cpp chooses wherever the choice is clear', () => {
    let same = 0;
    let all = 0;
    for (const { kind, prompt, promptIds, ids } of golden.runs) {
      const tokens =
        kind === 'raw'
          ? tokenizer.encode(prompt)
          : encodeChat(tokenizer, [{ role: 'user', content: prompt }]);
      expect(tokens).toEqual(promptIds);
      const rows = forwardRows(fast, embedTokens(fast, [...tokens, ...ids.slice(0, -1)]), new KvCache(30));
      ids.forEach((id, i) => {
        const logits = finishLogits(fast, rows[tokens.length - 1 + i]!);
        const choice = argmax(logits);
        all++;
        if (choice === id) same++;
        else expect(logits[choice]! - logits[id]!).toBeLessThan(ROUNDING_GAP);
      });
    }
    expect(same / all).toBeGreaterThan(0.95);
  });

  test('answers a question', () => {
    const tokens = encodeChat(tokenizer, [{ role: 'user', content: 'What is the capital of France?' }]);
    const options = { maxTokens: 20, temperature: 0, endTokens: tokenizer.endTokens };
    expect(tokenizer.decode([...generate(fast, tokens, options)])).toBe('The capital of France is Paris.');
  });

  test('float kernels and oracle agree', () => {
    const tokens = tokenizer.encode('Water boils at');
    const [a, b] = [oracle, fast].map((model) => {
      const rows = forwardRows(model, embedTokens(model, tokens), new KvCache(30));
      return finishLogits(model, rows[rows.length - 1]!);
    }) as [Float64Array, Float64Array];
    expect(argmax(b)).toBe(argmax(a));
    expect(Math.max(...a.map((value, i) => Math.abs(value - b[i]!)))).toBeLessThan(1e-2);
  });
});
