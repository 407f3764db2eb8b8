/**
 * The backend contract: everything the scheme asks of a machine.
 *
 * A polynomial of R_Q = Z_Q[X]/(X^N+1) is a run of rows, one row of N 32-bit words a prime, in the order of a
 * {@link Basis}. Rows live in memory that belongs to the backend; this side only holds addresses. Residues are
 * fully reduced, in [0, q), at every call boundary. Unless a kernel says otherwise polynomials are in NTT
 * (evaluation) form: bit-reversed order, so that row index i holds the value at psi^(2*bitReverse(i)+1).
 * All calls are synchronous and bit-identical over backends and thread counts.
 */

/** Byte address in the memory of the ring that made it. */
export type Ptr = number;

/** An interned list of prime indices of one ring; rows of a polynomial are in this order. */
export interface Basis {
  readonly id: number;
  readonly indices: readonly number[];
  readonly size: number;
}

/** Shortest run of {@link Ring.mulSum}. */
export const LEAST_RUN = 16;

export interface MemoryUse {
  liveBytes: number;
  peakBytes: number;
}

/** Counts of kernel work, one unit a row unless the name says otherwise. */
export interface WorkCounts {
  ntt: number;
  intt: number;
  /** Multiply-adds of base conversions, in units of one row. */
  baseConversion: number;
  /** Multiply-adds of key-switch inner products, in units of one row. */
  innerProduct: number;
  pointwise: number;
  permute: number;
}

export interface RingOptions {
  logN: number;
  /** Distinct primes below 2^30, each 1 mod 2N. */
  primes: readonly number[];
  /**
   * Folder for a file without a name that holds cold memory, so that the system can write keys out when memory is short and read
   * them when they are used. The native backend on Linux does this; the others keep cold memory where they do without it.
   */
  coldFolder?: string;
}

/** Makes rings. A backend that cannot run here throws `BACKEND_UNAVAILABLE` from {@link Backend.createRing}. */
export interface Backend {
  readonly name: 'reference' | 'wasm' | 'native' | 'null';
  /** e.g. `avx512`, `avx2`, `simd128`, `bigint`. */
  readonly isa: string;
  readonly threads: number;
  createRing(options: RingOptions): Ring;
}

/** Kernels over one ring degree and one list of primes. */
export interface Ring {
  readonly backend: Backend;
  readonly logN: number;
  readonly n: number;
  readonly primes: readonly number[];

  /** Interns a basis; the same indices give the same object. */
  basis(indices: readonly number[]): Basis;

  /** Memory for `rows` rows of N words, not cleared. */
  alloc(rows: number): Ptr;
  /**
   * Memory for data that are written once and then only read as a second factor (mul, mulAdd, mulSum) or as the key of
   * innerProduct; read, write, copy and free also take its addresses, any other kernel refuses them with `HE_RING_ADDRESS`.
   * WebAssembly keeps it outside of its 4 GiB, at the price of one copy a use; elsewhere it costs nothing.
   */
  allocCold(rows: number): Ptr;
  free(at: Ptr): void;
  /** Polynomials, cold ones too; tables and scratch of the backend are not counted. */
  memory(): MemoryUse;
  write(at: Ptr, words: Uint32Array): void;
  /** A copy of `count` words. */
  read(at: Ptr, count: number): Uint32Array;
  /** Frees everything this ring owns. */
  dispose(): void;

  copy(out: Ptr, x: Ptr, basis: Basis): void;
  zero(out: Ptr, basis: Basis): void;
  /** Copies the rows of `outBasis`, a subset of `basis`. `out` may not overlap `x` unless it is `x` and the order is kept. */
  select(out: Ptr, outBasis: Basis, x: Ptr, basis: Basis): void;

  /** Coefficient form to NTT form, in place. */
  ntt(x: Ptr, basis: Basis): void;
  /** NTT form to coefficient form, in place, normalised by 1/N. */
  intt(x: Ptr, basis: Basis): void;

  /** Outputs may alias inputs in every element-wise kernel. */
  add(out: Ptr, a: Ptr, b: Ptr, basis: Basis): void;
  sub(out: Ptr, a: Ptr, b: Ptr, basis: Basis): void;
  neg(out: Ptr, a: Ptr, basis: Basis): void;
  /** out = a*2^32: the Montgomery form wanted by the second operand of {@link mul}. */
  toMontgomery(out: Ptr, a: Ptr, basis: Basis): void;
  /** out = a*b with b in Montgomery form. */
  mul(out: Ptr, a: Ptr, bMontgomery: Ptr, basis: Basis): void;
  /** out += a*b with b in Montgomery form. */
  mulAdd(out: Ptr, a: Ptr, bMontgomery: Ptr, basis: Basis): void;
  /**
   * out = sum_i a[i]*b[i], b in Montgomery form; added to `out` when `accumulate`. At most 16 terms may contain `out`.
   *
   * A polynomial in X^r, r a power of two, has in NTT form rows that are runs of r equal words. With r = runs[i] >= {@link LEAST_RUN}
   * b[i] holds each run once: rows of N/r words without gaps, in ceil(basis.size/r) rows of memory. 1 stands for a full polynomial,
   * as do all when `runs` is absent.
   */
  mulSum(
    out: Ptr,
    a: readonly Ptr[],
    bMontgomery: readonly Ptr[],
    basis: Basis,
    accumulate: boolean,
    runs?: readonly number[],
  ): void;
  /** out = a*c, one constant (plain residue) a row. */
  mulConst(out: Ptr, a: Ptr, c: Uint32Array, basis: Basis): void;
  mulConstAdd(out: Ptr, a: Ptr, c: Uint32Array, basis: Basis): void;
  /** Adds the constant polynomial c (NTT form: every element of the row). */
  addConst(out: Ptr, a: Ptr, c: Uint32Array, basis: Basis): void;
  /** (d0,d1,d2) = (a0*b0, a0*b1 + a1*b0, a1*b1), all in plain form; added to d when `accumulate`. Outputs do not alias inputs. */
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
  ): void;
  /** Automorphism X -> X^galois (galois odd, 1..2N-1). `out` does not alias `a`. */
  permute(out: Ptr, a: Ptr, galois: number, basis: Basis): void;

  /**
   * Basis extension: the centred representative of x mod prod(from), reduced modulo every prime of `to`.
   * NTT form in and out; `from` has at most 16 primes; rows of `to` that are in `from` are copied.
   * The centred lift uses an approximate quotient: a value within 2^-20*Q of +-Q/2 may come out Q away. No overlap of `out` and `x`.
   */
  extend(out: Ptr, to: Basis, x: Ptr, from: Basis): void;
  /**
   * Rational division: round(x * prod(E) / prod(D)) with D = from \ to and E = to \ from, error at most 1 unit.
   * Rescaling (E may be empty) and the division by P that ends a key switch are both this. NTT form in and out; |D| <= 24.
   * No overlap of `out` and `x`.
   */
  divideRound(out: Ptr, to: Basis, x: Ptr, from: Basis): void;
  /** {@link divideRound} of several polynomials, at most 16, which share the constants of their transforms. No overlaps at all. */
  divideRoundMany(outs: readonly Ptr[], to: Basis, xs: readonly Ptr[], from: Basis): void;
  /**
   * Gadget decomposition: outs[d] = {@link extend} to `to` of the residues that x has modulo the primes of digits[d], a part of
   * `from`. At most 15 digits. Outputs overlap neither each other nor x.
   */
  decompose(outs: readonly Ptr[], to: Basis, x: Ptr, from: Basis, digits: readonly Basis[]): void;
  /**
   * Gadget inner product over `basis`: (o0,o1) = sum_d digits[d] * (key[d].b, key[d].a), added to (o0,o1) when `accumulate`.
   * Key memory: for every row of `keyBasis` (a superset of `basis`), for every digit d: the b row, then the a row, in
   * Montgomery form; `keyDigits` is how many digits the key holds, digits.length may be smaller. At most 15 digits.
   */
  innerProduct(
    o0: Ptr,
    o1: Ptr,
    digits: readonly Ptr[],
    basis: Basis,
    key: Ptr,
    keyBasis: Basis,
    keyDigits: number,
    accumulate: boolean,
  ): void;

  /**
   * {@link decompose}, then (o0,o1) = {@link innerProduct} over `to` of the digits with a key. A row of all digits is used as soon as
   * it is there, so `outs` hold nothing of use afterwards.
   */
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
  ): void;

  /**
   * The N coefficients, times `scale`, of the real polynomial with these values at the roots zeta^(5^j): see `SlotTransform`. Fewer than
   * N/2 values repeat. Not rounded; values that are not finite give a first or middle coefficient that is not finite either.
   * @param re a power of two of them, at most N/2. @param im as many; all zero when null.
   * @param turn value i is the one at i + turn, modulo their number; below it.
   */
  embed(re: Float64Array, im: Float64Array | null, scale: number, turn: number): Float64Array;
  /** Rounds each double to the nearest integer (|c| < 2^62) and reduces it; coefficient form out. */
  liftDoubles(out: Ptr, coefficients: Float64Array, basis: Basis): void;
  /**
   * Uniform residues from a 32-byte seed: row with prime index p reads the ChaCha20 (RFC 8439 block function) key stream of
   * key = seed, nonce = (domain, p, 0) as three little-endian words, counter from 0, as little-endian 32-bit words; each word is
   * masked to the bit length of the prime and kept if it is smaller than the prime.
   */
  uniform(out: Ptr, seed: Uint8Array, domain: number, basis: Basis): void;

  /** Work done since the last reset. */
  counts(): WorkCounts;
  resetCounts(): void;
}
