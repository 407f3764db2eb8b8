import { ByteReader, ByteWriter, SottoError, sha256, toHex } from '@sotto/base';
import { forward, headDimOf, KvCache, type LlamaModel } from '@sotto/model';
import { attentionSlot, type Layout, publicPlace } from './layout.js';
import { featureMap, type LinearMap } from './linear-map.js';

/** Keys and values of the public part of a prompt, computed in the clear. Never empty: BOS is public. */
export interface PublicContext {
  /** Digest of model and tokens: equal content, equal id. */
  readonly id: string;
  readonly length: number;
  readonly cache: KvCache;
}

/** Names a public part of a model: equal content, equal id. */
export function publicId(model: LlamaModel, tokens: readonly number[]): string {
  return toHex(sha256(new TextEncoder().encode(`${model.digest}:${tokens.join(',')}`))).slice(0, 24);
}

/** Keys and values one after the other, as bytes. */
export function writePublic({ length, cache }: PublicContext): Uint8Array {
  const rows = cache.keys.flatMap((keys, layer) => [...keys, ...cache.values[layer]!]);
  const writer = new ByteWriter().u32(length).u32(cache.keys.length).u32(rows[0]!.length);
  for (const row of rows) writer.bytes(new Uint8Array(row.buffer, row.byteOffset, row.byteLength));
  return writer.finish();
}

/** What {@link writePublic} wrote of the public part `id`. @throws SottoError `DATA_TRUNCATED`, `DATA_TRAILING_BYTES`. */
export function readPublic(id: string, bytes: Uint8Array): PublicContext {
  const reader = new ByteReader(bytes, 'public keys and values');
  const [length, layerCount, width] = [reader.u32(), reader.u32(), reader.u32()];
  const cache = new KvCache(layerCount);
  const rows = (): Float64Array[] =>
    Array.from({ length }, () => new Float64Array(reader.bytes(8 * width).slice().buffer));
  for (let layer = 0; layer < layerCount; layer++) {
    cache.keys[layer]!.push(...rows());
    cache.values[layer]!.push(...rows());
  }
  reader.end();
  return { id, length, cache };
}

/** Of the names of all plaintexts that are made from a public part. */
export const publicNames = (context: PublicContext): string => `public/${context.id}/`;

/**
 * Runs the public tokens through the clear model. With what they begin, a plan says (`requirePublicPrefix`).
 *
 * @throws SottoError `PUBLIC_PREFIX_INVALID` when there are none, `TOKEN_OUT_OF_RANGE`, `CONTEXT_EXCEEDED`.
 */
export function prefillPublic(model: LlamaModel, tokens: readonly number[]): PublicContext {
  if (tokens.length === 0) {
    throw new SottoError('The public part of a prompt is empty.', {
      code: 'PUBLIC_PREFIX_INVALID',
      fix: 'Begin it with the public prefix of the plan (at least BOS): ranges are calibrated for that.',
    });
  }
  const cache = new KvCache(model.config.layerCount);
  forward(model, tokens, cache);
  return { id: publicId(model, tokens), length: tokens.length, cache };
}

/** Number of the public key at each place (column * pairs + pair) of a page; -1 where none is. */
function keysAtPlaces(l: Layout, length: number, page: number): Int32Array {
  const keys = new Int32Array(l.columns * l.pairs).fill(-1);
  for (let n = 0; n < length; n++) {
    const place = publicPlace(l, n);
    if (place.page === page) keys[place.column * l.pairs + place.pair] = n;
  }
  return keys;
}

/** A map whose output or input slots are public keys: all pairs of (output pair, input pair) by as many diagonals as pairs. */
function overPublic(
  name: string,
  l: Layout,
  length: number,
  page: number,
  keyAt: 'output' | 'input',
  entry: (
    outPair: number,
    inPair: number,
    keyNumber: number,
    head: number,
  ) => readonly [number, number] | null,
): LinearMap {
  const places = l.columns * l.pairs;
  let keys: Int32Array | undefined;
  return featureMap(
    name,
    { features: l.features, rows: l.blockRows },
    Array.from({ length: l.pairs }, (_, d) => d * l.heads),
    l.features,
    (feature, diagonal) => {
      const output = Math.floor(feature / l.heads);
      const input = (output + diagonal / l.heads) % places;
      keys ??= keysAtPlaces(l, length, page);
      const keyNumber = keys[keyAt === 'output' ? output : input]!;
      if (keyNumber < 0) return null;
      return entry(output % l.pairs, input % l.pairs, keyNumber, feature % l.heads);
    },
  );
}

/** Half the score product of rotated queries with the public keys of a page: real parts are doubled later. */
export function publicScores(
  model: LlamaModel,
  l: Layout,
  context: PublicContext,
  layer: number,
  page: number,
): LinearMap {
  const { config } = model;
  const headDim = headDimOf(config);
  const headsAKey = config.headCount / config.kvHeadCount;
  const keys = context.cache.keys[layer]!;
  return overPublic(
    `${publicNames(context)}scores/${layer}/${page}`,
    l,
    context.length,
    page,
    'output',
    (_, inPair, n, head) => {
      if (head >= config.headCount || 2 * inPair >= headDim) return null;
      const at = Math.floor(head / headsAKey) * headDim + 2 * inPair;
      return [0.5 * keys[n]![at]!, -0.5 * keys[n]![at + 1]!];
    },
  );
}

/** Sum over the pair index of weight times public value of a page, times `scale`; the sum over columns is still to be done. */
export function publicValues(
  model: LlamaModel,
  l: Layout,
  context: PublicContext,
  layer: number,
  page: number,
  scale = 1,
): LinearMap {
  const { config } = model;
  const headDim = headDimOf(config);
  const headsAKey = config.headCount / config.kvHeadCount;
  const values = context.cache.values[layer]!;
  return overPublic(
    `${publicNames(context)}values/${layer}/${page}`,
    l,
    context.length,
    page,
    'input',
    (outPair, _, n, head) => {
      if (head >= config.headCount || 2 * outPair >= headDim) return null;
      const at = Math.floor(head / headsAKey) * headDim + 2 * outPair;
      return [scale * values[n]![at]!, scale * values[n]![at + 1]!];
    },
  );
}

/** Slot of the score of public key n, for a head and row; its page is that of {@link publicPlace}. */
export function publicSlot(l: Layout, n: number, head: number, row: number): number {
  const { pair, column } = publicPlace(l, n);
  return attentionSlot(l, pair, column, head, row);
}
