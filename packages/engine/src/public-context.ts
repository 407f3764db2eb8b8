import { SottoError, sha256, toHex } from '@sotto/base';
import { BOS_TOKEN, forward, headDimOf, KvCache, type LlamaModel } from '@sotto/model';
import { attentionSlot, type Layout, pairStride, publicPlace } from './layout.js';
import { type LinearMap, linearMap } from './linear-map.js';

/** Keys and values of the public part of a prompt, computed in the clear. Never empty: BOS is public. */
export interface PublicContext {
  /** Digest of model and tokens: equal content, equal id. */
  readonly id: string;
  readonly length: number;
  readonly cache: KvCache;
}

/**
 * Runs the public tokens through the clear model.
 *
 * @throws SottoError `PUBLIC_PREFIX_INVALID` unless the tokens start with BOS, `TOKEN_OUT_OF_RANGE`, `CONTEXT_EXCEEDED`.
 */
export function prefillPublic(model: LlamaModel, tokens: readonly number[]): PublicContext {
  if (tokens[0] !== BOS_TOKEN) {
    throw new SottoError('The public part of a prompt must start with the BOS token.', {
      code: 'PUBLIC_PREFIX_INVALID',
      facts: { length: tokens.length },
      fix: 'Put BOS in front of the public tokens; ranges are calibrated for that.',
    });
  }
  const cache = new KvCache(model.config.layerCount);
  forward(model, tokens, cache);
  const id = toHex(sha256(new TextEncoder().encode(`${model.digest}:${tokens.join(',')}`))).slice(0, 24);
  return { id, length: tokens.length, cache };
}

/** A map whose output or input slots are public keys: all pairs of (output pair, input pair) by as many diagonals as pairs. */
function overPublic(
  name: string,
  l: Layout,
  length: number,
  keyAt: 'output' | 'input',
  entry: (
    outPair: number,
    inPair: number,
    keyNumber: number,
    head: number,
  ) => readonly [number, number] | null,
): LinearMap {
  const stride = pairStride(l);
  const places = l.columns * l.pairs;
  const first = l.privateColumns * l.pairs;
  return linearMap(
    name,
    l.slots,
    Array.from({ length: l.pairs }, (_, d) => d * stride),
    l.slots,
    (slot, diagonal) => {
      const output = Math.floor(slot / stride);
      const input = (output + diagonal / stride) % places;
      const keyNumber = (keyAt === 'output' ? output : input) - first;
      if (keyNumber < 0 || keyNumber >= length) return null;
      return entry(output % l.pairs, input % l.pairs, keyNumber, Math.floor(slot / l.blockRows) % l.heads);
    },
  );
}

/** Half the score product of rotated queries with the public keys: real parts are doubled later. */
export function publicScores(model: LlamaModel, l: Layout, context: PublicContext, layer: number): LinearMap {
  const { config } = model;
  const headDim = headDimOf(config);
  const group = config.headCount / config.kvHeadCount;
  const keys = context.cache.keys[layer]!;
  return overPublic(
    `public/${context.id}/scores/${layer}`,
    l,
    context.length,
    'output',
    (_, inPair, n, head) => {
      if (head >= config.headCount || 2 * inPair >= headDim) return null;
      const at = Math.floor(head / group) * headDim + 2 * inPair;
      return [0.5 * keys[n]![at]!, -0.5 * keys[n]![at + 1]!];
    },
  );
}

/** Sum over the pair index of weight times public value; the sum over columns is still to be done. */
export function publicValues(model: LlamaModel, l: Layout, context: PublicContext, layer: number): LinearMap {
  const { config } = model;
  const headDim = headDimOf(config);
  const group = config.headCount / config.kvHeadCount;
  const values = context.cache.values[layer]!;
  return overPublic(
    `public/${context.id}/values/${layer}`,
    l,
    context.length,
    'input',
    (outPair, _, n, head) => {
      if (head >= config.headCount || 2 * outPair >= headDim) return null;
      const at = Math.floor(head / group) * headDim + 2 * outPair;
      return [values[n]![at]!, values[n]![at + 1]!];
    },
  );
}

/** Slots of the scores of public key n: one a row, for a head. */
export function publicSlot(l: Layout, n: number, head: number, row: number): number {
  const { pair, column } = publicPlace(l, n);
  return attentionSlot(l, pair, column, head, row);
}
