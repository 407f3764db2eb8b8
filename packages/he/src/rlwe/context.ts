import { SottoError } from '@sotto/base';
import type { Basis, Ptr, Ring } from '../ring/index.js';
import { Arena } from './arena.js';
import type { LevelSpec, Parameters } from './parameters.js';

/** Rows of one basis that have consecutive prime indices, so that they are also consecutive in a table over all primes. */
interface Run {
  readonly basis: Basis;
  /** First row in the polynomial. */
  readonly row: number;
  /** First row in the table, which is the first prime index. */
  readonly tableRow: number;
}

/** Largest magnitude that {@link Ring.liftDoubles} takes. */
const LIFT_LIMIT = 2 ** 62;

/** Memory that is given back at the end of a block: `using t = context.scratch(rows)`. */
export class Scratch {
  readonly at: Ptr;
  readonly #ring: Ring;

  constructor(ring: Ring, rows: number) {
    this.#ring = ring;
    this.at = ring.alloc(rows);
  }

  [Symbol.dispose](): void {
    this.#ring.free(this.at);
  }
}

/**
 * Parameters bound to a machine: a ring over all primes, interned bases of every level, constants, the monomial X^(N/2),
 * Galois elements, and the {@link Arena} that owns ciphertexts. One context serves one evaluator at a time.
 */
export class RingContext {
  readonly params: Parameters;
  readonly ring: Ring;
  readonly arena = new Arena();
  /** Bytes of one row. */
  readonly rowBytes: number;
  /** Every prime, in index order: the rows of a table. */
  readonly all: Basis;
  readonly #levels: readonly Basis[];
  readonly #runs = new Map<number, readonly Run[]>();
  #monomial: Ptr | undefined;

  /** @throws `HE_CONTEXT_MISMATCH` when the ring was made for another degree or other primes. */
  constructor(params: Parameters, ring: Ring) {
    if (
      ring.logN !== params.logN ||
      ring.primes.some((prime, i) => prime !== params.primes[i]) ||
      ring.primes.length !== params.primes.length
    ) {
      throw new SottoError('The ring does not belong to these parameters.', {
        code: 'HE_CONTEXT_MISMATCH',
        facts: { ringLogN: ring.logN, parametersLogN: params.logN, parameters: params.name },
        fix: 'Make the ring with the logN and the primes of the parameters.',
      });
    }
    this.params = params;
    this.ring = ring;
    this.rowBytes = 4 * ring.n;
    this.all = ring.basis(params.primes.map((_, i) => i));
    this.#levels = params.levels.map((level) => ring.basis(level.basis));
  }

  get n(): number {
    return this.ring.n;
  }

  get maxLevel(): number {
    return this.params.levels.length - 1;
  }

  /** @throws `HE_LEVEL_RANGE` outside 0..maxLevel. */
  level(level: number): LevelSpec {
    const spec = this.params.levels[level];
    if (spec === undefined) {
      throw new SottoError('No such level.', {
        code: 'HE_LEVEL_RANGE',
        facts: { level, maxLevel: this.maxLevel, parameters: this.params.name },
        fix: 'Use a level from 0 to maxLevel.',
      });
    }
    return spec;
  }

  /** Primes of a level. */
  levelBasis(level: number): Basis {
    return this.#levels[this.level(level).level];
  }

  basis(indices: readonly number[]): Basis {
    return this.ring.basis(indices);
  }

  /** Address of row `index` of a polynomial. */
  row(at: Ptr, index: number): Ptr {
    return at + index * this.rowBytes;
  }

  scratch(rows: number): Scratch {
    return new Scratch(this.ring, rows);
  }

  /** prod(a) / prod(b) to a relative 2^-48: common primes cancel, the others alternate so that nothing overflows. */
  modulusRatio(a: readonly number[], b: readonly number[]): number {
    const primes = this.params.primes;
    const over = a.filter((i) => !b.includes(i));
    const under = b.filter((i) => !a.includes(i));
    let ratio = 1;
    for (let i = 0; i < Math.max(over.length, under.length); i++) {
      if (i < over.length) ratio *= primes[over[i]];
      if (i < under.length) ratio /= primes[under[i]];
    }
    return ratio;
  }

  /** log2 of a product of primes. */
  logModulus(indices: readonly number[]): number {
    return indices.reduce((sum, i) => sum + Math.log2(this.params.primes[i]), 0);
  }

  /**
   * Fails unless integers of this magnitude have a place in (-Q/2, Q/2): beyond it they would come back as others.
   * @throws `HE_ENCODE_RANGE`
   */
  checkMagnitude(largest: number, basis: Basis): void {
    const logQ = this.logModulus(basis.indices);
    if (Math.log2(largest) < logQ - 1) return;
    throw new SottoError('A value is too large for the modulus of its level.', {
      code: 'HE_ENCODE_RANGE',
      facts: { limitLog2: Math.floor(logQ - 1) },
      fix: 'Normalise the values, or work at a higher level.',
    });
  }

  /**
   * Fails unless real coefficients can be lifted to this basis: below 2^62 and below half of its modulus.
   * @throws `HE_ENCODE_RANGE`, also for NaN.
   */
  checkCoefficients(coefficients: Float64Array, basis: Basis): void {
    let largest = 0;
    for (let i = 0; i < coefficients.length; i++) {
      const magnitude = Math.abs(coefficients[i]);
      if (!(magnitude <= largest)) largest = magnitude;
    }
    this.checkMagnitude(largest < LIFT_LIMIT ? largest : Number.POSITIVE_INFINITY, basis);
  }

  /** Residues of the integer nearest to `value`; exact for every finite double. */
  residues(value: number, basis: Basis): Uint32Array {
    const integer = Math.round(value);
    return Uint32Array.from(basis.indices, (i) => {
      const prime = this.params.primes[i];
      const rest = integer % prime;
      return rest < 0 ? rest + prime : rest;
    });
  }

  /** Residues of prod(indices). */
  productResidues(indices: readonly number[], basis: Basis): Uint32Array {
    return Uint32Array.from(basis.indices, (i) => {
      const prime = BigInt(this.params.primes[i]);
      return Number(indices.reduce((product, j) => (product * BigInt(this.params.primes[j])) % prime, 1n));
    });
  }

  /** Calls `body` for stretches of `basis` whose rows are consecutive in a table over {@link all}. */
  forRuns(basis: Basis, body: (run: Basis, row: number, tableRow: number) => void): void {
    let runs = this.#runs.get(basis.id);
    if (runs === undefined) {
      const found: Run[] = [];
      for (let from = 0; from < basis.size; ) {
        let to = from + 1;
        while (to < basis.size && basis.indices[to] === basis.indices[to - 1] + 1) to++;
        found.push({
          basis: this.ring.basis(basis.indices.slice(from, to)),
          row: from,
          tableRow: basis.indices[from],
        });
        from = to;
      }
      runs = found;
      this.#runs.set(basis.id, runs);
    }
    for (const run of runs) body(run.basis, run.row, run.tableRow);
  }

  /** out = a * table, where the table has a row in Montgomery form for every prime. */
  mulTable(out: Ptr, a: Ptr, table: Ptr, basis: Basis): void {
    this.forRuns(basis, (run, row, tableRow) => {
      this.ring.mul(this.row(out, row), this.row(a, row), this.row(table, tableRow), run);
    });
  }

  /** out = a * X^(N/2): multiplies every slot by i. */
  mulMonomial(out: Ptr, a: Ptr, basis: Basis): void {
    this.mulTable(out, a, this.#monomialTable(), basis);
  }

  /** out += c * X^(N/2) for one residue a row. */
  addMonomial(out: Ptr, c: Uint32Array, basis: Basis): void {
    const table = this.#monomialTable();
    const reduced = this.fromMontgomery(c, basis);
    this.forRuns(basis, (run, row, tableRow) => {
      this.ring.mulConstAdd(
        this.row(out, row),
        this.row(table, tableRow),
        reduced.slice(row, row + run.size),
        run,
      );
    });
  }

  /** c*2^-32: the constant for a factor that is in Montgomery form. */
  fromMontgomery(c: Uint32Array, basis: Basis): Uint32Array {
    return c.map((value, i) => {
      const prime = this.params.primes[basis.indices[i]];
      return Number((BigInt(value) * inverseOfWord(prime)) % BigInt(prime));
    });
  }

  #monomialTable(): Ptr {
    if (this.#monomial === undefined) {
      const rows = this.all.size;
      const at = this.ring.alloc(rows);
      const words = new Uint32Array(this.n);
      words[this.n / 2] = 1;
      for (let i = 0; i < rows; i++) this.ring.write(this.row(at, i), words);
      this.ring.ntt(at, this.all);
      this.ring.toMontgomery(at, at, this.all);
      this.#monomial = at;
    }
    return this.#monomial;
  }

  /** Galois element of the rotation by k slots: 5^k mod 2N; k may be negative. */
  galoisOfRotation(k: number): number {
    const slots = this.n / 2;
    let exponent = ((k % slots) + slots) % slots;
    let power = 5;
    let result = 1;
    const mask = 2 * this.n - 1;
    for (; exponent > 0; exponent >>= 1) {
      if (exponent & 1) result = (result * power) & mask;
      power = Math.imul(power, power) & mask;
    }
    return result;
  }

  /** Galois element of the complex conjugation: -1 mod 2N. */
  get galoisOfConjugation(): number {
    return 2 * this.n - 1;
  }

  /** The rotation a Galois element stands for, or null for those that conjugate too. */
  rotationOfGalois(galois: number): number | null {
    const mask = 2 * this.n - 1;
    for (let k = 0, power = 1; k < this.n / 2; k++, power = (5 * power) & mask) {
      if (power === galois) return k;
    }
    return null;
  }
}

const inverses = new Map<number, bigint>();

/** 2^-32 mod q. */
function inverseOfWord(prime: number): bigint {
  let inverse = inverses.get(prime);
  if (inverse === undefined) {
    const half = BigInt((prime + 1) / 2);
    inverse = 1n;
    for (let i = 0; i < 32; i++) inverse = (inverse * half) % BigInt(prime);
    inverses.set(prime, inverse);
  }
  return inverse;
}
