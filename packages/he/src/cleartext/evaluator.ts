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
import {
  addSlots,
  expandSlots,
  maxComponent,
  mulAddSlots,
  mulSlots,
  rotateSlots,
  type Slots,
  scaleSlots,
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
}

interface CleartextPlain extends Plain {
  readonly values: Slots;
  readonly purpose: 'product' | 'addition';
  released: boolean;
}

interface CleartextTransform extends LinearTransform {
  readonly diagonals: readonly (readonly [number, Slots])[];
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
  readonly #arena = new Arena();

  constructor(levels: CleartextLevels, trace?: (event: TraceEvent) => void) {
    this.levels = levels;
    this.slots = levels.slots;
    this.maxLevel = levels.maxLevel;
    this.#gauss = levels.noise === null ? null : new GaussianSource(levels.noise.seed);
    this.#trace = trace;
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
    const copy = { re: values.re.slice(), im: values.im?.slice() ?? null };
    return this.#make('encrypt', copy, level, this.levels.noise?.freshStd ?? 0);
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
    return this.#make('copy', { re: a.re.slice(), im: a.im?.slice() ?? null }, a.level, 0);
  }

  addNew(a: CleartextCiphertext, b: CleartextCiphertext): CleartextCiphertext {
    this.#sameLevel(a, b);
    this.counts.additions++;
    return this.#make('add', addSlots(a, b, 1), a.level, 0);
  }

  subNew(a: CleartextCiphertext, b: CleartextCiphertext): CleartextCiphertext {
    this.#sameLevel(a, b);
    this.counts.additions++;
    return this.#make('sub', addSlots(a, b, -1), a.level, 0);
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
    const re = a.im === null ? new Float64Array(a.re.length) : a.im.map((v) => -v);
    return this.#make('mulI', { re, im: a.re.slice() }, a.level, 0);
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
    const values = { re: a.re.slice(), im: a.im?.map((v) => -v) ?? null };
    return this.#make('conjugate', values, a.level, this.levels.noise?.keySwitchStd ?? 0);
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
    const split = splitBabyGiant(
      diagonals.map(([k]) => k),
      this.slots,
      options.babySteps,
    );
    const used = (steps: readonly number[]): number => steps.filter((k) => k !== 0).length;
    const transform: CleartextTransform = {
      level,
      rotations: split.rotations,
      diagonals,
      steps: used(split.babies) + used(split.giants),
      released: false,
    };
    return transform;
  }

  transformNew(a: CleartextCiphertext, transform: LinearTransform): CleartextCiphertext {
    const { diagonals, level, steps, released } = transform as CleartextTransform;
    if (released) throw useAfterRelease('transform');
    this.#consume(a);
    if (a.level !== level) throw levelMismatch(a.level, level);
    const length = Math.max(a.re.length, ...diagonals.map(([, d]) => d.re.length));
    const sum = zeroSlots(length, a.im !== null || diagonals.some(([, d]) => d.im !== null));
    for (const [k, diagonal] of diagonals) mulAddSlots(sum, a, diagonal, k);
    this.counts.transforms++;
    this.counts.transformRotations += steps;
    this.counts.plainProducts += diagonals.length;
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
    const values = { re: a.re.slice(), im: a.im?.slice() ?? null };
    return this.#make('toLevel', values, level, this.levels.noise?.rescaleStd ?? 0);
  }

  /** Replaces the values of a refresh; used by the simulated refresher. */
  refreshed(values: Slots, level: number, componentStd: number): CleartextCiphertext {
    const out = { re: values.re, im: values.im ?? new Float64Array(values.re.length) };
    if (componentStd > 0 && this.#gauss !== null) {
      this.#gauss.addTo(out.re, componentStd);
      this.#gauss.addTo(out.im, componentStd);
    }
    return this.#make('refresh', out, level, 0);
  }

  /** Registers a result and adds noise of `coefficientStd` units at its level's scale. */
  #make(name: string, values: Slots, level: number, coefficientStd: number): CleartextCiphertext {
    const out = new CleartextCiphertext(values.re, values.im, level);
    if (coefficientStd > 0 && this.#gauss !== null && this.levels.noise !== null) {
      const std = (coefficientStd * this.levels.noise.slotFactor) / this.levels.scale[level];
      out.im ??= new Float64Array(out.re.length);
      this.#gauss.addTo(out.re, std);
      this.#gauss.addTo(out.im, std);
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
  return new CleartextEvaluator(resolveLevels(from, noise), options.trace);
}
