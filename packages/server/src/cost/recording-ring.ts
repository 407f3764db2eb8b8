import type { Basis, Ptr, Ring } from '@sotto/he/ring';

/** Kernel calls of one shape: what decides how long a call takes, memory aside. */
export interface KernelShape {
  readonly kernel: string;
  /** Meaning depends on the kernel, see {@link shapeOf}. */
  readonly shape: readonly number[];
}

export const nameOf = ({ kernel, shape }: KernelShape): string => `${kernel}/${shape.join(',')}`;

const flag = (value: boolean): number => (value ? 1 : 0);

/** How many indices of two bases are the same. */
const commonOf = (a: Basis, b: Basis): number =>
  a.indices.filter((index) => b.indices.includes(index)).length;

const common = new WeakMap<Basis, Map<Basis, number>>();
function shared(a: Basis, b: Basis): number {
  let of = common.get(a);
  if (of === undefined) {
    of = new Map();
    common.set(a, of);
  }
  let count = of.get(b);
  if (count === undefined) {
    count = commonOf(a, b);
    of.set(b, count);
  }
  return count;
}

/** What is no kernel. */
type Other = Extract<
  keyof Ring,
  | ('backend' | 'logN' | 'n' | 'primes' | 'basis' | 'memory' | 'dispose' | 'counts' | 'resetCounts')
  | ('alloc' | 'allocCold' | 'free' | 'read' | 'write')
>;
type Shapes = { readonly [name in Exclude<keyof Ring, Other>]: (...args: never[]) => readonly number[] };

const oneBasis = (...args: unknown[]): readonly number[] => [(args.at(-1) as Basis).size];
const withConstants = (_out: Ptr, _a: Ptr, _c: unknown, basis: Basis): readonly number[] => [basis.size];

const shapes: Shapes = {
  copy: oneBasis,
  zero: oneBasis,
  ntt: oneBasis,
  intt: oneBasis,
  add: oneBasis,
  sub: oneBasis,
  neg: oneBasis,
  toMontgomery: oneBasis,
  mul: oneBasis,
  mulAdd: oneBasis,
  liftDoubles: oneBasis,
  uniform: oneBasis,
  select: (_out: Ptr, outBasis: Basis) => [outBasis.size],
  mulConst: withConstants,
  mulConstAdd: withConstants,
  addConst: (_out: Ptr, _a: Ptr, _c: unknown, basis: Basis) => [basis.size],
  permute: (_out: Ptr, _a: Ptr, _galois: number, basis: Basis) => [basis.size],
  /** Rows of the source, rows copied, rows computed. */
  extend: (_out: Ptr, to: Basis, _x: Ptr, from: Basis) => {
    const copied = shared(to, from);
    return [from.size, copied, to.size - copied];
  },
  /** Rows divided out, rows that enter, rows that stay. */
  divideRound: (_out: Ptr, to: Basis, _x: Ptr, from: Basis) => {
    const kept = shared(to, from);
    return [from.size - kept, to.size - kept, kept];
  },
  /** The same, and polynomials. */
  divideRoundMany: (outs: readonly Ptr[], to: Basis, _xs: readonly Ptr[], from: Basis) => {
    const kept = shared(to, from);
    return [from.size - kept, to.size - kept, kept, outs.length];
  },
  /** Rows of the source, rows of an output, digits. */
  decompose: (outs: readonly Ptr[], to: Basis, _x: Ptr, from: Basis) => [from.size, to.size, outs.length],
  keySwitch: (_o0: Ptr, _o1: Ptr, outs: readonly Ptr[], to: Basis, _x: Ptr, from: Basis) => [
    from.size,
    to.size,
    outs.length,
  ],
  innerProduct: (
    _o0: Ptr,
    _o1: Ptr,
    digits: readonly Ptr[],
    basis: Basis,
    _key: Ptr,
    _keyBasis: Basis,
    _keyDigits: number,
    accumulate: boolean,
  ) => [digits.length, basis.size, flag(accumulate)],
  /** Values. */
  embed: (re: Float64Array) => [re.length],
  tensor: (...args: unknown[]) => [(args[7] as Basis).size, flag(args[8] as boolean)],
  /** Full terms, terms in runs, rows, accumulating, shortest run. */
  mulSum: (
    _out: Ptr,
    a: readonly Ptr[],
    _b: readonly Ptr[],
    basis: Basis,
    accumulate: boolean,
    runs?: readonly number[],
  ) => {
    const short = (runs ?? []).filter((run) => run > 1);
    const least = short.length === 0 ? 1 : Math.min(...short);
    return [a.length - short.length, short.length, basis.size, flag(accumulate), least];
  },
};

/** The shape of a call, or null when the call does no work that counts. */
export function shapeOf(kernel: string, args: readonly unknown[]): readonly number[] | null {
  const of = shapes[kernel as keyof Shapes] as
    | ((...args: readonly unknown[]) => readonly number[])
    | undefined;
  return of === undefined ? null : of(...args);
}

/** How often each shape was called. */
export type ShapeCounts = ReadonlyMap<string, KernelShape & { readonly calls: number }>;

/** A ring that keeps a list of what it is asked to do. */
export class KernelRecorder {
  #counts = new Map<string, KernelShape & { calls: number }>();
  readonly ring: Ring;

  /** @param onlyCounted kernels that are not called. */
  constructor(inner: Ring, onlyCounted: readonly string[] = []) {
    this.ring = new Proxy(inner, {
      get: (target, kernel) => {
        const value: unknown = Reflect.get(target, kernel, target);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]): unknown => {
          const shape = shapeOf(String(kernel), args);
          if (shape !== null) this.add(String(kernel), shape);
          if (onlyCounted.includes(String(kernel))) return undefined;
          return value.apply(target, args);
        };
      },
    });
  }

  add(kernel: string, shape: readonly number[]): void {
    const name = nameOf({ kernel, shape });
    const known = this.#counts.get(name);
    if (known === undefined) this.#counts.set(name, { kernel, shape, calls: 1 });
    else known.calls++;
  }

  /** What was called since the last time. */
  take(): ShapeCounts {
    const taken = this.#counts;
    this.#counts = new Map();
    return taken;
  }
}
