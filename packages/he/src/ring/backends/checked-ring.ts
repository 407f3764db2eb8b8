import { SottoError } from '@sotto/base';
import {
  type Backend,
  type Basis,
  LEAST_RUN,
  type MemoryUse,
  type Ptr,
  type Ring,
  type RingOptions,
  type WorkCounts,
} from '../backend.js';
import { isPowerOfTwo } from '../bits.js';
import type { ColdMemory } from './cold-memory.js';
import {
  fail,
  MAX_DIGITS,
  MAX_DIVIDE_PRIMES,
  MAX_EXTEND_PRIMES,
  MAX_OUTPUT_TERMS,
  MAX_POLYNOMIALS,
} from './limits.js';
import type { RowMemory } from './row-memory.js';

type KernelName =
  | 'read'
  | 'write'
  | 'copy'
  | 'zero'
  | 'select'
  | 'ntt'
  | 'intt'
  | 'add'
  | 'sub'
  | 'neg'
  | 'toMontgomery'
  | 'mul'
  | 'mulAdd'
  | 'mulSum'
  | 'mulConst'
  | 'mulConstAdd'
  | 'addConst'
  | 'tensor'
  | 'permute'
  | 'extend'
  | 'divideRoundMany'
  | 'decompose'
  | 'keySwitch'
  | 'innerProduct'
  | 'embed'
  | 'liftDoubles'
  | 'uniform';

/** What a backend implements; arguments arrive checked. */
export interface Kernels extends Pick<Ring, KernelName> {
  readonly memory: RowMemory;
  /** Cold memory outside of {@link memory}; null where it is a part of it. */
  readonly cold: ColdMemory | null;
  /** Called once for each basis, ids ascending from 0. */
  defineBasis(basis: Basis): void;
  allocCold(rows: number): Ptr;
  free(at: Ptr): void;
  dispose(): void;
}

const noCounts = (): WorkCounts => ({
  ntt: 0,
  intt: 0,
  baseConversion: 0,
  innerProduct: 0,
  pointwise: 0,
  permute: 0,
});

/** The part of {@link Ring} that all backends share: interned bases, checks of every argument, and work counts. */
export class CheckedRing implements Ring {
  readonly backend: Backend;
  readonly logN: number;
  readonly n: number;
  readonly primes: readonly number[];
  readonly #kernels: Kernels;
  readonly #bases: Basis[] = [];
  readonly #basisByIndices = new Map<string, Basis>();
  readonly #overlaps = new Map<number, number>();
  #counts = noCounts();
  #disposed = false;

  constructor(backend: Backend, options: RingOptions, kernels: Kernels) {
    this.backend = backend;
    this.logN = options.logN;
    this.n = 2 ** options.logN;
    this.primes = Object.freeze([...options.primes]);
    this.#kernels = kernels;
  }

  basis(indices: readonly number[]): Basis {
    const key = indices.join();
    const known = this.#basisByIndices.get(key);
    if (known !== undefined) return known;
    this.#alive();
    if (indices.length === 0 || new Set(indices).size !== indices.length) {
      fail('A basis needs distinct prime indices.', 'HE_RING_BASIS', { size: indices.length });
    }
    for (const index of indices) {
      if (!Number.isInteger(index) || index < 0 || index >= this.primes.length) {
        fail('A basis names a prime the ring does not have.', 'HE_RING_BASIS', {
          index,
          primes: this.primes.length,
        });
      }
    }
    const basis: Basis = Object.freeze({
      id: this.#bases.length,
      indices: Object.freeze([...indices]),
      size: indices.length,
    });
    this.#kernels.defineBasis(basis);
    this.#bases.push(basis);
    this.#basisByIndices.set(key, basis);
    return basis;
  }

  alloc(rows: number): Ptr {
    this.#alive();
    return this.#kernels.memory.alloc(rows);
  }

  allocCold(rows: number): Ptr {
    this.#alive();
    return this.#kernels.allocCold(rows);
  }

  /** Freeing after {@link dispose} is allowed and does nothing. */
  free(at: Ptr): void {
    if (this.#disposed) return;
    this.#kernels.free(at);
  }

  memory(): MemoryUse {
    return this.#kernels.memory.use();
  }

  write(at: Ptr, words: Uint32Array): void {
    this.#alive();
    this.#home(at).checkBytes(at, words.byteLength);
    this.#kernels.write(at, words);
  }

  read(at: Ptr, count: number): Uint32Array {
    this.#alive();
    this.#home(at).checkBytes(at, 4 * count);
    return this.#kernels.read(at, count);
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#kernels.dispose();
  }

  copy(out: Ptr, x: Ptr, basis: Basis): void {
    this.#alive();
    this.#known(basis);
    this.#home(out).checkAny(out, basis.size);
    this.#home(x).checkAny(x, basis.size);
    this.#kernels.copy(out, x, basis);
  }

  zero(out: Ptr, basis: Basis): void {
    this.#check(basis, out);
    this.#kernels.zero(out, basis);
  }

  select(out: Ptr, outBasis: Basis, x: Ptr, basis: Basis): void {
    this.#check(basis, x);
    this.#check(outBasis, out);
    this.#subset(outBasis, basis);
    if (out !== x) this.#apart(out, outBasis.size, x, basis.size);
    else if (!sameOrder(outBasis, basis)) {
      fail('Rows cannot be reordered in place.', 'HE_RING_ARGUMENT', { rows: outBasis.size });
    }
    this.#kernels.select(out, outBasis, x, basis);
  }

  ntt(x: Ptr, basis: Basis): void {
    this.#check(basis, x);
    this.#counts.ntt += basis.size;
    this.#kernels.ntt(x, basis);
  }

  intt(x: Ptr, basis: Basis): void {
    this.#check(basis, x);
    this.#counts.intt += basis.size;
    this.#kernels.intt(x, basis);
  }

  add(out: Ptr, a: Ptr, b: Ptr, basis: Basis): void {
    this.#pointwise(1, basis, out, a, b);
    this.#kernels.add(out, a, b, basis);
  }

  sub(out: Ptr, a: Ptr, b: Ptr, basis: Basis): void {
    this.#pointwise(1, basis, out, a, b);
    this.#kernels.sub(out, a, b, basis);
  }

  neg(out: Ptr, a: Ptr, basis: Basis): void {
    this.#pointwise(1, basis, out, a);
    this.#kernels.neg(out, a, basis);
  }

  toMontgomery(out: Ptr, a: Ptr, basis: Basis): void {
    this.#pointwise(1, basis, out, a);
    this.#kernels.toMontgomery(out, a, basis);
  }

  mul(out: Ptr, a: Ptr, bMontgomery: Ptr, basis: Basis): void {
    this.#pointwise(1, basis, out, a);
    this.#home(bMontgomery).checkAny(bMontgomery, basis.size);
    this.#kernels.mul(out, a, bMontgomery, basis);
  }

  mulAdd(out: Ptr, a: Ptr, bMontgomery: Ptr, basis: Basis): void {
    this.#pointwise(1, basis, out, a);
    this.#home(bMontgomery).checkAny(bMontgomery, basis.size);
    this.#kernels.mulAdd(out, a, bMontgomery, basis);
  }

  mulSum(
    out: Ptr,
    a: readonly Ptr[],
    bMontgomery: readonly Ptr[],
    basis: Basis,
    accumulate: boolean,
    runs?: readonly number[],
  ): void {
    const terms = a.length;
    if (terms !== bMontgomery.length || terms === 0 || (runs !== undefined && runs.length !== terms)) {
      fail('mulSum needs lists of the same length.', 'HE_RING_ARGUMENT', {
        a: terms,
        b: bMontgomery.length,
        runs: runs?.length ?? null,
      });
    }
    const ofOutput = a.filter((at, i) => at === out || bMontgomery[i] === out).length;
    if (ofOutput > MAX_OUTPUT_TERMS) {
      fail('Too many terms of a sum contain its output.', 'HE_RING_ARGUMENT', {
        ofOutput,
        most: MAX_OUTPUT_TERMS,
      });
    }
    this.#pointwise(terms, basis, out);
    for (const at of a) this.#kernels.memory.check(at, basis.size);
    for (let i = 0; i < terms; i++) {
      const at = bMontgomery[i]!;
      const run = runs?.[i] ?? 1;
      if (run !== 1) this.#run(run, out, at, basis);
      this.#home(at).checkAny(at, Math.ceil(basis.size / run));
    }
    this.#kernels.mulSum(out, a, bMontgomery, basis, accumulate, runs);
  }

  mulConst(out: Ptr, a: Ptr, c: Uint32Array, basis: Basis): void {
    this.#pointwise(1, basis, out, a);
    this.#constants(c, basis);
    this.#kernels.mulConst(out, a, c, basis);
  }

  mulConstAdd(out: Ptr, a: Ptr, c: Uint32Array, basis: Basis): void {
    this.#pointwise(1, basis, out, a);
    this.#constants(c, basis);
    this.#kernels.mulConstAdd(out, a, c, basis);
  }

  addConst(out: Ptr, a: Ptr, c: Uint32Array, basis: Basis): void {
    this.#pointwise(1, basis, out, a);
    this.#constants(c, basis);
    this.#kernels.addConst(out, a, c, basis);
  }

  tensor(
    d0: Ptr,
    d1: Ptr,
    d2: Ptr,
    a0: Ptr,
    a1: Ptr,
    b0: Ptr,
    b1: Ptr,
    basis: Basis,
    accumulate: boolean,
  ): void {
    this.#pointwise(4, basis, d0, d1, d2);
    const inputs = [a0, a1, b0, b1];
    for (const at of inputs) {
      this.#kernels.memory.check(at, basis.size);
      for (const out of [d0, d1, d2]) this.#apart(out, basis.size, at, basis.size);
    }
    this.#kernels.tensor(d0, d1, d2, a0, a1, b0, b1, basis, accumulate);
  }

  permute(out: Ptr, a: Ptr, galois: number, basis: Basis): void {
    this.#check(basis, out, a);
    this.#apart(out, basis.size, a, basis.size);
    if (!Number.isInteger(galois) || galois < 1 || galois >= 2 * this.n || galois % 2 === 0) {
      fail('A Galois element is odd and below 2N.', 'HE_RING_ARGUMENT', { galois, n: this.n });
    }
    this.#counts.permute += basis.size;
    this.#kernels.permute(out, a, galois, basis);
  }

  extend(out: Ptr, to: Basis, x: Ptr, from: Basis): void {
    this.#check(from, x);
    this.#check(to, out);
    this.#apart(out, to.size, x, from.size);
    this.#countExtend(to, from);
    this.#kernels.extend(out, to, x, from);
  }

  divideRound(out: Ptr, to: Basis, x: Ptr, from: Basis): void {
    this.divideRoundMany([out], to, [x], from);
  }

  divideRoundMany(outs: readonly Ptr[], to: Basis, xs: readonly Ptr[], from: Basis): void {
    if (outs.length !== xs.length || outs.length < 1 || outs.length > MAX_POLYNOMIALS) {
      fail('As many outputs as inputs are needed.', 'HE_RING_ARGUMENT', {
        outputs: outs.length,
        inputs: xs.length,
        most: MAX_POLYNOMIALS,
      });
    }
    for (const x of xs) this.#check(from, x);
    this.#checkOutputs(outs, to, xs, from);
    const divided = from.size - this.#common(to, from);
    if (divided > MAX_DIVIDE_PRIMES) {
      fail('Too many primes to divide by at once.', 'HE_RING_ARGUMENT', {
        size: divided,
        most: MAX_DIVIDE_PRIMES,
      });
    }
    this.#counts.intt += outs.length * divided;
    this.#counts.baseConversion += outs.length * divided * to.size;
    this.#counts.ntt += divided > 0 ? outs.length * to.size : 0;
    this.#counts.pointwise += outs.length * to.size;
    this.#kernels.divideRoundMany(outs, to, xs, from);
  }

  decompose(outs: readonly Ptr[], to: Basis, x: Ptr, from: Basis, digits: readonly Basis[]): void {
    this.#check(from, x);
    this.#checkOutputs(outs, to, [x], from);
    this.#checkDigits(outs.length, to, from, digits);
    this.#kernels.decompose(outs, to, x, from, digits);
  }

  keySwitch(
    o0: Ptr,
    o1: Ptr,
    outs: readonly Ptr[],
    to: Basis,
    x: Ptr,
    from: Basis,
    digits: readonly Basis[],
    key: Ptr,
    keyBasis: Basis,
    keyDigits: number,
  ): void {
    this.#check(from, x);
    this.#checkOutputs([o0, o1, ...outs], to, [x], from);
    this.#checkDigits(outs.length, to, from, digits);
    this.#checkKey(digits.length, to, key, keyBasis, keyDigits);
    this.#kernels.keySwitch(o0, o1, outs, to, x, from, digits, key, keyBasis, keyDigits);
  }

  innerProduct(
    o0: Ptr,
    o1: Ptr,
    digits: readonly Ptr[],
    basis: Basis,
    key: Ptr,
    keyBasis: Basis,
    keyDigits: number,
    accumulate: boolean,
  ): void {
    this.#check(basis, o0, o1);
    this.#apart(o0, basis.size, o1, basis.size);
    for (const at of digits) {
      this.#kernels.memory.check(at, basis.size);
      this.#apart(o0, basis.size, at, basis.size);
      this.#apart(o1, basis.size, at, basis.size);
    }
    this.#checkKey(digits.length, basis, key, keyBasis, keyDigits);
    this.#kernels.innerProduct(o0, o1, digits, basis, key, keyBasis, keyDigits, accumulate);
  }

  embed(re: Float64Array, im: Float64Array | null, scale: number, turn: number): Float64Array {
    const count = re.length;
    if (!isPowerOfTwo(count) || 2 * count > this.n || (im !== null && im.length !== count)) {
      fail('The values must be a power of two, at most half of the degree.', 'HE_RING_ARGUMENT', {
        values: count,
        n: this.n,
      });
    }
    if (!Number.isInteger(turn) || turn < 0 || turn >= count) {
      fail('Values are turned by fewer places than there are.', 'HE_RING_ARGUMENT', { turn, values: count });
    }
    return this.#kernels.embed(re, im, scale, turn);
  }

  liftDoubles(out: Ptr, coefficients: Float64Array, basis: Basis): void {
    this.#check(basis, out);
    if (coefficients.length !== this.n) {
      fail('One coefficient is needed for each power of X.', 'HE_RING_ARGUMENT', {
        length: coefficients.length,
        n: this.n,
      });
    }
    for (let i = 0; i < coefficients.length; i++) {
      if (!(Math.abs(coefficients[i]!) < 2 ** 62)) {
        fail('A coefficient is too large for the ring, or is not a number.', 'HE_RING_ARGUMENT', {
          limitLog2: 62,
        });
      }
    }
    this.#counts.pointwise += basis.size;
    this.#kernels.liftDoubles(out, coefficients, basis);
  }

  uniform(out: Ptr, seed: Uint8Array, domain: number, basis: Basis): void {
    this.#check(basis, out);
    if (seed.length !== 32 || !Number.isInteger(domain) || domain < 0 || domain >= 2 ** 32) {
      fail('A seed has 32 bytes and a domain 32 bits.', 'HE_RING_ARGUMENT', { seedBytes: seed.length });
    }
    this.#counts.pointwise += basis.size;
    this.#kernels.uniform(out, seed, domain, basis);
  }

  counts(): WorkCounts {
    return { ...this.#counts };
  }

  resetCounts(): void {
    this.#counts = noCounts();
  }

  #alive(): void {
    if (this.#disposed) {
      throw new SottoError('The ring has been disposed of.', {
        code: 'HE_RING_DISPOSED',
        fix: 'Keep the ring alive as long as anything made with it.',
      });
    }
  }

  #known(basis: Basis): void {
    if (this.#bases[basis.id] !== basis) {
      fail(
        'The basis belongs to another ring.',
        'HE_RING_BASIS',
        { id: basis.id },
        'Get bases from ring.basis().',
      );
    }
  }

  /** The memory whose range an address lies in. */
  #home(at: Ptr): Pick<RowMemory, 'checkAny' | 'checkBytes'> {
    const { memory, cold } = this.#kernels;
    return cold?.holds(at) ? cold : memory;
  }

  /** A factor of runs is read while the output is written, at other places. */
  #run(run: number, out: Ptr, at: Ptr, basis: Basis): void {
    if (!isPowerOfTwo(run) || run < LEAST_RUN || run > this.n) {
      fail('The length of the runs is not usable.', 'HE_RING_ARGUMENT', {
        run,
        least: LEAST_RUN,
        most: this.n,
      });
    }
    this.#apart(out, basis.size, at, Math.ceil(basis.size / run));
  }

  #check(basis: Basis, a: Ptr, b: Ptr = a, c: Ptr = a): void {
    this.#alive();
    this.#known(basis);
    const { memory } = this.#kernels;
    memory.check(a, basis.size);
    if (b !== a) memory.check(b, basis.size);
    if (c !== a) memory.check(c, basis.size);
  }

  #pointwise(rows: number, basis: Basis, a: Ptr, b: Ptr = a, c: Ptr = a): void {
    this.#check(basis, a, b, c);
    this.#counts.pointwise += rows * basis.size;
  }

  #constants(c: Uint32Array, basis: Basis): void {
    if (c.length !== basis.size) {
      fail('One constant is needed for each row.', 'HE_RING_ARGUMENT', {
        constants: c.length,
        rows: basis.size,
      });
    }
    for (let row = 0; row < basis.size; row++) {
      if (c[row]! >= this.primes[basis.indices[row]!]!) {
        fail('A constant is not reduced modulo its prime.', 'HE_RING_ARGUMENT', { row });
      }
    }
  }

  #subset(small: Basis, large: Basis): void {
    if (this.#common(small, large) !== small.size) {
      const index = small.indices.find((i) => !large.indices.includes(i)) ?? null;
      fail('A basis must be a subset of the other.', 'HE_RING_BASIS', { index });
    }
  }

  /** The key of an inner product with `digits` digits; counts the product. */
  #checkKey(digits: number, basis: Basis, key: Ptr, keyBasis: Basis, keyDigits: number): void {
    this.#known(keyBasis);
    const most = Math.min(MAX_DIGITS, keyDigits);
    if (!Number.isInteger(keyDigits) || digits < 1 || digits > most) {
      fail('The number of digits does not fit the key.', 'HE_RING_ARGUMENT', { digits, most });
    }
    this.#subset(basis, keyBasis);
    this.#home(key).checkAny(key, keyBasis.size * keyDigits * 2);
    this.#counts.innerProduct += 2 * digits * basis.size;
  }

  /** The digits of a decomposition; counts their extensions. */
  #checkDigits(count: number, to: Basis, from: Basis, digits: readonly Basis[]): void {
    if (digits.length !== count || count < 1 || count > MAX_DIGITS) {
      fail('The number of digits is not usable.', 'HE_RING_ARGUMENT', {
        digits: digits.length,
        outputs: count,
        most: MAX_DIGITS,
      });
    }
    for (const digit of digits) {
      this.#known(digit);
      this.#subset(digit, from);
      this.#countExtend(to, digit);
    }
  }

  #countExtend(to: Basis, from: Basis): void {
    if (from.size > MAX_EXTEND_PRIMES) {
      fail('Too many primes to extend from.', 'HE_RING_ARGUMENT', {
        size: from.size,
        most: MAX_EXTEND_PRIMES,
      });
    }
    const targets = to.size - this.#common(to, from);
    this.#counts.intt += from.size;
    this.#counts.baseConversion += from.size * targets;
    this.#counts.ntt += targets;
  }

  /** Outputs over `to` that overlap neither each other nor an input over `from`. */
  #checkOutputs(outs: readonly Ptr[], to: Basis, xs: readonly Ptr[], from: Basis): void {
    outs.forEach((out, i) => {
      this.#check(to, out);
      for (const x of xs) this.#apart(out, to.size, x, from.size);
      for (let other = 0; other < i; other++) this.#apart(out, to.size, outs[other]!, to.size);
    });
  }

  /** How many primes two bases share. */
  #common(a: Basis, b: Basis): number {
    const key = a.id * 2 ** 26 + b.id;
    let common = this.#overlaps.get(key);
    if (common === undefined) {
      common = a.indices.filter((index) => b.indices.includes(index)).length;
      this.#overlaps.set(key, common);
    }
    return common;
  }

  #apart(a: Ptr, aRows: number, b: Ptr, bRows: number): void {
    const rowBytes = 4 * this.n;
    if (a < b + bRows * rowBytes && b < a + aRows * rowBytes) {
      fail('The output of this kernel may not overlap its input.', 'HE_RING_ARGUMENT', { rows: aRows });
    }
  }
}

function sameOrder(small: Basis, large: Basis): boolean {
  let last = -1;
  for (const index of small.indices) {
    const row = large.indices.indexOf(index);
    if (row <= last) return false;
    last = row;
  }
  return true;
}
