import { Encoder } from '@sotto/he/ckks';
import type { Backend, Basis, Ptr, Ring } from '@sotto/he/ring';
import { type Parameters, RingContext } from '@sotto/he/rlwe';
import { TOUCH } from './count-session.js';
import { type KernelShape, nameOf, type ShapeCounts } from './recording-ring.js';

/** Milliseconds of one call of a shape, and of processor time in all threads. */
export interface KernelTiming extends KernelShape {
  readonly ms: number;
  readonly cpuMs: number;
}

export interface Seconds {
  readonly seconds: number;
  /** Of all threads together. */
  readonly cpuSeconds: number;
}

/** Work of a call in units that grow as its time does, for scaling between shapes of one kernel. */
export function workOf({ kernel, shape }: KernelShape): number {
  const [a = 0, b = 0, c = 0, d = 1] = shape;
  switch (kernel) {
    case 'extend':
      return 16 * (a + c) + a * c + b;
    case 'divideRound':
    case 'divideRoundMany':
      return (16 * (a + b + c) + a * (b + c)) * d;
    case 'decompose':
      return 16 * b * c + a * b;
    case 'keySwitch':
      return 16 * b * c + a * b + (2 * c + 2) * b;
    case 'innerProduct':
      return (2 * a + 2) * b;
    case 'mulSum':
      return (a + b / 3 + 1) * c;
    case TOUCH:
      return a;
    case 'embed':
      return a * Math.log2(2 * a) + 500;
    default:
      return a + 0.2;
  }
}

/**
 * Memory that calls go through in turn, several times what caches hold: in a circuit most operands of a call come from memory, and
 * keys and weights always do.
 */
const POOL_BYTES = 192 * 2 ** 20;
const MOST_BUFFERS = 64;
const LEAST_BUFFERS = 5;
/** Of keys and encoded weights. */
const COLD_BYTES = 256 * 2 ** 20;
/** Rows whose first use is timed at a time: other programs disturb some of the times, and the median is taken. */
const TOUCHED_ROWS = 64;
/** Measurements of a shape. */
const SAMPLES = 3;
const LEAST_SAMPLE_MS = 2;

interface Bench {
  run(call: number): void;
}

/** Buffers and bases to call kernels of any of the wanted shapes with. */
class KernelBench {
  readonly #ring: Ring;
  readonly #encoder: Encoder;
  readonly #context: RingContext;
  readonly #polynomials: Ptr[];
  readonly #cold: Ptr;
  readonly #coldRows: number;
  readonly #rowBytes: number;
  readonly #keyBasis: Basis;
  readonly #keyDigits: number;
  readonly #constants: Uint32Array;
  readonly #coefficients: Float64Array;
  /** What the first use of a row's memory costs: the system hands out its pages then. */
  readonly touch: KernelTiming;

  constructor(ring: Ring, parameters: Parameters, shapes: readonly KernelShape[]) {
    this.#ring = ring;
    this.#context = new RingContext(parameters, ring);
    this.#encoder = new Encoder(ring);
    const rows = (kernel: string, of: (shape: readonly number[]) => number): number =>
      Math.max(0, ...shapes.filter((s) => s.kernel === kernel).map((s) => of(s.shape)));
    const most = Math.max(
      ...shapes
        .filter(({ kernel }) => kernel !== 'embed' && kernel !== TOUCH)
        .map(({ shape }) => shape.reduce((a, b) => a + b)),
    );
    const size = Math.min(most, ring.primes.length);
    const rowBytes = 4 * ring.n;
    const digits = Math.max(
      rows('keySwitch', ([, , count = 0]) => count),
      rows('decompose', ([, , count = 0]) => count),
    );
    const polynomials = rows('divideRoundMany', ([, , , count = 0]) => 2 * count);
    const buffers = Math.max(
      ...[LEAST_BUFFERS, digits + 3, polynomials],
      Math.min(MOST_BUFFERS, Math.floor(POOL_BYTES / (size * rowBytes))),
    );
    this.#polynomials = Array.from({ length: buffers }, () => ring.alloc(size));
    for (const at of this.#polynomials) ring.uniform(at, new Uint8Array(32), 1, this.#basis(size));
    const keyRows = Math.max(
      rows('innerProduct', ([, size = 0]) => size),
      rows('keySwitch', ([, size = 0]) => size),
    );
    this.#keyDigits = Math.max(
      rows('innerProduct', ([count = 0]) => count),
      digits,
    );
    this.#keyBasis = this.#basis(Math.max(1, keyRows));
    this.#rowBytes = rowBytes;
    this.#coldRows = Math.max(2 * keyRows * this.#keyDigits, size, Math.ceil(COLD_BYTES / rowBytes));
    this.#cold = ring.allocCold(this.#coldRows);
    // Pages that were never written are all the same one.
    const words = new Uint32Array(ring.n).fill(7);
    const write = (from: number): { ms: number; cpuMs: number } => {
      const count = Math.min(TOUCHED_ROWS, this.#coldRows - from);
      const cpu = process.cpuUsage();
      const startMs = performance.now();
      for (let row = from; row < from + count; row++) ring.write(this.#cold + row * rowBytes, words);
      const { user, system } = process.cpuUsage(cpu);
      return { ms: (performance.now() - startMs) / count, cpuMs: (user + system) / 1000 / count };
    };
    const parts = Array.from(
      { length: Math.ceil(this.#coldRows / TOUCHED_ROWS) },
      (_, i) => i * TOUCHED_ROWS,
    );
    const first = parts.map(write);
    const again = parts.map(write);
    const more = (of: 'ms' | 'cpuMs'): number =>
      Math.max(0, median(first.map((part) => part[of])) - median(again.map((part) => part[of])));
    this.touch = { kernel: TOUCH, shape: [1], ms: more('ms'), cpuMs: more('cpuMs') };
    this.#constants = new Uint32Array(ring.primes.length).fill(12345);
    this.#coefficients = Float64Array.from({ length: ring.n }, (_, i) => (i % 1000) * 2 ** 30);
  }

  #basis(size: number, from = 0): Basis {
    return this.#ring.basis(Array.from({ length: size }, (_, i) => from + i));
  }

  /** A place in cold memory with room for `rows`, `used` farther at every call. */
  #coldAt(call: number, rows: number, used: number): Ptr {
    const places = Math.floor((this.#coldRows - rows) / used) + 1;
    return this.#cold + (call % places) * used * this.#rowBytes;
  }

  dispose(): void {
    this.#ring.dispose();
  }

  /** A call of this shape; null when it cannot be made on the primes there are. */
  prepare({ kernel, shape }: KernelShape): Bench | null {
    const ring = this.#ring;
    const [a = 0, b = 0, c = 0, d = 0] = shape;
    const p = (call: number, which: number): Ptr =>
      this.#polynomials[(3 * call + which) % this.#polynomials.length]!;
    if (kernel === 'embed') {
      const values = { re: Float64Array.from({ length: a }, (_, i) => Math.sin(i)), im: null };
      const basis = this.#context.levelBasis(this.#context.maxLevel);
      return { run: () => this.#context.checkCoefficients(this.#encoder.embed(values, 2 ** 40), basis) };
    }
    const fits = (rows: number): boolean => rows <= ring.primes.length;
    switch (kernel) {
      case 'extend': {
        if (!fits(a + c)) return null;
        const from = this.#basis(a);
        // Copied rows are a part of the source.
        const to = this.#basis(b + c, a - b);
        return { run: (i) => ring.extend(p(i, 0), to, p(i, 1), from) };
      }
      case 'divideRound': {
        if (!fits(a + b + c)) return null;
        const from = this.#basis(a + c);
        const to = this.#basis(b + c, a);
        return { run: (i) => ring.divideRound(p(i, 0), to, p(i, 1), from) };
      }
      case 'divideRoundMany': {
        if (!fits(a + b + c)) return null;
        const from = this.#basis(a + c);
        const to = this.#basis(b + c, a);
        const many = (i: number, at: number) => Array.from({ length: d }, (_, k) => p(i, at + k));
        return { run: (i) => ring.divideRoundMany(many(i, 0), to, many(i, d), from) };
      }
      case 'decompose':
      case 'keySwitch': {
        if (!fits(b) || c === 0) return null;
        const from = this.#basis(a);
        const to = this.#basis(b);
        const cut = (k: number) => Math.floor((k * a) / c);
        const digits = Array.from({ length: c }, (_, k) => this.#basis(cut(k + 1) - cut(k), cut(k)));
        const outs = (i: number) => Array.from({ length: c }, (_, k) => p(i, 3 + k));
        if (kernel === 'decompose') return { run: (i) => ring.decompose(outs(i), to, p(i, 2), from, digits) };
        const keyRows = this.#keyBasis.size;
        const key = (i: number) =>
          this.#coldAt(i, 2 * keyRows * this.#keyDigits, 2 * keyRows * this.#keyDigits);
        const [keyBasis, keyDigits] = [this.#keyBasis, this.#keyDigits];
        return {
          run: (i) =>
            ring.keySwitch(p(i, 0), p(i, 1), outs(i), to, p(i, 2), from, digits, key(i), keyBasis, keyDigits),
        };
      }
      case 'innerProduct': {
        const basis = this.#basis(b);
        const keyRows = this.#keyBasis.size;
        return {
          run: (i) =>
            ring.innerProduct(
              p(i, 0),
              p(i, 1),
              Array.from({ length: a }, (_, d) => p(i, 2 + (d % 2))),
              basis,
              this.#coldAt(i, 2 * keyRows * this.#keyDigits, 2 * b * this.#keyDigits),
              this.#keyBasis,
              this.#keyDigits,
              c === 1,
            ),
        };
      }
      case 'mulSum': {
        const [full = 0, short = 0, rows = 0, accumulate = 0, run = 1] = shape;
        const basis = this.#basis(rows);
        const terms = full + short;
        const runs = Array.from({ length: terms }, (_, t) => (t < full ? 1 : run));
        return {
          run: (i) =>
            ring.mulSum(
              p(i, 0),
              Array.from({ length: terms }, (_, t) => p(i, 1 + (t % 2))),
              Array.from({ length: terms }, (_, t) => this.#coldAt(i * terms + t, rows, rows)),
              basis,
              accumulate === 1,
              short === 0 ? undefined : runs,
            ),
        };
      }
      case 'tensor': {
        const basis = this.#basis(a);
        // Two inputs are the same polynomials: four outputs and inputs fit no more buffers.
        return {
          run: (i) => {
            const [x, y, z, w] = [p(i, 0), p(i, 1), p(i, 2), p(i, 3)];
            ring.tensor(x, y, z, w, w, w, w, basis, b === 1);
          },
        };
      }
      case 'select':
      case 'copy':
        return { run: (i) => ring.copy(p(i, 0), p(i, 1), this.#basis(a)) };
      case 'permute':
        return { run: (i) => ring.permute(p(i, 0), p(i, 1), 5, this.#basis(a)) };
      case 'mulConst':
      case 'mulConstAdd':
      case 'addConst': {
        const constants = this.#constants.subarray(0, a);
        return { run: (i) => ring[kernel](p(i, 0), p(i, 1), constants, this.#basis(a)) };
      }
      case 'ntt':
      case 'intt':
      case 'zero':
        return { run: (i) => ring[kernel](p(i, 0), this.#basis(a)) };
      case 'neg':
      case 'toMontgomery':
        return { run: (i) => ring[kernel](p(i, 0), p(i, 1), this.#basis(a)) };
      case 'add':
      case 'sub':
      case 'mul':
      case 'mulAdd':
        return { run: (i) => ring[kernel](p(i, 0), p(i, 1), p(i, 2), this.#basis(a)) };
      case 'liftDoubles':
        return { run: (i) => ring.liftDoubles(p(i, 0), this.#coefficients, this.#basis(a)) };
      case 'uniform':
        return { run: (i) => ring.uniform(p(i, 0), new Uint8Array(32), i, this.#basis(a)) };
      default:
        return null;
    }
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

function timeOf(bench: Bench): { ms: number; cpuMs: number } {
  let call = 0;
  const startMs = performance.now();
  bench.run(call++);
  bench.run(call++);
  const each = (performance.now() - startMs) / 2;
  const calls = Math.max(2, Math.min(200, Math.ceil(LEAST_SAMPLE_MS / Math.max(each, 1e-3))));
  const samples = Array.from({ length: SAMPLES }, () => {
    const cpu = process.cpuUsage();
    const sampleMs = performance.now();
    for (let i = 0; i < calls; i++) bench.run(call++);
    const ms = (performance.now() - sampleMs) / calls;
    const { user, system } = process.cpuUsage(cpu);
    return { ms, cpuMs: (user + system) / 1000 / calls };
  });
  const ms = median(samples.map((sample) => sample.ms));
  const cpuMs = median(samples.map((sample) => sample.cpuMs));
  return { ms, cpuMs };
}

/**
 * Times the shapes that weigh most in `counts` on a backend, the heaviest first, as far as the budget goes, and one shape of every
 * kernel in any case.
 */
export function measureKernels(
  backend: Backend,
  parameters: Parameters,
  counts: ShapeCounts,
  budgetMs: number,
): KernelTiming[] {
  const wanted = [...counts.values()].sort((a, b) => weigh(b) - weigh(a));
  const ring = backend.createRing({ logN: parameters.logN, primes: parameters.primes });
  const bench = new KernelBench(ring, parameters, wanted);
  const timings: KernelTiming[] = [bench.touch];
  const kernels = new Set<string>();
  const startMs = performance.now();
  const total = wanted.reduce((sum, shape) => sum + weigh(shape), 0);
  let covered = 0;
  try {
    for (const { kernel, shape, calls } of wanted) {
      const spentMs = performance.now() - startMs;
      const late = spentMs > budgetMs * (covered < ENOUGH_SHARE * total ? MOST_BUDGETS : 1);
      if (late && kernels.has(kernel)) continue;
      const prepared = bench.prepare({ kernel, shape });
      if (prepared === null) continue;
      timings.push({ kernel, shape, ...timeOf(prepared) });
      kernels.add(kernel);
      covered += weigh({ kernel, shape, calls });
    }
  } finally {
    bench.dispose();
  }
  return timings;
}

/** Timings are enough when they cover this share of the work. */
export const ENOUGH_SHARE = 0.8;
/** On a busy machine measuring may take so many times its budget to get there. */
const MOST_BUDGETS = 5;

const weigh = (s: KernelShape & { calls: number }): number => s.calls * workOf(s) * roughCost(s.kernel);

/** Share of counted work whose shapes have timings. */
export function knownShare(counts: ShapeCounts, timings: readonly KernelTiming[]): number {
  const names = new Set(timings.map(nameOf));
  let [known, total] = [0, 0];
  for (const [name, shape] of counts) {
    total += weigh(shape);
    if (names.has(name)) known += weigh(shape);
  }
  return total === 0 ? 1 : known / total;
}

/** Only for the order of measuring: how much a unit of work of a kernel takes, a row copied being 1. */
function roughCost(kernel: string): number {
  if (kernel === 'ntt' || kernel === 'intt') return 6;
  if (kernel === 'tensor' || kernel === 'uniform' || kernel === 'liftDoubles') return 4;
  return kernel === 'embed' ? 0.001 : 0.4;
}

/** Time of counted work: measured shapes as they are, others by the nearest measured shape of their kernel. */
export function secondsOf(counts: ShapeCounts, timings: readonly KernelTiming[]): Seconds {
  const known = new Map(timings.map((timing) => [nameOf(timing), timing]));
  let [seconds, cpuSeconds] = [0, 0];
  for (const shape of counts.values()) {
    const work = workOf(shape);
    const distance = (timing: KernelTiming): number => Math.abs(Math.log(workOf(timing) / work));
    const nearest =
      known.get(nameOf(shape)) ??
      timings
        .filter(({ kernel }) => kernel === shape.kernel)
        .reduce<KernelTiming | undefined>(
          (best, timing) => (best === undefined || distance(timing) < distance(best) ? timing : best),
          undefined,
        );
    if (nearest === undefined) continue;
    const calls = (shape.calls * work) / workOf(nearest) / 1000;
    seconds += calls * nearest.ms;
    cpuSeconds += calls * nearest.cpuMs;
  }
  return { seconds, cpuSeconds };
}
