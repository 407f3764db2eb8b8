import type { Backend, Basis, Ptr, Ring, RingOptions } from '../backend.js';
import { bitLength, bitReverse, roundTiesToEven } from '../bits.js';
import { ChaCha20 } from '../chacha20.js';
import { invMod, mulMod } from '../modular.js';
import { rootOfUnity } from '../primes.js';
import { SlotTransform } from '../slot-transform.js';
import { CheckedRing, type Kernels } from './checked-ring.js';
import { checkRingOptions } from './limits.js';
import { RowMemory } from './row-memory.js';

/** The oracle: plain loops, one modular operation at a time. Slow, portable, and what the other backends are tested against. */
export function createReferenceBackend(): Backend {
  const backend: Backend = {
    name: 'reference',
    isa: 'scalar',
    threads: 1,
    createRing(options: RingOptions): Ring {
      checkRingOptions(options);
      return new CheckedRing(backend, options, new ReferenceKernels(options));
    },
  };
  return backend;
}

/** Rows the oracle may hold: typed arrays end near 2^32 bytes. */
const LIMIT_BYTES = 4 * 2 ** 30;

class ReferenceKernels implements Kernels {
  readonly memory: RowMemory;
  readonly cold = null;
  readonly #logN: number;
  readonly #n: number;
  readonly #primes: readonly number[];
  /** psi^bitReverse(i), and the same of its inverse, for each prime; made at first use. */
  readonly #twiddles = new Map<number, { forward: Uint32Array; inverse: Uint32Array }>();
  #heap = new Uint32Array(0);
  readonly #base: number;

  constructor({ logN, primes }: RingOptions) {
    this.#logN = logN;
    this.#n = 2 ** logN;
    this.#primes = primes;
    const rowBytes = 4 * this.#n;
    this.#base = rowBytes;
    this.memory = new RowMemory({
      base: this.#base,
      rowBytes,
      limitRows: Math.floor(LIMIT_BYTES / rowBytes),
      commit: (rows) => this.#grow(rows * this.#n),
    });
  }

  #grow(words: number): boolean {
    if (words <= this.#heap.length) return true;
    const limit = LIMIT_BYTES / 4;
    try {
      const grown = new Uint32Array(Math.min(limit, Math.max(words, 2 * this.#heap.length)));
      grown.set(this.#heap);
      this.#heap = grown;
      return true;
    } catch {
      return false;
    }
  }

  defineBasis(): void {}

  allocCold(rows: number): Ptr {
    return this.memory.alloc(rows, 'cold');
  }

  free(at: Ptr): void {
    this.memory.free(at);
  }

  dispose(): void {
    this.#heap = new Uint32Array(0);
    this.#twiddles.clear();
  }

  write(at: Ptr, words: Uint32Array): void {
    this.#heap.set(words, (at - this.#base) / 4);
  }

  read(at: Ptr, count: number): Uint32Array {
    const start = (at - this.#base) / 4;
    return this.#heap.slice(start, start + count);
  }

  #row(at: Ptr, row: number): Uint32Array {
    const start = (at - this.#base) / 4 + row * this.#n;
    return this.#heap.subarray(start, start + this.#n);
  }

  #prime(basis: Basis, row: number): number {
    return this.#primes[basis.indices[row]!]!;
  }

  copy(out: Ptr, x: Ptr, basis: Basis): void {
    for (let row = 0; row < basis.size; row++) this.#row(out, row).set(this.#row(x, row));
  }

  zero(out: Ptr, basis: Basis): void {
    for (let row = 0; row < basis.size; row++) this.#row(out, row).fill(0);
  }

  select(out: Ptr, outBasis: Basis, x: Ptr, basis: Basis): void {
    outBasis.indices.forEach((index, row) => {
      this.#row(out, row).set(this.#row(x, basis.indices.indexOf(index)));
    });
  }

  ntt(x: Ptr, basis: Basis): void {
    for (let row = 0; row < basis.size; row++) this.#forward(this.#row(x, row), basis.indices[row]!);
  }

  intt(x: Ptr, basis: Basis): void {
    for (let row = 0; row < basis.size; row++) this.#backward(this.#row(x, row), basis.indices[row]!);
  }

  add(out: Ptr, a: Ptr, b: Ptr, basis: Basis): void {
    this.#map2(out, a, b, basis, (x, y, q) => (x + y) % q);
  }

  sub(out: Ptr, a: Ptr, b: Ptr, basis: Basis): void {
    this.#map2(out, a, b, basis, (x, y, q) => (x + q - y) % q);
  }

  neg(out: Ptr, a: Ptr, basis: Basis): void {
    this.#map2(out, a, a, basis, (x, _, q) => (q - x) % q);
  }

  toMontgomery(out: Ptr, a: Ptr, basis: Basis): void {
    this.mulConst(
      out,
      a,
      this.#constants(basis, (q) => 2 ** 32 % q),
      basis,
    );
  }

  mul(out: Ptr, a: Ptr, bMontgomery: Ptr, basis: Basis): void {
    this.#map2(out, a, bMontgomery, basis, montgomeryProduct);
  }

  mulAdd(out: Ptr, a: Ptr, bMontgomery: Ptr, basis: Basis): void {
    this.mulSum(out, [a], [bMontgomery], basis, true);
  }

  mulSum(
    out: Ptr,
    a: readonly Ptr[],
    bMontgomery: readonly Ptr[],
    basis: Basis,
    accumulate: boolean,
    runs?: readonly number[],
  ): void {
    for (let row = 0; row < basis.size; row++) {
      const q = this.#prime(basis, row);
      const unscale = montgomeryInverse(q);
      const o = this.#row(out, row);
      const sums = accumulate ? o.slice() : new Uint32Array(this.#n);
      for (let term = 0; term < a.length; term++) {
        const x = this.#row(a[term]!, row);
        const run = runs?.[term] ?? 1;
        const start = (bMontgomery[term]! - this.#base) / 4 + (row * this.#n) / run;
        for (let i = 0; i < this.#n; i++) {
          const y = this.#heap[start + Math.floor(i / run)]!;
          sums[i] = (sums[i]! + mulMod(mulMod(x[i]!, y, q), unscale, q)) % q;
        }
      }
      o.set(sums);
    }
  }

  mulConst(out: Ptr, a: Ptr, c: Uint32Array, basis: Basis): void {
    this.#map2(out, a, a, basis, (x, _, q, row) => mulMod(x, c[row]!, q));
  }

  mulConstAdd(out: Ptr, a: Ptr, c: Uint32Array, basis: Basis): void {
    this.#map2(out, out, a, basis, (o, x, q, row) => (o + mulMod(x, c[row]!, q)) % q);
  }

  addConst(out: Ptr, a: Ptr, c: Uint32Array, basis: Basis): void {
    this.#map2(out, a, a, basis, (x, _, q, row) => (x + c[row]!) % q);
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
    const sum = (old: number, product: number, q: number) => ((accumulate ? old : 0) + product) % q;
    for (let row = 0; row < basis.size; row++) {
      const q = this.#prime(basis, row);
      const [o0, o1, o2] = [this.#row(d0, row), this.#row(d1, row), this.#row(d2, row)];
      const [x0, x1, y0, y1] = [
        this.#row(a0, row),
        this.#row(a1, row),
        this.#row(b0, row),
        this.#row(b1, row),
      ];
      for (let i = 0; i < this.#n; i++) {
        o0[i] = sum(o0[i]!, mulMod(x0[i]!, y0[i]!, q), q);
        o1[i] = sum(o1[i]!, mulMod(x0[i]!, y1[i]!, q) + mulMod(x1[i]!, y0[i]!, q), q);
        o2[i] = sum(o2[i]!, mulMod(x1[i]!, y1[i]!, q), q);
      }
    }
  }

  permute(out: Ptr, a: Ptr, galois: number, basis: Basis): void {
    const order = 2 * this.#n;
    const source = Array.from({ length: this.#n }, (_, i) => {
      const exponent = (galois * (2 * bitReverse(i, this.#logN) + 1)) % order;
      return bitReverse((exponent - 1) / 2, this.#logN);
    });
    for (let row = 0; row < basis.size; row++) {
      const o = this.#row(out, row);
      const x = this.#row(a, row);
      for (let i = 0; i < this.#n; i++) o[i] = x[source[i]!]!;
    }
  }

  extend(out: Ptr, to: Basis, x: Ptr, from: Basis): void {
    const q = from.indices.map((index) => this.#primes[index]!);
    const digits = q.map((prime, row) => {
      const y = this.#row(x, row).slice();
      this.#backward(y, from.indices[row]!);
      return scale(y, invMod(productMod(q, prime, prime), prime), prime);
    });
    const quotient = centredQuotient(digits, q);
    to.indices.forEach((index, row) => {
      const o = this.#row(out, row);
      const copied = from.indices.indexOf(index);
      if (copied >= 0) {
        o.set(this.#row(x, copied));
        return;
      }
      const p = this.#primes[index]!;
      const weights = q.map((prime) => productMod(q, p, prime));
      combine(o, digits, weights, quotient, (p - productMod(q, p)) % p, p);
      this.#forward(o, index);
    });
  }

  divideRoundMany(outs: readonly Ptr[], to: Basis, xs: readonly Ptr[], from: Basis): void {
    outs.forEach((out, i) => {
      this.#divideRound(out, to, xs[i]!, from);
    });
  }

  decompose(outs: readonly Ptr[], to: Basis, x: Ptr, from: Basis, digits: readonly Basis[]): void {
    digits.forEach((digit, d) => {
      const part = this.memory.alloc(digit.size, 'table');
      this.select(part, digit, x, from);
      this.extend(outs[d]!, to, part, digit);
      this.memory.free(part);
    });
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
    this.decompose(outs, to, x, from, digits);
    this.innerProduct(o0, o1, outs, to, key, keyBasis, keyDigits, false);
  }

  #divideRound(out: Ptr, to: Basis, x: Ptr, from: Basis): void {
    const leaving = from.indices.filter((index) => !to.indices.includes(index));
    const entering = to.indices.filter((index) => !from.indices.includes(index)).map((i) => this.#primes[i]!);
    const d = leaving.map((index) => this.#primes[index]!);
    // x*E mod D in residues times (D/d)^-1, so that x*E mod D = sum_i digits[i]*(D/d_i) - quotient*D.
    const digits = d.map((prime, i) => {
      const y = this.#row(x, from.indices.indexOf(leaving[i]!)).slice();
      this.#backward(y, leaving[i]!);
      const weight = invMod(productMod(d, prime, prime), prime);
      return scale(y, mulMod(productMod(entering, prime), weight, prime), prime);
    });
    const quotient = centredQuotient(digits, d);
    const w = new Uint32Array(this.#n);
    to.indices.forEach((index, row) => {
      const p = this.#primes[index]!;
      const o = this.#row(out, row);
      w.fill(0);
      if (d.length > 0) {
        const weights = d.map((prime) => p - invMod(prime, p));
        combine(w, digits, weights, quotient, 1, p);
        this.#forward(w, index);
      }
      const kept = from.indices.indexOf(index);
      if (kept < 0) {
        o.set(w);
        return;
      }
      const factor = mulMod(productMod(entering, p), invMod(productMod(d, p), p), p);
      const source = this.#row(x, kept);
      for (let i = 0; i < this.#n; i++) o[i] = (mulMod(source[i]!, factor, p) + w[i]!) % p;
    });
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
    for (let row = 0; row < basis.size; row++) {
      const q = this.#prime(basis, row);
      const unscale = montgomeryInverse(q);
      const keyRow = keyBasis.indices.indexOf(basis.indices[row]!);
      const outputs = [this.#row(o0, row), this.#row(o1, row)];
      outputs.forEach((o, part) => {
        if (!accumulate) o.fill(0);
        for (let d = 0; d < digits.length; d++) {
          const x = this.#row(digits[d]!, row);
          const k = this.#row(key, (keyRow * keyDigits + d) * 2 + part);
          for (let i = 0; i < this.#n; i++) o[i] = (o[i]! + mulMod(mulMod(x[i]!, k[i]!, q), unscale, q)) % q;
        }
      });
    }
  }

  embed(re: Float64Array, im: Float64Array | null, scale: number, turn: number): Float64Array {
    const count = re.length;
    const x = re.map((_, i) => re[(i + turn) % count]!);
    const y = im?.map((_, i) => im[(i + turn) % count]!) ?? new Float64Array(count);
    new SlotTransform(count).inverse(x, y);
    const out = new Float64Array(this.#n);
    const slots = this.#n / 2;
    for (let j = 0, gap = slots / count; j < count; j++) {
      out[j * gap] = x[j]! * scale;
      out[j * gap + slots] = y[j]! * scale;
    }
    return out;
  }

  liftDoubles(out: Ptr, coefficients: Float64Array, basis: Basis): void {
    const rounded = Array.from(coefficients, (c) => roundTiesToEven(c));
    for (let row = 0; row < basis.size; row++) {
      const q = this.#prime(basis, row);
      const o = this.#row(out, row);
      for (let i = 0; i < this.#n; i++) {
        // Number % is exact for every pair of doubles.
        const residue = rounded[i]! % q;
        o[i] = residue < 0 ? residue + q : residue;
      }
    }
  }

  uniform(out: Ptr, seed: Uint8Array, domain: number, basis: Basis): void {
    for (let row = 0; row < basis.size; row++) {
      const q = this.#prime(basis, row);
      const mask = 2 ** bitLength(q) - 1;
      const stream = new ChaCha20(seed, [domain, basis.indices[row]!, 0]);
      const o = this.#row(out, row);
      for (let i = 0; i < this.#n; ) {
        const word = stream.next() & mask;
        if (word < q) o[i++] = word;
      }
    }
  }

  #constants(basis: Basis, of: (q: number) => number): Uint32Array {
    return Uint32Array.from(basis.indices, (index) => of(this.#primes[index]!));
  }

  #map2(
    out: Ptr,
    a: Ptr,
    b: Ptr,
    basis: Basis,
    f: (x: number, y: number, q: number, row: number) => number,
  ): void {
    for (let row = 0; row < basis.size; row++) {
      const q = this.#prime(basis, row);
      const [o, x, y] = [this.#row(out, row), this.#row(a, row), this.#row(b, row)];
      for (let i = 0; i < this.#n; i++) o[i] = f(x[i]!, y[i]!, q, row);
    }
  }

  #tables(index: number): { forward: Uint32Array; inverse: Uint32Array } {
    const known = this.#twiddles.get(index);
    if (known !== undefined) return known;
    const q = this.#primes[index]!;
    const psi = rootOfUnity(q, this.#logN);
    const powers = (root: number) => {
      const table = new Uint32Array(this.#n);
      for (let i = 0, power = 1; i < this.#n; i++, power = mulMod(power, root, q)) {
        table[bitReverse(i, this.#logN)] = power;
      }
      return table;
    };
    const tables = { forward: powers(psi), inverse: powers(invMod(psi, q)) };
    this.#twiddles.set(index, tables);
    return tables;
  }

  /** Cooley-Tukey butterflies with the powers of psi merged in (Longa and Naehrig 2016, algorithm 1). */
  #forward(x: Uint32Array, index: number): void {
    const q = this.#primes[index]!;
    const { forward } = this.#tables(index);
    for (let blocks = 1, half = this.#n / 2; half >= 1; blocks *= 2, half /= 2) {
      for (let block = 0; block < blocks; block++) {
        const w = forward[blocks + block]!;
        for (let i = 2 * block * half; i < (2 * block + 1) * half; i++) {
          const t = mulMod(x[i + half]!, w, q);
          const u = x[i]!;
          x[i] = u + t >= q ? u + t - q : u + t;
          x[i + half] = u >= t ? u - t : u + q - t;
        }
      }
    }
  }

  /** Gentleman-Sande butterflies (Longa and Naehrig 2016, algorithm 2), then division by N. */
  #backward(x: Uint32Array, index: number): void {
    const q = this.#primes[index]!;
    const { inverse } = this.#tables(index);
    for (let blocks = this.#n / 2, half = 1; blocks >= 1; blocks /= 2, half *= 2) {
      for (let block = 0; block < blocks; block++) {
        const w = inverse[blocks + block]!;
        for (let i = 2 * block * half; i < (2 * block + 1) * half; i++) {
          const u = x[i]!;
          const v = x[i + half]!;
          x[i] = u + v >= q ? u + v - q : u + v;
          x[i + half] = mulMod(u >= v ? u - v : u + q - v, w, q);
        }
      }
    }
    scale(x, invMod(this.#n % q, q), q);
  }
}

function montgomeryInverse(q: number): number {
  return invMod(2 ** 32 % q, q);
}

const inverses = new Map<number, number>();

function montgomeryProduct(x: number, y: number, q: number): number {
  let inverse = inverses.get(q);
  if (inverse === undefined) {
    inverse = montgomeryInverse(q);
    inverses.set(q, inverse);
  }
  return mulMod(mulMod(x, y, q), inverse, q);
}

/** Product of the primes modulo p, leaving out `skip`. */
function productMod(primes: readonly number[], p: number, skip?: number): number {
  return primes.reduce((product, prime) => (prime === skip ? product : mulMod(product, prime % p, p)), 1);
}

function scale(x: Uint32Array, factor: number, q: number): Uint32Array {
  for (let i = 0; i < x.length; i++) x[i] = mulMod(x[i]!, factor, q);
  return x;
}

/**
 * round(sum_j digits[j]/q[j]) in fixed point with 27 fractional bits: each prime is normalised to 32 bits by a left shift, its
 * reciprocal is floor(2^59 / shifted prime), and each term is the upper half of (shifted digit) * reciprocal. A sum of k terms
 * is too small by less than k*2^-26, so the result is exact unless the true value is that near to a half.
 */
function centredQuotient(digits: readonly Uint32Array[], q: readonly number[]): Uint32Array {
  const quotient = new Uint32Array(digits[0]?.length ?? 0);
  const shift = q.map((prime) => Math.clz32(prime));
  const reciprocal = q.map((prime, j) => Number(2n ** 59n / (BigInt(prime) << BigInt(shift[j]!))));
  for (let i = 0; i < quotient.length; i++) {
    let sum = 2 ** 26;
    for (let j = 0; j < q.length; j++) sum += highWord((digits[j]![i]! << shift[j]!) >>> 0, reciprocal[j]!);
    quotient[i] = Math.floor(sum / 2 ** 27);
  }
  return quotient;
}

/** floor(a*b / 2^32) for a, b < 2^32. */
function highWord(a: number, b: number): number {
  const low = a * (b % 65536);
  const high = a * Math.floor(b / 65536);
  return Math.floor((high + Math.floor(low / 65536)) / 65536);
}

/** out[i] = sum_j digits[j][i]*weights[j] + quotient[i]*quotientWeight mod p; digits are residues of other primes. */
function combine(
  out: Uint32Array,
  digits: readonly Uint32Array[],
  weights: readonly number[],
  quotient: Uint32Array,
  quotientWeight: number,
  p: number,
): void {
  for (let i = 0; i < out.length; i++) {
    let sum = mulMod(quotient[i]! % p, quotientWeight, p);
    for (let j = 0; j < digits.length; j++) sum = (sum + mulMod(digits[j]![i]! % p, weights[j]!, p)) % p;
    out[i] = sum;
  }
}
