import { SottoError } from '@sotto/base';
import { type Backend, type Basis, LEAST_RUN, type Ptr, type Ring } from './backend.js';
import { ChaCha20 } from './chacha20.js';
import { invMod, mulMod } from './modular.js';
import { primesBelow, primesNear } from './primes.js';

/** A failed law names the kernel and the place. */
function demand(holds: boolean, law: string, facts: Record<string, number | string> = {}): void {
  if (!holds) throw new SottoError(`The backend breaks a law: ${law}.`, { code: 'BACKEND_WRONG', facts });
}

/** 30-bit primes, two of 23 bits, one of 26: what parameter sets mix. */
export function conformancePrimes(logN: number, count: number): number[] {
  const small = primesBelow(2 ** 23, logN, 2);
  const middle = primesNear(2 ** 26, logN, 1);
  return [...primesBelow(2 ** 30, logN, count - 3), ...small, ...middle];
}

/** A ring with the bases and data that the checks share. */
export class Workbench {
  readonly ring: Ring;
  readonly full: Basis;
  readonly #random = new ChaCha20(new Uint8Array(32).fill(7), [1, 2, 3]);

  constructor(backend: Backend, logN: number, primeCount: number) {
    this.ring = backend.createRing({ logN, primes: conformancePrimes(logN, primeCount) });
    this.full = this.range(0, primeCount);
  }

  range(from: number, to: number): Basis {
    return this.ring.basis(Array.from({ length: to - from }, (_, i) => from + i));
  }

  prime(basis: Basis, row: number): number {
    return this.ring.primes[basis.indices[row]!]!;
  }

  /** Residues drawn from a stream that is the same for every backend; every eighth is 0 or q-1. */
  residues(basis: Basis): Uint32Array {
    const { n } = this.ring;
    const words = this.#random.fill(new Uint32Array(basis.size * n));
    for (let i = 0; i < words.length; i++) {
      const q = this.prime(basis, Math.floor(i / n));
      const word = words[i]!;
      words[i] = word % 8 === 0 ? (word & 8 ? 0 : q - 1) : word % q;
    }
    return words;
  }

  /** Signed integers below 2^bits in magnitude. */
  integers(bits: number): Float64Array {
    return Float64Array.from({ length: this.ring.n }, () => {
      const sign = this.#random.next() & 1 ? 1 : -1;
      return sign * (this.#random.next() * 2 ** 20 + (this.#random.next() >>> 12)) * 2 ** (bits - 52);
    });
  }

  place(words: Uint32Array): Ptr {
    const at = this.ring.alloc(words.length / this.ring.n);
    this.ring.write(at, words);
    return at;
  }

  placeCold(words: Uint32Array): Ptr {
    const at = this.ring.allocCold(Math.ceil(words.length / this.ring.n));
    this.ring.write(at, words);
    return at;
  }

  polynomial(basis: Basis): Ptr {
    return this.place(this.residues(basis));
  }

  rows(at: Ptr, basis: Basis): Uint32Array {
    return this.ring.read(at, basis.size * this.ring.n);
  }

  /** Coefficient form. */
  coefficients(at: Ptr, basis: Basis): Uint32Array {
    const copy = this.ring.alloc(basis.size);
    this.ring.copy(copy, at, basis);
    this.ring.intt(copy, basis);
    const rows = this.rows(copy, basis);
    this.ring.free(copy);
    return rows;
  }
}

/** Centred integers of a polynomial in coefficient form, by the Chinese remainder theorem on big integers. */
export function centredIntegers(rows: Uint32Array, primes: readonly number[], n: number): bigint[] {
  const modulus = primes.reduce((product, q) => product * BigInt(q), 1n);
  const weights = primes.map((q) => {
    const others = modulus / BigInt(q);
    return others * BigInt(invMod(Number(others % BigInt(q)), q));
  });
  return Array.from({ length: n }, (_, i) => {
    let sum = 0n;
    for (let row = 0; row < primes.length; row++) sum += BigInt(rows[row * n + i]!) * weights[row]!;
    const value = sum % modulus;
    return 2n * value > modulus ? value - modulus : value;
  });
}

/** One script through every kernel. Two backends agree when they return the same words. */
export function runEveryKernel(bench: Workbench): Map<string, Uint32Array> {
  const { ring, full } = bench;
  const results = new Map<string, Uint32Array>();
  const record = (name: string, at: Ptr, basis: Basis) => results.set(name, bench.rows(at, basis));
  const out = ring.alloc(full.size);
  const [a, b, c, d] = [0, 1, 2, 3].map(() => bench.polynomial(full)) as [Ptr, Ptr, Ptr, Ptr];
  const constants = Uint32Array.from(full.indices, (i) => ring.primes[i]! - 1 - (i % 3));

  ring.copy(out, a, full);
  record('copy', out, full);
  ring.ntt(out, full);
  record('ntt', out, full);
  ring.intt(out, full);
  record('intt of ntt', out, full);
  ring.copy(out, a, full);
  ring.intt(out, full);
  record('intt', out, full);
  ring.add(out, a, b, full);
  record('add', out, full);
  ring.sub(out, a, b, full);
  record('sub', out, full);
  ring.neg(out, a, full);
  record('neg', out, full);
  ring.toMontgomery(out, a, full);
  record('toMontgomery', out, full);
  ring.mul(out, a, b, full);
  record('mul', out, full);
  ring.mulAdd(out, a, c, full);
  record('mulAdd', out, full);
  ring.mul(out, out, out, full);
  record('mul in place', out, full);
  ring.mulConst(out, a, constants, full);
  record('mulConst', out, full);
  ring.mulConstAdd(out, b, constants, full);
  record('mulConstAdd', out, full);
  ring.addConst(out, a, constants, full);
  record('addConst', out, full);
  for (const terms of [1, 2, 16, 17, 40]) {
    const left = Array.from({ length: terms }, (_, i) => [a, b, c][i % 3]!);
    const right = Array.from({ length: terms }, (_, i) => [d, c][i % 2]!);
    ring.mulSum(out, left, right, full, false);
    record(`mulSum ${terms}`, out, full);
    left[terms - 1] = out;
    ring.mulSum(out, left, right, full, true);
    record(`mulSum ${terms}, accumulating, the output among the inputs`, out, full);
  }
  recordSecondFactors(bench, record, out, [a, b, c]);
  const [d1, d2] = [ring.alloc(full.size), ring.alloc(full.size)];
  for (const accumulate of [false, true]) {
    ring.tensor(out, d1, d2, a, b, c, d, full, accumulate);
    [out, d1, d2].forEach((at, i) => {
      record(`tensor ${i} ${accumulate}`, at, full);
    });
  }
  for (const galois of [1, 3, 5, 2 * ring.n - 1, 2 * ring.n - 5, (5 ** 7 % (2 * ring.n)) | 1]) {
    ring.permute(out, a, galois, full);
    record(`permute ${galois}`, out, full);
  }
  ring.uniform(
    out,
    new Uint8Array(32).map((_, i) => 11 * i),
    4_000_000_000,
    full,
  );
  record('uniform', out, full);
  const doubles = bench.integers(62).map((x, i) => {
    if (i === 0) return 2 ** 62 - 1024;
    if (i === 1) return -(2 ** 62) + 1024;
    return i % 4 === 0 ? i + 0.5 : i % 4 === 1 ? -i - 0.5 : x * 2 ** -(i % 61);
  });
  ring.liftDoubles(out, doubles, full);
  record('liftDoubles', out, full);
  for (let count = ring.n / 2; count >= 1; count /= 2) {
    const part = (from: number) => doubles.slice(from, from + count).map((x, i) => x * 2 ** -60 + (i % 7));
    const both = ring.embed(part(0), part(ring.n / 2), 2 ** 40, 0);
    results.set(`embed ${count}`, new Uint32Array(both.buffer));
    results.set(
      `embed ${count} real`,
      new Uint32Array(ring.embed(part(0), null, 3, (3 * count) >> 2).buffer),
    );
  }
  ring.zero(out, full);
  record('zero', out, full);

  const size = full.size;
  const last = size - 1;
  const reversed = ring.basis([...full.indices].reverse());
  const bases: [string, Basis, Basis][] = [
    ['one prime to all', full, bench.range(1, 2)],
    ['small primes to all', full, bench.range(size - 3, size)],
    ['half to all, reversed', reversed, bench.range(0, Math.min(16, size >> 1))],
    ['to a subset', bench.range(1, 3), bench.range(0, Math.min(16, size - 2))],
    ['most to all', full, bench.range(0, Math.min(16, last))],
  ];
  for (const [name, to, from] of bases) {
    const x = bench.polynomial(from);
    ring.extend(out, to, x, from);
    ring.free(x);
    record(`extend, ${name}`, out, to);
  }
  const divisions: [string, Basis, Basis][] = [
    ['last prime leaves', bench.range(0, last), full],
    ['most leave', bench.range(0, Math.max(1, size - 24)), full],
    [
      'one leaves and one enters',
      ring.basis([last, ...bench.range(0, last - 1).indices]),
      bench.range(0, last),
    ],
    ['two small leave, one enters, reordered', ring.basis([0, 2, 1]), ring.basis([last, 1, last - 1, 0])],
    ['all leave', ring.basis([0]), bench.range(1, Math.min(size, 20))],
    ['one enters, none leaves', full, bench.range(1, size)],
  ];
  for (const [name, to, from] of divisions) {
    const x = bench.polynomial(from);
    ring.divideRound(out, to, x, from);
    ring.free(x);
    record(`divideRound, ${name}`, out, to);
  }
  const [pair0, pair1] = [bench.polynomial(full), bench.polynomial(full)];
  const below = bench.range(0, last);
  ring.divideRoundMany([out, d1], below, [pair0, pair1], full);
  record('divideRoundMany, first', out, below);
  record('divideRoundMany, second', d1, below);
  const inner = ring.basis([last, 0, 2]);
  const keyDigits = 15;
  const key = ring.alloc(full.size * keyDigits * 2);
  const keyRows = Array.from({ length: full.size }, (_, row) =>
    Array.from({ length: 2 * keyDigits }, () => bench.residues(ring.basis([full.indices[row]!]))),
  ).flat();
  keyRows.forEach((row, i) => {
    ring.write(key + 4 * ring.n * i, row);
  });
  const digits = Array.from({ length: keyDigits }, () => bench.polynomial(inner));
  for (const [count, basis] of [
    [1, inner],
    [4, ring.basis([last, 0])],
    [15, inner],
  ] as const) {
    for (const accumulate of [false, true]) {
      ring.innerProduct(out, d1, digits.slice(0, count), basis, key, full, keyDigits, accumulate);
      record(`innerProduct ${count} ${accumulate} b`, out, basis);
      record(`innerProduct ${count} ${accumulate} a`, d1, basis);
    }
  }
  const whole = ring.basis([...below.indices].reverse());
  const parts = [ring.basis([1, 0]), ring.basis([last - 1])];
  const outs = parts.map(() => ring.alloc(full.size));
  const gadget = bench.polynomial(whole);
  ring.decompose(outs, full, gadget, whole, parts);
  outs.forEach((at, i) => {
    record(`decompose, digit ${i}`, at, full);
  });
  ring.keySwitch(out, d1, outs, full, gadget, whole, parts, key, full, keyDigits);
  record('keySwitch b', out, full);
  record('keySwitch a', d1, full);
  const coldKey = bench.placeCold(ring.read(key, full.size * keyDigits * 2 * ring.n));
  ring.keySwitch(out, d1, outs, full, gadget, whole, parts, coldKey, full, keyDigits);
  record('keySwitch, cold key, b', out, full);
  record('keySwitch, cold key, a', d1, full);
  for (const at of [pair0, pair1, gadget, ...outs]) ring.free(at);
  for (const [count, basis] of [
    [1, ring.basis([last, 0])],
    [4, inner],
    [15, inner],
  ] as const) {
    ring.innerProduct(out, d1, digits.slice(0, count), basis, coldKey, full, keyDigits, count === 4);
    record(`innerProduct ${count}, cold key, b`, out, basis);
    record(`innerProduct ${count}, cold key, a`, d1, basis);
  }
  ring.free(coldKey);
  ring.select(out, ring.basis([last, 1]), a, full);
  record('select', out, ring.basis([last, 1]));
  ring.select(a, ring.basis([1, last]), a, full);
  record('select in place', a, ring.basis([1, last]));
  for (const at of [a, b, c, d, d1, d2, key, out, ...digits]) ring.free(at);
  return results;
}

/** Second factors in cold memory and in runs, alone and mixed. Every run once must give what the full polynomial gives. */
function recordSecondFactors(
  bench: Workbench,
  record: (name: string, at: Ptr, basis: Basis) => void,
  out: Ptr,
  inputs: readonly Ptr[],
): void {
  const { ring, full } = bench;
  const { n } = ring;
  const cold = bench.placeCold(bench.residues(full));
  const work = bench.polynomial(full);
  ring.mul(out, inputs[0]!, cold, full);
  record('mul, cold factor', out, full);
  ring.mulAdd(out, inputs[1]!, cold, full);
  record('mulAdd, cold factor', out, full);
  ring.copy(work, cold, full);
  record('copy out of cold memory', work, full);
  ring.copy(cold, inputs[2]!, full);
  record('copy into cold memory', cold, full);

  // Polynomials in X^run: in NTT form runs of equal words. The last ones have runs longer than a row's part for one thread.
  const lengths = [1, LEAST_RUN, 2 * LEAST_RUN, n / 4, n].filter(
    (run) => run === 1 || (run >= LEAST_RUN && run <= n),
  );
  const factors = lengths.map((run, i) => {
    const words = bench.residues(full);
    for (let at = 0; at < words.length; at++) words[at] = words[at - (at % run)]!;
    const once = words.filter((_, at) => at % run === 0);
    const padded = new Uint32Array(Math.ceil(once.length / n) * n);
    padded.set(once);
    return {
      run,
      whole: bench.place(words),
      at: i % 2 === 0 ? bench.placeCold(padded) : bench.place(padded),
    };
  });
  for (const terms of [1, 2, 3, 16, 17, 40]) {
    for (const accumulate of [false, true]) {
      const left = Array.from({ length: terms }, (_, i) => inputs[i % inputs.length]!);
      if (accumulate) left[terms - 1] = out;
      const right = left.map((_, i) => factors[(i + terms) % factors.length]!);
      ring.copy(work, out, full);
      ring.mulSum(
        out,
        left,
        right.map(({ at }) => at),
        full,
        accumulate,
        right.map(({ run }) => run),
      );
      record(`mulSum ${terms} of runs ${accumulate}`, out, full);
      const whole = right.map((factor) => factor.whole);
      ring.mulSum(
        work,
        left.map((at) => (at === out ? work : at)),
        whole,
        full,
        accumulate,
      );
      const [got, want] = [bench.rows(out, full), bench.rows(work, full)];
      demand(
        got.every((word, i) => word === want[i]),
        'runs stand for full polynomials',
        { terms },
      );
    }
  }
  for (const at of [cold, work, ...factors.flatMap((factor) => [factor.at, factor.whole])]) ring.free(at);
}

/** Product in Z_q[X]/(X^N+1) by the schoolbook rule. */
function negacyclicProduct(x: Uint32Array, y: Uint32Array, q: number): Uint32Array {
  const n = x.length;
  const product = new Uint32Array(n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      const term = mulMod(x[i]!, y[j]!, q);
      const k = (i + j) % n;
      product[k] = (product[k]! + (i + j < n ? term : q - term)) % q;
    }
  }
  return product;
}

/** The transform turns products of rows into products of polynomials. */
export function checkTransform(bench: Workbench): void {
  const { ring, full } = bench;
  const [x, y] = [bench.residues(full), bench.residues(full)];
  const [a, b] = [bench.place(x), bench.place(y)];
  ring.ntt(a, full);
  ring.ntt(b, full);
  ring.toMontgomery(b, b, full);
  ring.mul(a, a, b, full);
  ring.intt(a, full);
  const got = bench.rows(a, full);
  for (const row of [0, full.size - 1]) {
    const slice = (words: Uint32Array) => words.subarray(row * ring.n, (row + 1) * ring.n);
    const want = negacyclicProduct(slice(x), slice(y), bench.prime(full, row));
    demand(
      slice(got).every((word, i) => word === want[i]),
      'ntt, mul, intt give the product in X^N+1',
      { row },
    );
  }
  ring.free(a);
  ring.free(b);
}

/** permute is X -> X^g on coefficients. */
export function checkPermute(bench: Workbench): void {
  const { ring, full } = bench;
  const { n } = ring;
  const x = bench.residues(full);
  const a = bench.place(x);
  const out = ring.alloc(full.size);
  ring.ntt(a, full);
  for (const galois of [1, 5, 25, 2 * n - 1, 2 * n - 5]) {
    ring.permute(out, a, galois, full);
    const got = bench.coefficients(out, full);
    for (let row = 0; row < full.size; row++) {
      const q = bench.prime(full, row);
      for (let i = 0; i < n; i++) {
        const exponent = (galois * i) % (2 * n);
        const word = x[row * n + i]!;
        const want = exponent < n ? word : (q - word) % q;
        demand(got[row * n + (exponent % n)] === want, 'permute maps X to X^g', { galois, row, i });
      }
    }
  }
  ring.free(a);
  ring.free(out);
}

/** extend keeps the centred integer; divideRound is within one unit of the exact quotient. */
export function checkConversions(bench: Workbench): void {
  const { ring, full } = bench;
  const { n } = ring;
  const out = ring.alloc(full.size);
  const integers = (at: Ptr, basis: Basis) => {
    const primes = basis.indices.map((i) => ring.primes[i]!);
    return centredIntegers(bench.coefficients(at, basis), primes, n);
  };
  for (const from of [
    bench.range(0, Math.min(16, full.size - 1)),
    bench.range(full.size - 3, full.size - 1),
  ]) {
    const x = bench.polynomial(from);
    const want = integers(x, from);
    ring.extend(out, full, x, from);
    const got = integers(out, full);
    demand(
      got.every((value, i) => value === want[i]),
      'extend keeps the centred integer',
      { sources: from.size },
    );
    ring.free(x);
  }
  const last = full.size - 1;
  for (const [to, from] of [
    [bench.range(0, last), full],
    [bench.range(0, 2), full.size <= 26 ? full : bench.range(0, 26)],
    [ring.basis([last, 0, 1]), bench.range(0, Math.min(last, 20))],
    [ring.basis([0, 1, last]), ring.basis([0, 2, 1, last - 1])],
  ] as const) {
    const x = bench.polynomial(from);
    const product = (primes: readonly number[]) =>
      primes.reduce((value, index) => value * BigInt(ring.primes[index]!), 1n);
    const divisor = product(from.indices.filter((i) => !to.indices.includes(i)));
    const factor = product(to.indices.filter((i) => !from.indices.includes(i)));
    const target = product(to.indices);
    const exact = integers(x, from);
    ring.divideRound(out, to, x, from);
    integers(out, to).forEach((value, i) => {
      // Compared as multiples of 1/D, modulo the target modulus.
      let distance = (value * divisor - exact[i]! * factor) % (target * divisor);
      if (2n * distance > target * divisor) distance -= target * divisor;
      if (2n * distance < -target * divisor) distance += target * divisor;
      demand(distance <= divisor && -distance <= divisor, 'divideRound is within one unit', { i });
    });
    ring.free(x);
  }
  ring.free(out);
}

/** Memory is reused, counted, and gone after dispose; misuse is refused. */
export function checkMemory(backend: Backend): void {
  const ring = backend.createRing({ logN: 10, primes: conformancePrimes(10, 4) });
  const rowBytes = 4 * ring.n;
  demand(ring.memory().liveBytes === 0, 'a new ring holds no polynomials');
  const runs = [1, 5, 2, 5].map((rows) => ring.alloc(rows));
  demand(ring.memory().liveBytes === 13 * rowBytes, 'live bytes are counted');
  ring.free(runs[1]!);
  demand(ring.alloc(5) === runs[1], 'a freed run is reused');
  ring.free(runs[1]!);
  ring.free(runs[2]!);
  demand(ring.alloc(7) === runs[1], 'freed neighbours merge');
  demand(ring.memory().peakBytes === 13 * rowBytes, 'the peak is counted');
  ring.write(runs[0]!, new Uint32Array(ring.n).fill(5));
  demand(ring.read(runs[0]! + 4, 1)[0] === 5, 'words are read where they were written');
  const cold = ring.allocCold(3);
  demand(ring.memory().liveBytes === 16 * rowBytes, 'cold memory is counted');
  ring.write(cold + rowBytes, new Uint32Array(ring.n).fill(6));
  demand(ring.read(cold + rowBytes + 4, 1)[0] === 6, 'words are read from cold memory');
  demand(codeOf(() => ring.free(cold + rowBytes)) === 'HE_RING_ADDRESS', 'parts cannot be freed');
  ring.free(cold);
  demand(codeOf(() => ring.free(cold)) === 'HE_RING_ADDRESS', 'cold memory is freed once');
  demand(codeOf(() => ring.read(cold, 1)) === 'HE_RING_ADDRESS', 'freed cold memory is gone');
  const before = ring.memory().liveBytes;
  for (let i = 0; i < 100; i++) ring.free(ring.alloc(3));
  demand(ring.memory().liveBytes === before, 'a steady state holds still');
  demand(
    codeOf(() => ring.free(runs[0]! + rowBytes * 100)) === 'HE_RING_ADDRESS',
    'foreign addresses are refused',
  );
  demand(codeOf(() => ring.allocCold(2 ** 40)) === 'HE_OUT_OF_MEMORY', 'too much cold memory too');
  demand(codeOf(() => ring.alloc(2 ** 40)) === 'HE_OUT_OF_MEMORY', 'too much memory is a typed error');
  ring.dispose();
  ring.dispose();
  demand(codeOf(() => ring.alloc(1)) === 'HE_RING_DISPOSED', 'a disposed ring refuses work');
}

/** Bad arguments are typed errors. */
export function checkErrors(backend: Backend): void {
  const [p, r] = primesBelow(2 ** 30, 10, 2) as [number, number];
  const refuse = (logN: number, primes: number[]) => codeOf(() => backend.createRing({ logN, primes }));
  demand(refuse(3, [97]) === 'HE_RING_DEGREE', 'tiny degrees are refused');
  demand(refuse(18, [p]) === 'HE_RING_DEGREE', 'huge degrees are refused');
  for (const primes of [[], [p, p], [p + 2048], [65537 * 3], [2 ** 31 - 1], [p, 12288]]) {
    demand(refuse(10, primes) === 'HE_RING_PRIME', 'bad primes are refused', { primes: primes.join() });
  }
  const ring = backend.createRing({ logN: 10, primes: [p, r] });
  const other = backend.createRing({ logN: 10, primes: [p, r] });
  const [one, both] = [ring.basis([0]), ring.basis([0, 1])];
  demand(ring.basis([0, 1]) === both, 'bases are interned');
  const [x, y, cold] = [ring.alloc(1), ring.alloc(2), ring.allocCold(1)];
  const refused: [string, string, () => void][] = [
    ['HE_RING_BASIS', 'an empty basis', () => ring.basis([])],
    ['HE_RING_BASIS', 'a repeated prime', () => ring.basis([0, 0])],
    ['HE_RING_BASIS', 'an unknown prime', () => ring.basis([2])],
    ['HE_RING_BASIS', 'a basis of another ring', () => ring.ntt(x, other.basis([0]))],
    ['HE_RING_BASIS', 'rows that are not there', () => ring.select(y, both, x, one)],
    ['HE_RING_ADDRESS', 'too short a polynomial', () => ring.ntt(x, both)],
    ['HE_RING_ADDRESS', 'an address between rows', () => ring.ntt(y + 4, one)],
    ['HE_RING_ADDRESS', 'address zero', () => ring.ntt(0, one)],
    ['HE_RING_ADDRESS', 'writing past the end', () => ring.write(x, new Uint32Array(ring.n + 1))],
    ['HE_RING_ARGUMENT', 'an even Galois element', () => ring.permute(x, y, 4, one)],
    ['HE_RING_ARGUMENT', 'an automorphism in place', () => ring.permute(x, x, 5, one)],
    ['HE_RING_ARGUMENT', 'an unreduced constant', () => ring.mulConst(x, x, Uint32Array.of(p), one)],
    ['HE_RING_ARGUMENT', 'too few constants', () => ring.mulConst(y, y, Uint32Array.of(1), both)],
    ['HE_RING_ARGUMENT', 'NaN', () => ring.liftDoubles(x, new Float64Array(ring.n).fill(Number.NaN), one)],
    ['HE_RING_ARGUMENT', 'a short seed', () => ring.uniform(x, new Uint8Array(16), 0, one)],
    ['HE_RING_ARGUMENT', 'an empty sum', () => ring.mulSum(x, [], [], one, false)],
    ['HE_RING_ADDRESS', 'cold memory to be transformed', () => ring.ntt(cold, one)],
    ['HE_RING_ADDRESS', 'a cold sum', () => ring.add(cold, x, x, one)],
    ['HE_RING_ADDRESS', 'a cold first factor', () => ring.mul(x, cold, x, one)],
    ['HE_RING_ADDRESS', 'too short a cold factor', () => ring.mul(y, y, cold, both)],
    ['HE_RING_ADDRESS', 'a cold factor between rows', () => ring.mul(x, x, cold + 4, one)],
    ['HE_RING_ADDRESS', 'writing past the end of cold', () => ring.write(cold, new Uint32Array(2 * ring.n))],
    [
      'HE_RING_ADDRESS',
      'too short a key',
      () => ring.innerProduct(y, y + 4 * ring.n, [x], one, cold, one, 1, false),
    ],
    [
      'HE_RING_ARGUMENT',
      'a long sum of its output',
      () => ring.mulSum(x, Array(17).fill(x), Array(17).fill(y), one, false),
    ],
    ['HE_RING_ARGUMENT', 'short runs', () => ring.mulSum(x, [x], [y], one, false, [LEAST_RUN / 2])],
    ['HE_RING_ARGUMENT', 'odd runs', () => ring.mulSum(x, [x], [y], one, false, [48])],
    ['HE_RING_ARGUMENT', 'runs longer than rows', () => ring.mulSum(x, [x], [y], one, false, [2 * ring.n])],
    ['HE_RING_ARGUMENT', 'runs for some', () => ring.mulSum(x, [x, x], [y, y], one, false, [1])],
    ['HE_RING_ARGUMENT', 'a sum over its own runs', () => ring.mulSum(x, [y], [x], one, false, [16])],
    ['HE_RING_ARGUMENT', 'an extension in place', () => ring.extend(y, both, y, one)],
  ];
  for (const [code, what, run] of refused) demand(codeOf(run) === code, `refused with ${code}: ${what}`);
  ring.dispose();
  other.dispose();
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (SottoError.is(error)) return error.code;
    throw error;
  }
  return 'no error';
}
