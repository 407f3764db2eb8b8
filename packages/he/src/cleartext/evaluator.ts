import { SottoError } from '@sotto/base';
import { Arena } from '../rlwe/arena.js';
import type { Parameters } from '../rlwe/parameters.js';
import { splitBabyGiant } from '../scheme/baby-giant.js';
import {
  integerRange,
  levelExhausted,
  levelKind,
  levelMismatch,
  notFinite,
  operandCount,
  plainPurpose,
  rotationStep,
  slotCount,
  useAfterRelease,
} from '../scheme/errors.js';
import type {
  DiagonalMatrix,
  Evaluator,
  LinearTransform,
  Plain,
  SlotVector,
  TransformOptions,
} from '../scheme/evaluator.js';
import { CleartextCiphertext } from './ciphertext.js';
import { type OperationCounts, zeroCounts } from './counts.js';
import {
  type CleartextDescription,
  type CleartextLevels,
  type CleartextNoise,
  resolveLevels,
} from './description.js';
import { GaussianSource } from './noise.js';
import { takeCopy, takeZeros } from './pool.js';
import {
  addSlots,
  expandSlots,
  maxComponent,
  mulAddSlots,
  mulSlots,
  rotateSlots,
  type Slots,
  scaleSlots,
  sumSlotsAt,
  zeroSlots,
} from './vector.js';

/** One operation as seen by a trace. */
export interface TraceEvent {
  /** e.g. `mul`, `transform`. */
  readonly name: string;
  /** Level of the result. */
  readonly level: number;
  /** Largest magnitude of a component of the result. */
  readonly max: number;
  readonly result: CleartextCiphertext;
}

export interface CleartextOptions {
  /** Noise for real parameters: their own when absent, none when null. A description carries its own. */
  readonly noise?: CleartextNoise | null;
  /** Called after every operation. */
  readonly trace?: (event: TraceEvent) => void;
  /**
   * Linear maps are done by {@link ValueMap.prepare} where they have it, and a rotate-and-add sum in one step that keeps only one
   * period of its result: the same values, levels and noise in a fraction of the time, for wide models. Vectors known to be real
   * stay so: noise of their imaginary parts, which no real part ever sees but by a product with a complex plaintext, is left out.
   * False when absent.
   */
  readonly byValue?: boolean;
}

interface CleartextPlain extends Plain {
  readonly values: Slots;
  readonly purpose: 'product' | 'addition';
  released: boolean;
}

/** A linear map that can work on values without its diagonals being made. */
export interface ValueMap {
  /** Rotations, each in 0..slots-1. */
  readonly diagonals: readonly number[];
  /** What {@link build}'s diagonals do to a vector, as one function; its result has as many entries as the slots. */
  prepare?(): (values: SlotVector) => SlotVector;
  build(): DiagonalMatrix;
}

interface CleartextTransform extends LinearTransform {
  readonly diagonals: readonly (readonly [number, Slots])[];
  /** Instead of diagonals. */
  readonly apply: ((values: SlotVector) => SlotVector) | null;
  readonly diagonalCount: number;
  readonly steps: number;
  released: boolean;
}

/**
 * The evaluator contract on float64: the same levels, scales, errors and, if asked for, noise as CKKS, without encryption.
 * Vectors keep their period, so a model that fills 1,024 of 32,768 slots costs what 1,024 slots cost; noise then has the same
 * period, which is pessimistic for sums over the repetitions.
 */
export class CleartextEvaluator implements Evaluator<CleartextCiphertext> {
  readonly slots: number;
  readonly maxLevel: number;
  readonly levels: CleartextLevels;
  /** Work since the start or since {@link resetCounts}. */
  counts: OperationCounts = zeroCounts();
  readonly #gauss: GaussianSource | null;
  readonly #trace: ((event: TraceEvent) => void) | undefined;
  readonly #byValue: boolean;
  readonly #arena = new Arena();

  /** Present when maps and sums are done by value. */
  readonly compileMap?: (map: ValueMap, options: TransformOptions) => LinearTransform;
  readonly sumNew?: (a: CleartextCiphertext, count: number, stride: number) => CleartextCiphertext;

  constructor(levels: CleartextLevels, options: Omit<CleartextOptions, 'noise'> = {}) {
    this.levels = levels;
    this.slots = levels.slots;
    this.maxLevel = levels.maxLevel;
    this.#gauss = levels.noise === null ? null : new GaussianSource(levels.noise.seed);
    this.#trace = options.trace;
    this.#byValue = options.byValue ?? false;
    if (this.#byValue) {
      this.compileMap = (map, how) => this.#compileMap(map, how);
      this.sumNew = (a, count, stride) => this.#sum(a, count, stride);
    }
  }

  resetCounts(): void {
    this.counts = zeroCounts();
  }

  scaleAt(level: number): number {
    return this.levels.scale[level];
  }

  levelOf(a: CleartextCiphertext): number {
    return a.level;
  }

  /** A ciphertext of these values, as encryption would make it. */
  fromSlots(values: SlotVector, level = this.levels.freshLevel): CleartextCiphertext {
    this.#checkVector(values);
    if (!Number.isInteger(level) || level < 0 || level > this.maxLevel)
      throw levelRange(level, this.maxLevel);
    return this.#make('encrypt', copySlots(values), level, this.levels.noise?.freshStd ?? 0);
  }

  /** The values a decryption would show, all slots. */
  toSlots(a: CleartextCiphertext): { re: Float64Array; im: Float64Array } {
    this.#live(a);
    return expandSlots(a, this.slots);
  }

  scope<T>(body: () => T): T {
    return this.#arena.scope(body);
  }

  release(a: CleartextCiphertext): void {
    this.#arena.forget(a);
    a.release();
  }

  keep(a: CleartextCiphertext): CleartextCiphertext {
    this.#live(a);
    this.#arena.forget(a);
    return a;
  }

  copyNew(a: CleartextCiphertext): CleartextCiphertext {
    this.#live(a);
    return this.#make('copy', copySlots(a), a.level, 0);
  }

  addNew(a: CleartextCiphertext, b: CleartextCiphertext): CleartextCiphertext {
    this.#sameLevel(a, b);
    this.counts.additions++;
    // The sum of a vector and its conjugate is real.
    const real = b.conjugateOf === a;
    const parts = real ? [realPart(a), realPart(b)] : [a, b];
    return this.#make('add', addSlots(parts[0], parts[1], 1), a.level, 0);
  }

  subNew(a: CleartextCiphertext, b: CleartextCiphertext): CleartextCiphertext {
    this.#sameLevel(a, b);
    this.counts.additions++;
    const out = this.#make('sub', addSlots(a, b, -1), a.level, 0);
    out.imaginary = a.conjugateOf === b;
    return out;
  }

  negNew(a: CleartextCiphertext): CleartextCiphertext {
    this.#live(a);
    return this.#make('neg', scaleSlots(a, -1), a.level, 0);
  }

  addConstNew(a: CleartextCiphertext, re: number, im = 0): CleartextCiphertext {
    this.#live(a);
    checkFinite(re, im);
    this.counts.additions++;
    const constant = { re: Float64Array.of(re), im: im === 0 ? null : Float64Array.of(im) };
    return this.#make('addConst', addSlots(a, constant, 1), a.level, 0);
  }

  addPlainNew(a: CleartextCiphertext, b: Plain): CleartextCiphertext {
    const plain = this.#plain(a, b, 'addition');
    this.counts.additions++;
    return this.#make('addPlain', addSlots(a, plain.values, 1), a.level, 0);
  }

  mulIntegerNew(a: CleartextCiphertext, factor: number): CleartextCiphertext {
    this.#live(a);
    if (!Number.isInteger(factor) || Math.abs(factor) >= 2 ** 20) {
      throw integerRange();
    }
    return this.#make('mulInteger', scaleSlots(a, factor), a.level, 0);
  }

  mulINew(a: CleartextCiphertext): CleartextCiphertext {
    this.#live(a);
    const re = a.im === null ? takeZeros(a.re.length) : negated(a.im);
    const im = this.#byValue && a.imaginary ? null : takeCopy(a.re);
    return this.#make('mulI', { re, im }, a.level, 0);
  }

  mulConstNew(a: CleartextCiphertext, re: number, im = 0): CleartextCiphertext {
    this.#consume(a);
    checkFinite(re, im);
    this.counts.constantProducts++;
    return this.#rescaled('mulConst', scaleSlots(a, re, im), a.level);
  }

  mulPlainNew(a: CleartextCiphertext, b: Plain): CleartextCiphertext {
    this.#consume(a);
    const plain = this.#plain(a, b, 'product');
    this.counts.plainProducts++;
    return this.#rescaled('mulPlain', mulSlots(a, plain.values), a.level);
  }

  mulNew(a: CleartextCiphertext, b: CleartextCiphertext): CleartextCiphertext {
    return this.#sumOfProducts('mul', [a], [b]);
  }

  squareNew(a: CleartextCiphertext): CleartextCiphertext {
    return this.#sumOfProducts('square', [a], [a]);
  }

  dotNew(a: readonly CleartextCiphertext[], b: readonly CleartextCiphertext[]): CleartextCiphertext {
    return this.#sumOfProducts('dot', a, b);
  }

  #sumOfProducts(
    name: string,
    a: readonly CleartextCiphertext[],
    b: readonly CleartextCiphertext[],
  ): CleartextCiphertext {
    if (a.length === 0 || a.length !== b.length) throw operandCount(a.length, b.length);
    this.#sameLevel(...a, ...b);
    this.#consume(a[0]);
    const { level } = a[0];
    if (!this.levels.ciphertextProducts[level]) {
      throw levelKind(level);
    }
    const all = [...a, ...b];
    const length = Math.max(...all.map((x) => x.re.length));
    let sum = zeroSlots(
      length,
      all.some((x) => x.im !== null),
    );
    for (let i = 0; i < a.length; i++) mulAddSlots(sum, a[i], b[i]);
    const factor = this.levels.productFactor[level];
    if (factor !== 1) sum = scaleSlots(sum, factor);
    this.counts.products += a.length;
    this.counts.relinearisations++;
    return this.#rescaled(name, sum, level);
  }

  linearCombinationNew(
    a: readonly CleartextCiphertext[],
    c: readonly number[],
    constant = 0,
  ): CleartextCiphertext {
    if (a.length === 0 || a.length !== c.length) throw operandCount(a.length, c.length);
    this.#sameLevel(...a);
    this.#consume(a[0]);
    checkFinite(constant, ...c);
    const length = Math.max(...a.map((x) => x.re.length));
    const re = new Float64Array(length).fill(constant);
    const im = a.some((x) => x.im !== null) ? new Float64Array(length) : null;
    for (let i = 0; i < a.length; i++) {
      mulAddSlots({ re, im }, a[i], { re: Float64Array.of(c[i]), im: null });
    }
    this.counts.constantProducts += a.length;
    return this.#rescaled('linearCombination', { re, im }, a[0].level);
  }

  rotateNew(a: CleartextCiphertext, k: number): CleartextCiphertext {
    this.#live(a);
    if (!Number.isInteger(k)) throw rotationStep(k);
    if (k % this.slots === 0) return this.copyNew(a);
    this.counts.rotations++;
    return this.#make('rotate', rotateSlots(a, k), a.level, this.levels.noise?.keySwitchStd ?? 0);
  }

  rotateManyNew(a: CleartextCiphertext, ks: readonly number[]): CleartextCiphertext[] {
    return ks.map((k) => this.rotateNew(a, k));
  }

  conjugateNew(a: CleartextCiphertext): CleartextCiphertext {
    this.#live(a);
    this.counts.conjugations++;
    const values = { re: takeCopy(a.re), im: a.im === null ? null : negated(a.im) };
    const out = this.#make('conjugate', values, a.level, this.levels.noise?.keySwitchStd ?? 0);
    if (this.#byValue) out.conjugateOf = a;
    return out;
  }

  encode(values: SlotVector, level: number): Plain {
    return this.#encode(values, level, 'product');
  }

  encodeForAdd(values: SlotVector, level: number): Plain {
    return this.#encode(values, level, 'addition');
  }

  releasePlain(p: Plain): void {
    (p as CleartextPlain).released = true;
  }

  compileTransform(matrix: DiagonalMatrix, options: TransformOptions): LinearTransform {
    const { level } = options;
    if (matrix.diagonals.size === 0) throw operandCount(0, 0);
    const diagonals = [...matrix.diagonals].map(([k, values]): readonly [number, Slots] => [
      ((k % this.slots) + this.slots) % this.slots,
      (this.#encode(values, level, 'product') as CleartextPlain).values,
    ]);
    return this.#transform(
      diagonals.map(([k]) => k),
      options,
      { diagonals, apply: null },
    );
  }

  /** out[i] = a[i] + a[i + stride] + ... (`count` terms, a power of two). */
  #sum(a: CleartextCiphertext, count: number, stride: number): CleartextCiphertext {
    this.#live(a);
    const steps = Math.log2(count);
    this.counts.rotations += steps;
    this.counts.additions += steps;
    // Each step adds the noise of one rotation, and those after it add that up.
    const std = (this.levels.noise?.keySwitchStd ?? 0) * Math.sqrt(count - 1);
    return this.#make('sum', sumSlotsAt(a, count, stride), a.level, std);
  }

  #compileMap(map: ValueMap, options: TransformOptions): LinearTransform {
    const { level } = options;
    if (map.prepare === undefined) return this.compileTransform(map.build(), options);
    if (!Number.isInteger(level) || level < 1 || level > this.maxLevel)
      throw levelRange(level, this.maxLevel);
    return this.#transform(map.diagonals, options, { diagonals: [], apply: map.prepare() });
  }

  #transform(
    rotations: readonly number[],
    { level, babySteps }: TransformOptions,
    values: Pick<CleartextTransform, 'diagonals' | 'apply'>,
  ): CleartextTransform {
    const split = splitBabyGiant(rotations, this.slots, babySteps);
    const used = (steps: readonly number[]): number => steps.filter((k) => k !== 0).length;
    return {
      level,
      rotations: split.rotations,
      ...values,
      diagonalCount: rotations.length,
      steps: used(split.babies) + used(split.giants),
      released: false,
    };
  }

  transformNew(a: CleartextCiphertext, transform: LinearTransform): CleartextCiphertext {
    const { diagonals, apply, diagonalCount, level, steps, released } = transform as CleartextTransform;
    if (released) throw useAfterRelease('transform');
    this.#consume(a);
    if (a.level !== level) throw levelMismatch(a.level, level);
    let sum: Slots;
    if (apply === null) {
      const length = Math.max(a.re.length, ...diagonals.map(([, d]) => d.re.length));
      sum = zeroSlots(length, a.im !== null || diagonals.some(([, d]) => d.im !== null));
      for (const [k, diagonal] of diagonals) mulAddSlots(sum, a, diagonal, k);
    } else {
      sum = this.#withEncodingNoise(a, apply(a), diagonalCount);
    }
    this.counts.transforms++;
    this.counts.transformRotations += steps;
    this.counts.plainProducts += diagonalCount;
    return this.#rescaled('transform', sum, level);
  }

  releaseTransform(t: LinearTransform): void {
    (t as CleartextTransform).released = true;
  }

  toLevel(a: CleartextCiphertext, level: number): CleartextCiphertext {
    this.#live(a);
    if (level === a.level) return this.copyNew(a);
    if (!Number.isInteger(level) || level < 0 || level > a.level) {
      throw levelExhausted(a.level, level);
    }
    this.counts.levelDrops++;
    this.counts.constantProducts++;
    this.counts.rescales++;
    return this.#make('toLevel', copySlots(a), level, this.levels.noise?.rescaleStd ?? 0);
  }

  /**
   * A sum of `count` products with plaintexts, each rounded to integer coefficients when it was encoded: the same variance as if
   * the noise were in the plaintexts, averaged over the slots.
   */
  #withEncodingNoise(a: CleartextCiphertext, sum: Slots, count: number): Slots {
    const { noise } = this.levels;
    if (!noise?.encoding || this.#gauss === null) return sum;
    let energy = 0;
    for (const part of [a.re, a.im]) if (part !== null) for (const v of part) energy += v * v;
    const rounding = Math.sqrt(this.slots / 12) / this.levels.plainScale[a.level];
    const std = rounding * Math.sqrt((energy / a.re.length) * count);
    this.#gauss.addTo(sum.re, std);
    if (sum.im !== null) this.#gauss.addTo(sum.im, std);
    return sum;
  }

  /** Replaces the values of a refresh; used by the simulated refresher. */
  refreshed(values: Slots, level: number, componentStd: number): CleartextCiphertext {
    const out = {
      re: values.re,
      im: values.im ?? (this.#byValue ? null : new Float64Array(values.re.length)),
    };
    if (componentStd > 0 && this.#gauss !== null) {
      this.#gauss.addTo(out.re, componentStd);
      if (out.im !== null) this.#gauss.addTo(out.im, componentStd);
    }
    return this.#make('refresh', out, level, 0);
  }

  /** Registers a result and adds noise of `coefficientStd` units at its level's scale. */
  #make(name: string, values: Slots, level: number, coefficientStd: number): CleartextCiphertext {
    const out = new CleartextCiphertext(values.re, values.im, level);
    if (coefficientStd > 0 && this.#gauss !== null && this.levels.noise !== null) {
      const std = (coefficientStd * this.levels.noise.slotFactor) / this.levels.scale[level];
      if (!this.#byValue) out.im ??= takeZeros(out.re.length);
      this.#gauss.addTo(out.re, std);
      if (out.im !== null) this.#gauss.addTo(out.im, std);
    }
    this.#arena.adopt(out);
    this.#trace?.({ name, level, max: maxComponent(out), result: out });
    return out;
  }

  #rescaled(name: string, values: Slots, level: number): CleartextCiphertext {
    this.counts.rescales++;
    return this.#make(name, values, level - 1, this.levels.noise?.rescaleStd ?? 0);
  }

  #encode(values: SlotVector, level: number, purpose: 'product' | 'addition'): Plain {
    this.#checkVector(values);
    if (!Number.isInteger(level) || level < 0 || level > this.maxLevel)
      throw levelRange(level, this.maxLevel);
    if (purpose === 'product' && level === 0) throw levelExhausted(level);
    const copy = { re: values.re.slice(), im: values.im?.slice() ?? null };
    const { noise } = this.levels;
    if (noise?.encoding && this.#gauss !== null) {
      const scale = purpose === 'product' ? this.levels.plainScale[level] : this.levels.scale[level];
      const std = Math.sqrt(copy.re.length / 12) / scale;
      copy.im ??= new Float64Array(copy.re.length);
      this.#gauss.addTo(copy.re, std);
      this.#gauss.addTo(copy.im, std);
    }
    const plain: CleartextPlain = { level, values: copy, purpose, released: false };
    return plain;
  }

  #plain(a: CleartextCiphertext, b: Plain, purpose: 'product' | 'addition'): CleartextPlain {
    this.#live(a);
    const plain = b as CleartextPlain;
    if (plain.released) throw useAfterRelease('plaintext');
    if (plain.purpose !== purpose) {
      throw plainPurpose(plain.purpose, purpose);
    }
    if (plain.level !== a.level) throw levelMismatch(a.level, plain.level);
    return plain;
  }

  #live(a: CleartextCiphertext): void {
    if (a.released) throw useAfterRelease('ciphertext');
  }

  #consume(a: CleartextCiphertext): void {
    this.#live(a);
    if (a.level === 0) throw levelExhausted(a.level);
  }

  #sameLevel(...all: CleartextCiphertext[]): void {
    for (const x of all) {
      this.#live(x);
      if (x.level !== all[0].level) throw levelMismatch(all[0].level, x.level);
    }
  }

  #checkVector(values: SlotVector): void {
    const { length } = values.re;
    const powerOfTwo = length > 0 && (length & (length - 1)) === 0 && length <= this.slots;
    if (!powerOfTwo || (values.im !== null && values.im.length !== length)) {
      throw slotCount(length, this.slots);
    }
    for (const part of [values.re, values.im]) {
      if (part?.some((v) => !Number.isFinite(v))) checkFinite(Number.NaN);
    }
  }
}

const copySlots = (a: Slots): Slots => ({ re: takeCopy(a.re), im: a.im === null ? null : takeCopy(a.im) });

const realPart = (a: Slots): Slots => ({ re: a.re, im: null });

const negated = (v: Float64Array): Float64Array => scaleSlots({ re: v, im: null }, -1).re;

function checkFinite(...values: number[]): void {
  if (!values.every((v) => Number.isFinite(v))) throw notFinite();
}

function levelRange(level: number, maxLevel: number): SottoError {
  return new SottoError('No such level.', {
    code: 'HE_LEVEL_RANGE',
    facts: { level, maxLevel },
    fix: 'Use a level from 0 to maxLevel.',
  });
}

/**
 * Simulates a scheme: either its light description, or the parameters of a real one (all levels, bootstrapping's included).
 * @throws SottoError `HE_PARAMETERS_INVALID`.
 */
export function createCleartextEvaluator(
  from: CleartextDescription | Parameters,
  options: CleartextOptions = {},
): CleartextEvaluator {
  const noise = options.noise === undefined ? {} : options.noise;
  return new CleartextEvaluator(resolveLevels(from, noise), options);
}
