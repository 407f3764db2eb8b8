import { SottoError } from '@sotto/base';
import {
  type Evaluator,
  type ExactShape,
  exactShape,
  type LinearTransform,
  type Plain,
  type Refresher,
  type RefreshShape,
  splitBabyGiant,
  type TransformOptions,
} from '@sotto/he/scheme';
import type { LinearMap } from './linear-map.js';

/** A ciphertext without values: only its level. */
export interface DryCiphertext {
  readonly level: number;
}

/** Work of a pass, as counted by a dry run. */
export interface WorkCounts {
  refreshes: number;
  /** Products of two ciphertexts (dot products count each). */
  products: number;
  relinearisations: number;
  plainProducts: number;
  constantProducts: number;
  rotations: number;
  /** Baby and giant steps inside linear maps. */
  mapRotations: number;
  conjugations: number;
  encodings: number;
}

/** A shape of refreshed slots, and how many refreshes of a block have it. */
export interface RefreshUse extends ExactShape {
  readonly count: number;
}

interface DryTransform extends LinearTransform {
  readonly diagonals: number;
}

/**
 * Runs a circuit on levels alone, in milliseconds: finds every key it needs with the highest level of its use, counts the work,
 * and fails exactly where the real scheme would run out of levels.
 */
export class DryRunEvaluator implements Evaluator<DryCiphertext> {
  readonly slots: number;
  readonly maxLevel: number;
  /** Lowest level a result may have. */
  readonly bottomLevel: number;
  readonly rotations = new Map<number, number>();
  conjugationLevel = -1;
  relinearisationLevel = -1;
  /** Distinct plaintexts and their levels, largest use of the plaintext cache. */
  readonly encodedAt: number[] = [];
  readonly counts: WorkCounts = {
    refreshes: 0,
    products: 0,
    relinearisations: 0,
    plainProducts: 0,
    constantProducts: 0,
    rotations: 0,
    mapRotations: 0,
    conjugations: 0,
    encodings: 0,
  };

  constructor(slots: number, maxLevel: number, bottomLevel: number) {
    this.slots = slots;
    this.maxLevel = maxLevel;
    this.bottomLevel = bottomLevel;
  }

  #down(level: number): DryCiphertext {
    if (level - 1 < this.bottomLevel) {
      throw new SottoError('The circuit is deeper than the levels between two refreshes.', {
        code: 'HE_LEVEL_EXHAUSTED',
        facts: { level, bottomLevel: this.bottomLevel },
        fix: 'Refresh earlier.',
      });
    }
    return { level: level - 1 };
  }

  #same(...all: readonly DryCiphertext[]): number {
    const { level } = all[0]!;
    const other = all.find((x) => x.level !== level);
    if (other !== undefined) {
      throw new SottoError('The operands are at different levels.', {
        code: 'HE_LEVEL_MISMATCH',
        facts: { left: level, right: other.level },
        fix: 'Bring the higher operand down with toLevel.',
      });
    }
    return level;
  }

  #needRotation(k: number, level: number): boolean {
    const canonical = ((k % this.slots) + this.slots) % this.slots;
    if (canonical === 0) return false;
    this.rotations.set(canonical, Math.max(level, this.rotations.get(canonical) ?? -1));
    return true;
  }

  scaleAt(): number {
    return 2 ** 40;
  }
  levelOf(a: DryCiphertext): number {
    return a.level;
  }
  scope<T>(body: () => T): T {
    return body();
  }
  release(): void {}
  keep(a: DryCiphertext): DryCiphertext {
    return a;
  }
  copyNew(a: DryCiphertext): DryCiphertext {
    return { ...a };
  }
  addNew(a: DryCiphertext, b: DryCiphertext): DryCiphertext {
    return { level: this.#same(a, b) };
  }
  subNew(a: DryCiphertext, b: DryCiphertext): DryCiphertext {
    return { level: this.#same(a, b) };
  }
  negNew(a: DryCiphertext): DryCiphertext {
    return { ...a };
  }
  addConstNew(a: DryCiphertext): DryCiphertext {
    return { ...a };
  }
  addPlainNew(a: DryCiphertext, b: Plain): DryCiphertext {
    return { level: this.#same(a, b) };
  }
  mulIntegerNew(a: DryCiphertext): DryCiphertext {
    return { ...a };
  }
  mulINew(a: DryCiphertext): DryCiphertext {
    return { ...a };
  }
  mulConstNew(a: DryCiphertext): DryCiphertext {
    this.counts.constantProducts++;
    return this.#down(a.level);
  }
  mulPlainNew(a: DryCiphertext, b: Plain): DryCiphertext {
    this.counts.plainProducts++;
    return this.#down(this.#same(a, b));
  }
  mulNew(a: DryCiphertext, b: DryCiphertext): DryCiphertext {
    return this.dotNew([a], [b]);
  }
  squareNew(a: DryCiphertext): DryCiphertext {
    return this.dotNew([a], [a]);
  }
  dotNew(a: readonly DryCiphertext[], b: readonly DryCiphertext[]): DryCiphertext {
    const level = this.#same(...a, ...b);
    this.counts.products += a.length;
    this.counts.relinearisations++;
    this.relinearisationLevel = Math.max(this.relinearisationLevel, level);
    return this.#down(level);
  }
  linearCombinationNew(a: readonly DryCiphertext[]): DryCiphertext {
    this.counts.constantProducts += a.length;
    return this.#down(this.#same(...a));
  }
  rotateNew(a: DryCiphertext, k: number): DryCiphertext {
    if (this.#needRotation(k, a.level)) this.counts.rotations++;
    return { ...a };
  }
  rotateManyNew(a: DryCiphertext, ks: readonly number[]): DryCiphertext[] {
    return ks.map((k) => this.rotateNew(a, k));
  }
  conjugateNew(a: DryCiphertext): DryCiphertext {
    this.counts.conjugations++;
    this.conjugationLevel = Math.max(this.conjugationLevel, a.level);
    return { ...a };
  }
  encode(_: unknown, level: number): Plain {
    this.counts.encodings++;
    return { level };
  }
  encodeForAdd(_: unknown, level: number): Plain {
    this.counts.encodings++;
    return { level };
  }
  releasePlain(): void {}
  compileTransform(): never {
    throw new Error('A dry run compiles maps by their diagonals.');
  }
  /** Stands for {@link Evaluator.compileTransform} without building the values. */
  compileMap(map: LinearMap, options: TransformOptions): DryTransform {
    this.counts.encodings += map.diagonals.length;
    const { rotations } = splitBabyGiant(map.diagonals, this.slots, options.babySteps);
    return { level: options.level, rotations, diagonals: map.diagonals.length };
  }
  transformNew(a: DryCiphertext, transform: LinearTransform): DryCiphertext {
    const { rotations, diagonals } = transform as DryTransform;
    this.#same(a, transform);
    for (const k of rotations) this.#needRotation(k, a.level);
    this.counts.mapRotations += rotations.length;
    this.counts.plainProducts += diagonals;
    return this.#down(a.level);
  }
  releaseTransform(): void {}
  toLevel(a: DryCiphertext, level: number): DryCiphertext {
    if (level > a.level) this.#down(this.bottomLevel);
    if (level < a.level) this.counts.constantProducts++;
    return { level };
  }
}

/** Refreshes dry ciphertexts, and notes the shapes that are promised. */
export class DryRunRefresher implements Refresher<DryCiphertext> {
  readonly range = 1;
  count = 0;
  readonly #shapes = new Map<string, RefreshUse>();
  readonly #ev: DryRunEvaluator;
  readonly outputLevel: number;
  readonly inputLevel: number;

  constructor(ev: DryRunEvaluator, outputLevel: number, inputLevel: number) {
    this.#ev = ev;
    this.outputLevel = outputLevel;
    this.inputLevel = inputLevel;
  }

  /** Every shape that was refreshed and how often, largest periods first. */
  get uses(): RefreshUse[] {
    const rank = ({ period, real }: RefreshUse) => 2 * period + (real ? 0 : 1);
    return [...this.#shapes.values()].sort((a, b) => rank(b) - rank(a));
  }

  async refresh(_: DryCiphertext, shape?: RefreshShape): Promise<DryCiphertext> {
    const exact = exactShape(shape, this.#ev.slots);
    const key = `${exact.period}/${exact.real}`;
    this.#shapes.set(key, { ...exact, count: (this.#shapes.get(key)?.count ?? 0) + 1 });
    this.count++;
    this.#ev.counts.refreshes++;
    return { level: this.outputLevel };
  }
}
