import { SottoError } from '@sotto/base';
import {
  attentionKindOf,
  attentionWidthOf,
  gateKindOf,
  headDimOf,
  kvDimOf,
  type LlamaConfig,
} from './config.js';
import { kernelBase, kernelSums, keyCountFactor } from './kernel-attention.js';
import type { LlamaModel } from './llama2c.js';

/**
 * Receives intermediate values of one row: `residual`, `attentionMeanSquare`, `normalised`, `query` and `key` (after RoPE),
 * `value`, `scores` (one array a head, over all positions up to the row), `kernelBase` (with the fourth root of the key count
 * factor), `headSums` and `headMeanSquare` (kernel attention, one array a head), `attention`, `feedForwardMeanSquare`, `gate`, `up`.
 * Layer `layerCount` carries the final `residual`. The array belongs to the caller of the hook: copy what you keep.
 */
export type LlamaTrace = (
  name: string,
  layer: number,
  position: number,
  values: Float64Array,
  head: number,
) => void;

/** Keys (after RoPE) and values of every position so far, layer by layer; a row has kvDim numbers. */
export class KvCache {
  readonly keys: Float64Array[][];
  readonly values: Float64Array[][];

  constructor(layerCount: number) {
    this.keys = Array.from({ length: layerCount }, () => []);
    this.values = Array.from({ length: layerCount }, () => []);
  }

  get length(): number {
    return this.values[this.values.length - 1]!.length;
  }

  /** A cache that shares the rows so far; appending to one does not change the other. */
  fork(): KvCache {
    const copy = new KvCache(this.keys.length);
    for (let l = 0; l < this.keys.length; l++) {
      copy.keys[l]!.push(...this.keys[l]!);
      copy.values[l]!.push(...this.values[l]!);
    }
    return copy;
  }
}

function matVec(w: Float32Array, x: Float64Array, outputs: number): Float64Array {
  const inputs = x.length;
  const whole = inputs - (inputs % 4);
  const y = new Float64Array(outputs);
  for (let i = 0, at = 0; i < outputs; i++) {
    let a = 0;
    let b = 0;
    let c = 0;
    let d = 0;
    let j = 0;
    for (; j < whole; j += 4, at += 4) {
      a += w[at]! * x[j]!;
      b += w[at + 1]! * x[j + 1]!;
      c += w[at + 2]! * x[j + 2]!;
      d += w[at + 3]! * x[j + 3]!;
    }
    for (; j < inputs; j++, at++) a += w[at]! * x[j]!;
    y[i] = a + b + (c + d);
  }
  return y;
}

/** w x for every row x. */
function multiply(
  model: LlamaModel,
  w: Float32Array,
  rows: readonly Float64Array[],
  outputs: number,
): Float64Array[] {
  return model.products?.multiply(w, rows, outputs) ?? rows.map((row) => matVec(w, row, outputs));
}

export function meanSquare(x: Float64Array): number {
  let sum = 0;
  for (const value of x) sum += value * value;
  return sum / x.length;
}

/** x / sqrt(mean(x^2) + eps) * gain. */
export function rmsNorm(x: Float64Array, gain: Float32Array, eps: number): Float64Array {
  const scale = 1 / Math.sqrt(meanSquare(x) + eps);
  return x.map((value, i) => value * scale * gain[i]!);
}

export function silu(x: number): number {
  return x / (1 + Math.exp(-x));
}

/** Angle by which the pair `pair` (features 2*pair and 2*pair+1 of a head) turns at `position`. */
export function ropeAngle(position: number, pair: number, headDim: number, base: number): number {
  return position * base ** ((-2 * pair) / headDim);
}

function rotateHeads(x: Float64Array, position: number, headDim: number, base: number): void {
  for (let at = 0; at < x.length; at += 2) {
    const angle = ropeAngle(position, (at % headDim) / 2, headDim, base);
    const cos = Math.cos(angle);
    const sin = Math.sin(angle);
    const a = x[at]!;
    const b = x[at + 1]!;
    x[at] = a * cos - b * sin;
    x[at + 1] = a * sin + b * cos;
  }
}

/** Embedding rows of tokens. Error `TOKEN_OUT_OF_RANGE`. */
export function embedTokens(model: LlamaModel, tokens: readonly number[]): Float64Array[] {
  const { dim, vocabSize } = model.config;
  return tokens.map((token) => {
    if (!Number.isInteger(token) || token < 0 || token >= vocabSize) {
      throw new SottoError('A token is not in the vocabulary of the model.', {
        code: 'TOKEN_OUT_OF_RANGE',
        facts: { vocabSize },
        fix: 'Encode the text with the tokenizer of this model.',
      });
    }
    return Float64Array.from(model.embedding.subarray(token * dim, (token + 1) * dim));
  });
}

/**
 * One causal pass of the transformer over a block of embedded rows, in float64: the oracle for every encrypted computation.
 * The rows continue `cache`, which grows by them.
 *
 * @returns the residual stream after the last layer, one array of dim numbers a row.
 * @throws SottoError `CONTEXT_EXCEEDED` when the positions leave the model's context.
 */
export function forwardRows(
  model: LlamaModel,
  rows: readonly Float64Array[],
  cache: KvCache,
  trace?: LlamaTrace,
): Float64Array[] {
  requireRoom(model.config, cache.length + rows.length);
  // Row by row for a trace: hooks see all of a row before the next.
  if (trace) return rows.flatMap((row) => advance(model, [row], cache, trace));
  return advance(model, rows, cache);
}

function requireRoom({ contextLength }: LlamaConfig, positions: number): void {
  if (positions <= contextLength) return;
  throw new SottoError('The text is longer than the context of the model.', {
    code: 'CONTEXT_EXCEEDED',
    facts: { positions, contextLength },
    fix: 'Shorten the prompt or ask for fewer tokens.',
  });
}

/** Rows that {@link traceRows} takes at a time. */
const TRACED_ROWS = 16;

/**
 * {@link forwardRows} with a trace in batches of rows, so that every weight is read once for many rows: within a batch the hook
 * sees one layer after the other, and in it each kind of value of all rows before the next kind.
 *
 * @returns the residual stream after the last layer. Errors as {@link forwardRows}.
 */
export function traceRows(
  model: LlamaModel,
  rows: readonly Float64Array[],
  cache: KvCache,
  trace: LlamaTrace,
): Float64Array[] {
  requireRoom(model.config, cache.length + rows.length);
  const out: Float64Array[] = [];
  for (let at = 0; at < rows.length; at += TRACED_ROWS)
    out.push(...advance(model, rows.slice(at, at + TRACED_ROWS), cache, trace));
  return out;
}

function advance(
  model: LlamaModel,
  rows: readonly Float64Array[],
  cache: KvCache,
  trace?: LlamaTrace,
): Float64Array[] {
  const c = model.config;
  const headDim = headDimOf(c);
  const kvDim = kvDimOf(c);
  const bilinear = gateKindOf(c) === 'bilinear';
  const first = cache.length;
  const xs = rows.map((row) => Float64Array.from(row));
  /** Tells the hook about one value of each row. */
  const tell = (name: string, layer: number, values: readonly Float64Array[]): void => {
    values.forEach((value, r) => {
      trace?.(name, layer, first + r, value, 0);
    });
  };
  const squares = (values: readonly Float64Array[]) => values.map((x) => Float64Array.of(meanSquare(x)));
  const addTo = (target: readonly Float64Array[], values: readonly Float64Array[]): void => {
    values.forEach((value, r) => {
      const x = target[r]!;
      for (let i = 0; i < x.length; i++) x[i]! += value[i]!;
    });
  };
  for (let l = 0; l < c.layerCount; l++) {
    const w = model.layers[l]!;
    tell('residual', l, xs);
    tell('attentionMeanSquare', l, squares(xs));
    const normalised = xs.map((x) => rmsNorm(x, w.attentionNorm, c.normEps));
    tell('normalised', l, normalised);
    const queries = multiply(model, w.wq, normalised, attentionWidthOf(c));
    const keys = multiply(model, w.wk, normalised, kvDim);
    const values = multiply(model, w.wv, normalised, kvDim);
    xs.forEach((_, r) => {
      rotateHeads(queries[r]!, first + r, headDim, c.ropeBase);
      rotateHeads(keys[r]!, first + r, headDim, c.ropeBase);
    });
    tell('query', l, queries);
    tell('key', l, keys);
    tell('value', l, values);
    cache.keys[l]!.push(...keys);
    cache.values[l]!.push(...values);
    const attention = queries.map((query, r) => attend(model, query, cache, l, first + r, trace));
    tell('attention', l, attention);
    addTo(xs, multiply(model, w.wo, attention, c.dim));
    tell('residualMiddle', l, xs);
    tell('feedForwardMeanSquare', l, squares(xs));
    const middle = xs.map((x) => rmsNorm(x, w.feedForwardNorm, c.normEps));
    const gates = multiply(model, w.w1, middle, c.hiddenDim);
    const ups = multiply(model, w.w3, middle, c.hiddenDim);
    tell('gate', l, gates);
    tell('up', l, ups);
    const inner = gates.map((gate, r) => gate.map((g, i) => (bilinear ? g : silu(g)) * ups[r]![i]!));
    tell('inner', l, inner);
    addTo(xs, multiply(model, w.w2, inner, c.dim));
  }
  tell('residual', c.layerCount, xs);
  return xs;
}

/** Attention of the row at `position` over all rows of the cache up to it. */
function attend(
  model: LlamaModel,
  query: Float64Array,
  cache: KvCache,
  layer: number,
  position: number,
  trace?: LlamaTrace,
): Float64Array {
  const c = model.config;
  const kernel = attentionKindOf(c) === 'kernel4-rms';
  const headDim = headDimOf(c);
  const group = c.headCount / c.kvHeadCount;
  const keys = cache.keys[layer]!;
  const values = cache.values[layer]!;
  const attention = new Float64Array(attentionWidthOf(c));
  for (let h = 0; h < c.headCount; h++) {
    const kvAt = Math.floor(h / group) * headDim;
    const scores = headScores(query, h, keys, kvAt, headDim, position + 1);
    trace?.('scores', layer, position, scores, h);
    if (kernel) {
      const power = model.layers[layer]!.keyCountPower![h]!;
      if (trace) {
        const factor = keyCountFactor(position + 1, power) ** 0.25;
        trace(
          'kernelBase',
          layer,
          position,
          scores.map((s) => factor * kernelBase(s)),
          h,
        );
      }
      const sums = kernelSums(scores, values, kvAt, headDim, power);
      const square = meanSquare(sums);
      trace?.('headSums', layer, position, sums, h);
      trace?.('headMeanSquare', layer, position, Float64Array.of(square), h);
      const inverse = 1 / Math.sqrt(square + c.headEps!);
      for (let i = 0; i < headDim; i++) attention[h * headDim + i] = sums[i]! * inverse;
      continue;
    }
    toWeights(scores);
    addWeighted(attention, h, scores, values, kvAt, headDim);
  }
  return attention;
}

/** Scaled scores of one head of a query with the first `count` keys: four features at a time, each sum in the order of the features. */
function headScores(
  query: Float64Array,
  head: number,
  keys: readonly Float64Array[],
  kvAt: number,
  headDim: number,
  count: number,
): Float64Array {
  const from = head * headDim;
  const root = Math.sqrt(headDim);
  const scores = new Float64Array(count);
  let i = 0;
  for (; i + 4 <= headDim; i += 4) {
    const [a, b, c, d] = [query[from + i]!, query[from + i + 1]!, query[from + i + 2]!, query[from + i + 3]!];
    const at = kvAt + i;
    for (let j = 0; j < count; j++) {
      const k = keys[j]!;
      scores[j] = scores[j]! + a * k[at]! + b * k[at + 1]! + c * k[at + 2]! + d * k[at + 3]!;
    }
  }
  for (; i < headDim; i++) {
    const a = query[from + i]!;
    for (let j = 0; j < count; j++) scores[j]! += a * keys[j]![kvAt + i]!;
  }
  for (let j = 0; j < count; j++) scores[j]! /= root;
  return scores;
}

/** Softmax in place. */
function toWeights(scores: Float64Array): void {
  let largest = Number.NEGATIVE_INFINITY;
  for (let j = 0; j < scores.length; j++) largest = Math.max(largest, scores[j]!);
  let total = 0;
  for (let j = 0; j < scores.length; j++) {
    const e = Math.exp(scores[j]! - largest);
    scores[j] = e;
    total += e;
  }
  for (let j = 0; j < scores.length; j++) scores[j]! /= total;
}

/** Adds the weighted values to one head of `out`. */
function addWeighted(
  out: Float64Array,
  head: number,
  weights: Float64Array,
  values: readonly Float64Array[],
  kvAt: number,
  headDim: number,
): void {
  const from = head * headDim;
  let i = 0;
  for (; i + 4 <= headDim; i += 4) {
    let [a, b, c, d] = [0, 0, 0, 0];
    const at = kvAt + i;
    for (let j = 0; j < weights.length; j++) {
      const v = values[j]!;
      const w = weights[j]!;
      a += w * v[at]!;
      b += w * v[at + 1]!;
      c += w * v[at + 2]!;
      d += w * v[at + 3]!;
    }
    out.set([a, b, c, d], from + i);
  }
  for (; i < headDim; i++) {
    let sum = 0;
    for (let j = 0; j < weights.length; j++) sum += weights[j]! * values[j]![kvAt + i]!;
    out[from + i] = sum;
  }
}

/** Final norm and output head of one row of the residual stream: vocabSize logits. */
export function finishLogits(model: LlamaModel, hidden: Float64Array): Float64Array {
  const normalised = rmsNorm(hidden, model.finalNorm, model.config.normEps);
  return multiply(model, model.head, [normalised], model.config.vocabSize)[0]!;
}

/** {@link forwardRows} on tokens, with logits: one array of vocabSize a token. */
export function forward(
  model: LlamaModel,
  tokens: readonly number[],
  cache: KvCache,
  trace?: LlamaTrace,
): { hidden: Float64Array[]; logits: Float64Array[] } {
  const hidden = forwardRows(model, embedTokens(model, tokens), cache, trace);
  return { hidden, logits: hidden.map((row) => finishLogits(model, row)) };
}

/** Index of the largest value; the first of equals. */
export function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}
