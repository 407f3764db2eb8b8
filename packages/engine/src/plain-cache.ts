import type { Evaluator, LinearTransform, Plain, SlotVector } from '@sotto/he/scheme';
import type { LinearMap } from './linear-map.js';

interface Entry {
  readonly level: number;
  readonly count: number;
  readonly sizeBytes: number;
  readonly value: Plain | LinearTransform;
  release(): void;
}

/** A scheme that compiles a map without its values: the dry run. */
interface MapCompiler {
  compileMap(map: LinearMap, options: { level: number; babySteps: number }): LinearTransform;
}

function compilesMaps(ev: object): ev is MapCompiler {
  return typeof (ev as Partial<MapCompiler>).compileMap === 'function';
}

export interface PlainCacheOptions {
  /** Memory for encoded plaintexts. */
  readonly budgetBytes: number;
  /** Memory of one plaintext at a level. */
  readonly plainBytes: (level: number) => number;
}

/**
 * Encoded weights, masks and linear maps. Each is encoded once at the level where it is used, on first use, and kept within a
 * memory budget. Names under a prefix can be dropped together, e.g. those of one block.
 */
export class PlainCache<C> {
  readonly #ev: Evaluator<C>;
  readonly #options: PlainCacheOptions;
  readonly #entries = new Map<string, Entry>();
  /** Prefixes of what nobody uses at the time, the one longest unused first. */
  readonly #retired = new Set<string>();
  #sizeBytes = 0;
  /** Encoded plaintexts made so far. */
  encodings = 0;

  constructor(ev: Evaluator<C>, options: PlainCacheOptions) {
    this.#ev = ev;
    this.#options = options;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  #get<T extends Plain | LinearTransform>(
    key: string,
    count: number,
    level: number,
    make: () => T,
    release: (value: T) => void,
  ): T {
    const known = this.#entries.get(key);
    if (known !== undefined) {
      // Reinsertion makes it the most recent.
      this.#entries.delete(key);
      this.#entries.set(key, known);
      return known.value as T;
    }
    const sizeBytes = count * this.#options.plainBytes(level);
    this.#makeRoom(sizeBytes);
    const value = make();
    this.encodings += count;
    this.#sizeBytes += sizeBytes;
    this.#entries.set(key, { level, count, sizeBytes, value, release: () => release(value) });
    return value;
  }

  /**
   * What is retired goes first. A pass uses the same weights in the same order as the pass before, so the least recently used entry
   * is the next one needed: of the rest, what has just been used goes first, and the rest stays for the next pass.
   */
  #makeRoom(sizeBytes: number): void {
    for (const prefix of [...this.#retired]) {
      if (this.#sizeBytes + sizeBytes <= this.#options.budgetBytes) return;
      this.revive(prefix);
      this.dropPrefix(prefix);
    }
    if (this.#sizeBytes + sizeBytes <= this.#options.budgetBytes) return;
    for (const [key, entry] of [...this.#entries].reverse()) {
      this.#drop(key, entry);
      if (this.#sizeBytes + sizeBytes <= this.#options.budgetBytes) return;
    }
  }

  #drop(key: string, entry: Entry): void {
    this.#entries.delete(key);
    this.#sizeBytes -= entry.sizeBytes;
    entry.release();
  }

  map(map: LinearMap, level: number): LinearTransform {
    const ev = this.#ev;
    const options = { level, babySteps: map.babySteps };
    return this.#get(
      `${map.name}@${level}`,
      map.diagonals.length,
      level,
      () => (compilesMaps(ev) ? ev.compileMap(map, options) : ev.compileTransform(map.build(), options)),
      (value: LinearTransform) => ev.releaseTransform(value),
    );
  }

  factor(name: string, build: () => SlotVector, level: number): Plain {
    const make = (): Plain => this.#ev.encode(build(), level);
    return this.#get(`${name}*${level}`, 1, level, make, (value: Plain) => this.#ev.releasePlain(value));
  }

  summand(name: string, build: () => SlotVector, level: number): Plain {
    const make = (): Plain => this.#ev.encodeForAdd(build(), level);
    return this.#get(`${name}+${level}`, 1, level, make, (value: Plain) => this.#ev.releasePlain(value));
  }

  /** Entries whose names start with `prefix` are the first to make room from now on. */
  retire(prefix: string): void {
    this.#retired.delete(prefix);
    this.#retired.add(prefix);
  }

  /** Takes {@link retire} back. */
  revive(prefix: string): void {
    this.#retired.delete(prefix);
  }

  /** Frees every entry whose name starts with `prefix`. */
  dropPrefix(prefix: string): void {
    for (const [key, entry] of this.#entries) if (key.startsWith(prefix)) this.#drop(key, entry);
  }

  /** Level and number of plaintexts of every entry. */
  contents(): { level: number; count: number }[] {
    return [...this.#entries.values()].map(({ level, count }) => ({ level, count }));
  }

  dispose(): void {
    this.dropPrefix('');
  }
}
