import { type Ciphertext, type EvaluationKeySet, KeySwitcher, type RingContext } from '../rlwe/index.js';
import { levelExhausted, operandCount } from '../scheme/errors.js';
import type {
  DiagonalMatrix,
  Evaluator,
  LinearTransform,
  Plain,
  SlotVector,
  TransformOptions,
} from '../scheme/evaluator.js';
import type { CkksCore } from './core.js';
import { Encoder } from './encoder.js';
import * as level from './level.js';
import * as linear from './linear.js';
import { Plaintext, type PlaintextForm } from './plaintext.js';
import * as product from './product.js';
import * as rotate from './rotate.js';
import { rotationSums, sumOverStride } from './rotation-sum.js';
import { type CompiledTransform, compileTransform, transform } from './transform.js';

export interface CkksEvaluatorOptions {
  /** How encoded plaintexts and linear transforms wait for their uses; `rows` when absent. */
  readonly plaintexts?: PlaintextForm;
}

/**
 * CKKS over RNS (Cheon, Han, Kim, Kim, Song 2018) with hybrid key switching and rational rescaling. Besides the contract it shows
 * what bootstrapping is made of: unrelinearised products, scales relabelled by hand, the key switcher and the context.
 *
 * Not safe for concurrent use: scopes belong to the context.
 */
export class CkksEvaluator implements Evaluator<Ciphertext> {
  readonly context: RingContext;
  readonly encoder: Encoder;
  readonly switcher: KeySwitcher;
  readonly keys: EvaluationKeySet;
  readonly slots: number;
  readonly maxLevel: number;
  readonly plaintextForm: PlaintextForm;
  readonly #core: CkksCore;

  constructor(context: RingContext, keys: EvaluationKeySet, options: CkksEvaluatorOptions = {}) {
    this.context = context;
    this.keys = keys;
    this.encoder = new Encoder(context.ring);
    this.switcher = new KeySwitcher(context);
    this.slots = context.params.maxSlots;
    this.maxLevel = context.maxLevel;
    this.plaintextForm = options.plaintexts ?? 'rows';
    this.#core = this;
  }

  scaleAt(at: number): number {
    return this.context.level(at).scale;
  }

  levelOf(a: Ciphertext): number {
    return a.level;
  }

  scope<T>(body: () => T): T {
    return this.context.arena.scope(body);
  }

  release(a: Ciphertext): void {
    a.release();
  }

  keep(a: Ciphertext): Ciphertext {
    void a.c0;
    this.context.arena.forget(a);
    return a;
  }

  copyNew(a: Ciphertext): Ciphertext {
    return linear.copy(a);
  }

  /** out = a + b; `out` may be a or b. */
  add(a: Ciphertext, b: Ciphertext, out: Ciphertext): void {
    linear.addInto(this.#core, a, b, out);
  }

  /** out = a - b; `out` may be a or b. */
  sub(a: Ciphertext, b: Ciphertext, out: Ciphertext): void {
    linear.subInto(this.#core, a, b, out);
  }

  addNew(a: Ciphertext, b: Ciphertext): Ciphertext {
    return linear.addNew(this.#core, a, b);
  }

  subNew(a: Ciphertext, b: Ciphertext): Ciphertext {
    return linear.subNew(this.#core, a, b);
  }

  negNew(a: Ciphertext): Ciphertext {
    return linear.neg(this.#core, a);
  }

  addConstNew(a: Ciphertext, re: number, im = 0): Ciphertext {
    return linear.addConst(this.#core, a, re, im);
  }

  addPlainNew(a: Ciphertext, b: Plain): Ciphertext {
    return linear.addPlain(this.#core, a, b as Plaintext);
  }

  mulIntegerNew(a: Ciphertext, factor: number): Ciphertext {
    return linear.mulInteger(this.#core, a, factor);
  }

  mulINew(a: Ciphertext): Ciphertext {
    return linear.mulI(this.#core, a);
  }

  mulConstNew(a: Ciphertext, re: number, im = 0): Ciphertext {
    return linear.mulConst(this.#core, a, re, im);
  }

  mulPlainNew(a: Ciphertext, b: Plain): Ciphertext {
    return linear.mulPlain(this.#core, a, b as Plaintext);
  }

  /** sum_i a[i]*b[i] with one rescale. 1 level. */
  plainCombinationNew(a: readonly Ciphertext[], b: readonly Plain[]): Ciphertext {
    return linear.plainCombination(this.#core, a, b as readonly Plaintext[]);
  }

  mulNew(a: Ciphertext, b: Ciphertext): Ciphertext {
    return this.dotNew([a], [b]);
  }

  squareNew(a: Ciphertext): Ciphertext {
    return this.dotNew([a], [a]);
  }

  dotNew(a: readonly Ciphertext[], b: readonly Ciphertext[]): Ciphertext {
    if (a.length === 0 || a.length !== b.length) throw operandCount(a.length, b.length);
    return product.dot(this.#core, a, b);
  }

  linearCombinationNew(a: readonly Ciphertext[], c: readonly number[], constant = 0): Ciphertext {
    return linear.linearCombination(this.#core, a, c, constant);
  }

  rotateNew(a: Ciphertext, k: number): Ciphertext {
    return rotate.rotate(this.#core, a, k);
  }

  rotateManyNew(a: Ciphertext, ks: readonly number[]): Ciphertext[] {
    return rotate.rotateMany(this.#core, a, ks);
  }

  conjugateNew(a: Ciphertext): Ciphertext {
    return rotate.automorphism(this.#core, a, this.context.galoisOfConjugation);
  }

  encode(values: SlotVector, at: number): Plaintext {
    if (at === 0) throw levelExhausted(0);
    return this.encodeAt(values, at, this.context.level(at).plainScale);
  }

  encodeForAdd(values: SlotVector, at: number): Plaintext {
    return new Plaintext(this.context, this.encoder, values, {
      level: at,
      scale: this.scaleAt(at),
      purpose: 'addition',
      form: this.plaintextForm,
    });
  }

  /** A plaintext factor at a scale of one's own. */
  encodeAt(values: SlotVector, at: number, scale: number): Plaintext {
    return new Plaintext(this.context, this.encoder, values, {
      level: at,
      scale,
      purpose: 'product',
      form: this.plaintextForm,
    });
  }

  releasePlain(p: Plain): void {
    (p as Plaintext).release();
  }

  compileTransform(matrix: DiagonalMatrix, options: TransformOptions): CompiledTransform {
    if (matrix.diagonals.size === 0) throw operandCount(0, 0);
    return compileTransform(this.#core, matrix, options);
  }

  transformNew(a: Ciphertext, t: LinearTransform): Ciphertext {
    return transform(this.#core, a, t as CompiledTransform);
  }

  releaseTransform(t: LinearTransform): void {
    (t as CompiledTransform).release();
  }

  toLevel(a: Ciphertext, to: number): Ciphertext {
    return level.toLevel(this.#core, a, to);
  }

  /** Division to the level below at whatever scale results. 1 level. */
  rescaleNew(a: Ciphertext): Ciphertext {
    return level.rescale(this.#core, a);
  }

  /** The same polynomials said to be at another scale: the message is multiplied by scale(a) / scale. */
  relabelNew(a: Ciphertext, scale: number): Ciphertext {
    return level.relabel(this.#core, a, scale);
  }

  /** Keeps only the primes of a lower level; scale and message stay, so the phase must fit. */
  truncateNew(a: Ciphertext, to: number): Ciphertext {
    return level.truncate(this.#core, a, to);
  }

  /** a * b at scale(a) * scale(b), neither relinearised nor rescaled. */
  tensorNew(a: Ciphertext, b: Ciphertext): product.Tensor {
    return product.tensor(this.#core, a, b);
  }

  /** t += a * b. */
  tensorAdd(t: product.Tensor, a: Ciphertext, b: Ciphertext): void {
    product.tensorAdd(this.#core, t, a, b);
  }

  /** t += c * a. */
  tensorAddScaled(t: product.Tensor, a: Ciphertext, c: number): void {
    product.tensorAddScaled(this.#core, t, a, c);
  }

  /** t += b * a. */
  tensorAddPlain(t: product.Tensor, a: Ciphertext, b: Plain): void {
    product.tensorAddPlain(this.#core, t, a, b as Plaintext);
  }

  /** t += re + i im in every slot. */
  tensorAddConst(t: product.Tensor, re: number, im = 0): void {
    product.tensorAddConst(this.#core, t, re, im);
  }

  /** t *= 2. */
  tensorDouble(t: product.Tensor): void {
    product.tensorDouble(this.#core, t);
  }

  /** Relinearises and rescales a product. 1 level. */
  relinRescaleNew(t: product.Tensor): Ciphertext {
    return product.relinearise(this.#core, t);
  }

  /** x plus the sum of its rotations, list after list; the lists share keys of one plan. 0 levels. */
  rotationSumsNew(a: Ciphertext, sums: readonly (readonly number[])[]): Ciphertext {
    return rotationSums(this.#core, a, sums);
  }

  /** out[i] = a[i] + a[i + stride] + ..., `count` terms: powers of two. 0 levels. */
  sumNew(a: Ciphertext, count: number, stride: number): Ciphertext {
    return this.scope(() => sumOverStride(this.#core, a, count, stride));
  }

  /** X -> X^galois with its key. 0 levels. */
  automorphismNew(a: Ciphertext, galois: number): Ciphertext {
    return rotate.automorphism(this.#core, a, galois);
  }
}
