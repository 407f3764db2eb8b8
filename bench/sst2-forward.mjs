// Hidden states of a chat model as features of sentences: by our own packages, or by torch where that is installed (about ten times faster).
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { accelerate, embedTokens, KvCache, readModelFile, readTokenizerFile, traceRows } from '@sotto/model';

const before = 'Review: ';
const after = '\nSentiment (positive or negative):';

/** Which states are the features: of the last token after `last` layers, and the mean over the sentence after `mean` layers. */
export const featureLayers = { last: [16, 22], mean: [14, 16] };

/** Model and tokenizer from a file; `encode` puts a sentence into the question and returns its tokens. */
export async function openChatModel(path) {
  const { weights } = await readModelFile({ model: path });
  const tokenizer = await readTokenizerFile({ model: path }, weights.config.vocabSize);
  const suffix = tokenizer.encode(after);
  const encode = (sentence) => {
    const ids = tokenizer.encode(`${before}${sentence}${after}`);
    if (suffix.some((id, i) => ids[ids.length - suffix.length + i] !== id))
      throw new Error('The tokens of the question depend on the sentence.');
    return ids;
  };
  return { weights, encode, suffix: suffix.length };
}

/**
 * The forward by `packages/model`: float32 products, everything else float64.
 *
 * @returns `features(lists)`: for every list of tokens a Float32Array, the states named by `layers` one after the other.
 */
export function ownForward({ weights, suffix }, layers = featureLayers) {
  const depth = Math.max(...layers.last, ...layers.mean);
  const { config } = weights;
  const model = accelerate({
    ...weights,
    config: { ...config, layerCount: depth },
    layers: weights.layers.slice(0, depth),
  });
  const one = (tokens) => {
    const out = new Float32Array(config.dim * (layers.last.length + layers.mean.length));
    const sums = layers.mean.map(() => new Float64Array(config.dim));
    const end = tokens.length - suffix;
    traceRows(model, embedTokens(model, tokens), new KvCache(depth), (name, layer, position, values) => {
      if (name !== 'residual') return;
      const last = layers.last.indexOf(layer);
      if (last >= 0 && position === tokens.length - 1) out.set(values, last * config.dim);
      const mean = layers.mean.indexOf(layer);
      if (mean >= 0 && position >= 1 && position < end)
        for (let d = 0; d < config.dim; d++) sums[mean][d] += values[d] / (end - 1);
    });
    sums.forEach((sum, i) => {
      out.set(sum, (layers.last.length + i) * config.dim);
    });
    return out;
  };
  return { features: async (lists) => lists.map(one), close: () => {} };
}

/** The same by torch in bfloat16; the weights are those that our reader has read, written to `folder` once. */
export function torchForward({ weights, suffix }, { python, folder, threads = 1 }, layers = featureLayers) {
  const depth = Math.max(...layers.last, ...layers.mean);
  const path = `${folder}/weights-${weights.digest.slice(0, 16)}-${depth}.f32`;
  if (!existsSync(path)) {
    mkdirSync(folder, { recursive: true });
    const names = ['attentionNorm', 'wq', 'wk', 'wv', 'wo', 'feedForwardNorm', 'w1', 'w3', 'w2'];
    const parts = [
      weights.embedding,
      ...weights.layers.slice(0, depth).flatMap((layer) => names.map((name) => layer[name])),
    ];
    const bytes = Buffer.concat(
      parts.map(({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength)),
    );
    writeFileSync(`${path}.part`, bytes);
    renameSync(`${path}.part`, path);
  }
  const script = fileURLToPath(new URL('sst2-features.py', import.meta.url));
  const child = spawn(python, [script], { stdio: ['pipe', 'pipe', 'inherit'] });
  const settings = { weights: path, config: weights.config, ...layers, suffix, threads };
  child.stdin.write(`${JSON.stringify(settings)}\n`);
  const width = weights.config.dim * (layers.last.length + layers.mean.length);
  let waiting = null;
  let bytes = [];
  let have = 0;
  child.stdout.on('data', (chunk) => {
    bytes.push(chunk);
    have += chunk.length;
    if (waiting === null || have < waiting.sizeBytes) return;
    const all = Buffer.concat(bytes);
    const { buffer, byteOffset } = all;
    const { count, resolve } = waiting;
    [waiting, bytes, have] = [null, [], 0];
    resolve(
      Array.from({ length: count }, (_, i) => {
        const at = byteOffset + 4 * width * i;
        return new Float32Array(buffer.slice(at, at + 4 * width));
      }),
    );
  });
  child.on('exit', (code) => {
    waiting?.reject(new Error(`The forward by torch ended with ${code}.`));
  });
  return {
    features: (lists) =>
      new Promise((resolve, reject) => {
        waiting = { count: lists.length, sizeBytes: 4 * width * lists.length, resolve, reject };
        child.stdin.write(`${JSON.stringify(lists)}\n`);
      }),
    close: () => child.stdin.end(),
  };
}
