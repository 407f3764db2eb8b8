// Writes the table of drafts of a model from texts that the model makes itself, with fixed seeds: the same table each time.
// Usage: node scripts/make-draft-table.mjs OUT [TEXTS] [MODEL] [TOKENIZER]
import { writeFile } from 'node:fs/promises';
import { DraftTable } from '@sotto/client';
import { accelerate, generate, readModelFile, readTokenizerFile } from '@sotto/model';

const [out, texts = '1500', model, tokenizerPath] = process.argv.slice(2);
if (out === undefined) throw new Error('Say where to write: node scripts/make-draft-table.mjs OUT');

/** Cooler than the model's own distribution: answers are chosen greedily. */
const TEMPERATURE = 0.7;
const TOKENS = 200;

const { weights } = await readModelFile({ model });
const tokenizer = await readTokenizerFile({ model, tokenizer: tokenizerPath }, weights.config.vocabSize);
const fast = accelerate(weights);
const endTokens = new Set([...tokenizer.endTokens, tokenizer.bosToken]);
const maxTokens = Math.min(TOKENS, weights.config.contextLength - 1);
const samples = Array.from({ length: Number(texts) }, (_, seed) => {
  const options = { maxTokens, temperature: TEMPERATURE, seed: seed + 1, endTokens };
  return [tokenizer.bosToken, ...generate(fast, [tokenizer.bosToken], options)];
});
const table = DraftTable.count(weights.digest, samples);
const bytes = table.write();
await writeFile(out, bytes);
const tokens = samples.reduce((sum, text) => sum + text.length, 0);
console.log(`${table.size} endings from ${tokens} tokens, ${bytes.length} bytes`);
