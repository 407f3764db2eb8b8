import { createHash } from 'node:crypto';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ByteReader, ByteWriter } from '@sotto/base';
import {
  type CachedLayer,
  type CacheLayer,
  type CachePlace,
  type ForwardOptions,
  type LayerState,
  layerParts,
  partsOf,
} from '@sotto/engine';
import {
  type Ciphertext,
  deserializeCiphertext,
  type RingContext,
  serializeCiphertext,
} from '@sotto/he/rlwe';
import { encodeRows, type Rows } from '@sotto/protocol';
import { z } from 'zod';
import { isAbsent, makeFolder, onDisk, readJsonFile, stateLost, writeDurably } from '../disk.js';

const CACHE = 'cache.json';
const count = z.number().int().min(0);

const cacheSchema = z.strictObject({
  version: z.literal(1),
  /** Parameters, plan and public part that the cache belongs to. */
  binding: z.string(),
  /** The block that was finished last; its files hold the cache. */
  block: z.string().regex(/^[0-9a-f]{32}$/),
  layers: z.number().int().min(1),
  columns: z.array(count),
  last: z.strictObject({ start: count, rows: count, firstColumn: count }),
});

/** An encrypted key-value cache as it stood after a block. */
export interface StoredCache {
  readonly layers: readonly CachedLayer<Ciphertext>[];
  readonly place: CachePlace;
}

function writeParts(writer: ByteWriter, parts: readonly Ciphertext[]): void {
  writer.u32(parts.length);
  for (const part of parts) {
    const bytes = serializeCiphertext(part);
    writer.u32(bytes.length).bytes(bytes);
  }
}

/** The layer's keys and values and norms; then, if rows can be dropped: those rows, and the layer before them. */
function writeLayer(layer: CachedLayer<Ciphertext>): Uint8Array {
  const { last } = layer;
  const writer = new ByteWriter();
  writeParts(writer, layerParts(layer));
  writeParts(writer, last === null ? [] : [last.row, last.routed]);
  writeParts(writer, last?.before ? layerParts(last.before) : []);
  return writer.finish();
}

function readLayer(context: RingContext, bytes: Uint8Array): CachedLayer<Ciphertext> {
  const reader = new ByteReader(bytes, 'checkpoint');
  const parts = () =>
    Array.from({ length: reader.u32() }, () => deserializeCiphertext(context, reader.bytes(reader.u32())));
  const layerOf = (all: Ciphertext[]): CacheLayer<Ciphertext> => ({
    keyValues: all.slice(0, -1),
    norm: all.at(-1)!,
  });
  const now = layerOf(parts());
  const [row, routed] = parts();
  const before = parts();
  reader.end();
  if (row === undefined || routed === undefined) return { ...now, last: null };
  return { ...now, last: { row, routed, before: before.length > 0 ? layerOf(before) : null } };
}

/** The name of a block in files: equal for equal bytes. */
export const blockName = (rows: Rows): string =>
  createHash('sha256').update(encodeRows(rows)).digest('hex').slice(0, 32);

/**
 * The encrypted state of one session in a folder, all of it ciphertexts: after each layer of a block the layer's cache
 * (`<block>.<layer>.cache`), the residual stream and the window guards (`<block>.stream`), after the block its result, and `cache.json`, which
 * makes the block's layers the cache. Files are replaced whole, so a killed process leaves the state of some finished layer.
 */
export class Checkpoints {
  readonly #folder: string;
  readonly #context: RingContext;
  readonly #planDigest: string;

  constructor(folder: string, context: RingContext, planDigest: string) {
    this.#folder = folder;
    this.#context = context;
    this.#planDigest = planDigest;
  }

  /** Keeps what a layer left. @throws `STATE_DISK_FULL`, `STATE_DISK`. */
  saveLayer(block: string, { index, cache, stream, health }: LayerState<Ciphertext>): Promise<void> {
    return onDisk('state', async () => {
      if (index === 0) await makeFolder(this.#folder);
      await writeDurably(this.#path(`${block}.${index}.cache`), writeLayer(cache));
      const bytes = serializeCiphertext(stream);
      const file = new ByteWriter().u32(index).u32(bytes.length).bytes(bytes);
      await writeDurably(this.#path(`${block}.stream`), file.bytes(serializeCiphertext(health)).finish());
    });
  }

  /** The finished layers of an unfinished block; null when there are none. The caller owns the ciphertexts. */
  async resume(block: string): Promise<ForwardOptions<Ciphertext>['resume'] | null> {
    const bytes = await this.#read(`${block}.stream`);
    if (bytes === null) return null;
    const reader = new ByteReader(bytes, 'checkpoint');
    const last = reader.u32();
    const length = reader.u32();
    const stream = deserializeCiphertext(this.#context, reader.bytes(length));
    const health = deserializeCiphertext(this.#context, reader.bytes(reader.remaining));
    const layers = await this.#layers(block, last + 1);
    if (layers) return { layers, stream, health };
    stream.release();
    health.release();
    return null;
  }

  /** Makes a finished block the cache, and forgets the blocks before it. */
  commit(
    block: string,
    publicTokens: readonly number[],
    { layerCount, place }: { readonly layerCount: number; readonly place: CachePlace },
    result: Uint8Array,
  ): Promise<void> {
    return onDisk('state', async () => {
      await writeDurably(this.#path(`${block}.result`), result);
      const cache: z.infer<typeof cacheSchema> = {
        version: 1,
        binding: this.#binding(publicTokens),
        block,
        layers: layerCount,
        columns: [...place.columns],
        last: { ...place.last! },
      };
      await writeDurably(this.#path(CACHE), JSON.stringify(cache));
      await this.#forget((name) => !name.startsWith(block) && name !== CACHE);
      await rm(this.#path(`${block}.stream`), { force: true });
    });
  }

  /** The result of a block that is the cache's last; null for any other. */
  async result(block: string, publicTokens: readonly number[]): Promise<Uint8Array | null> {
    const cache = await this.#cache(publicTokens);
    return cache?.block === block ? await this.#read(`${block}.result`) : null;
  }

  /**
   * The cache that a block at `position` continues, behind its last block or within it; null when there is none. The caller owns
   * the ciphertexts.
   *
   * @throws `STATE_LOST` when its files are gone.
   */
  async cache(publicTokens: readonly number[], position: number): Promise<StoredCache | null> {
    const cache = await this.#cache(publicTokens);
    if (!cache || position <= publicTokens.length) return null;
    const { last, columns } = cache;
    if (position < last.start || position > last.start + last.rows) return null;
    const layers = await this.#layers(cache.block, cache.layers);
    if (layers) return { layers, place: { columns, last } };
    throw stateLost();
  }

  /** Forgets everything. */
  clear(): Promise<void> {
    return onDisk('state', () => this.#forget(() => true));
  }

  #binding(publicTokens: readonly number[]): string {
    return createHash('sha256')
      .update(`${this.#context.params.digest}\0${this.#planDigest}\0${publicTokens.join()}`)
      .digest('hex');
  }

  async #cache(publicTokens: readonly number[]): Promise<z.infer<typeof cacheSchema> | null> {
    const parsed = cacheSchema.safeParse(await readJsonFile(this.#path(CACHE)));
    return parsed.success && parsed.data.binding === this.#binding(publicTokens) ? parsed.data : null;
  }

  async #layers(block: string, layerCount: number): Promise<CachedLayer<Ciphertext>[] | null> {
    const layers: CachedLayer<Ciphertext>[] = [];
    for (let index = 0; index < layerCount; index++) {
      const bytes = await this.#read(`${block}.${index}.cache`);
      if (bytes === null) {
        for (const part of layers.flatMap(partsOf)) part.release();
        return null;
      }
      layers.push(readLayer(this.#context, bytes));
    }
    return layers;
  }

  async #read(name: string): Promise<Uint8Array | null> {
    try {
      return await readFile(this.#path(name));
    } catch (error) {
      if (isAbsent(error)) return null;
      throw error;
    }
  }

  async #forget(which: (name: string) => boolean): Promise<void> {
    // The cache goes first: without it the other files mean nothing.
    const names = await readdir(this.#folder).catch((error) => {
      if (isAbsent(error)) return [];
      throw error;
    });
    for (const name of names.sort((a, b) => Number(b === CACHE) - Number(a === CACHE))) {
      if (which(name)) await rm(this.#path(name), { force: true });
    }
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }
}
