import { SottoError } from '@sotto/base';
import type { DiagonalMatrix, Evaluator, SlotVector } from './evaluator.js';

/** One scheme under test. */
export interface ConformanceHarness<C> {
  readonly evaluator: Evaluator<C>;
  /** Encrypts at `level`. */
  encrypt(values: SlotVector, level: number): C;
  /** All slots. */
  decrypt(a: C): { re: Float64Array; im: Float64Array };
  /** Largest absolute error of a slot component after one operation on values of magnitude up to 2. */
  readonly tolerance: number;
  /** Level of the inputs; at least three levels made for ciphertext products lie below it. */
  readonly level: number;
  /** A rotation without a key, or null when the scheme has no keys. */
  readonly missingRotation: number | null;
}

export interface ConformanceCase {
  readonly name: string;
  /** @throws Error naming what differs from the contract. */
  run<C>(harness: ConformanceHarness<C>): void;
}

/** Rotations that the cases use; the conjugation and the relinearisation key are needed besides. */
export const conformanceRotations: readonly number[] = [1, 2, 3, 4, 8, -1];

interface Complex {
  readonly re: Float64Array;
  readonly im: Float64Array;
}

/** The suite: run every case against a harness, in any test framework. */
export function conformanceCases(): readonly ConformanceCase[] {
  return [...arithmetic, ...products, ...rotations, ...plaintexts, ...ownership, ...mistakes];
}

const arithmetic: ConformanceCase[] = [
  {
    name: 'decrypts what was encrypted',
    run: (h) => {
      const a = vector(h, 1);
      expectSlots(h, h.encrypt(a, h.level), a, h.level);
    },
  },
  {
    name: 'adds, subtracts and negates',
    run: (h) => {
      const { evaluator: ev, level } = h;
      const [a, b] = [vector(h, 1), vector(h, 2)];
      const [x, y] = [h.encrypt(a, level), h.encrypt(b, level)];
      expectSlots(
        h,
        ev.addNew(x, y),
        map(a, b, (p, q) => [p[0] + q[0], p[1] + q[1]]),
        level,
      );
      expectSlots(
        h,
        ev.subNew(x, y),
        map(a, b, (p, q) => [p[0] - q[0], p[1] - q[1]]),
        level,
      );
      expectSlots(
        h,
        ev.negNew(x),
        map(a, a, ([re, im]) => [-re, -im]),
        level,
      );
      expectSlots(h, x, a, level);
    },
  },
  {
    name: 'adds constants',
    run: (h) => {
      const { evaluator: ev, level } = h;
      const a = vector(h, 3);
      const x = h.encrypt(a, level);
      expectSlots(
        h,
        ev.addConstNew(x, 0.75),
        map(a, a, ([re, im]) => [re + 0.75, im]),
        level,
      );
      expectSlots(
        h,
        ev.addConstNew(x, -1.5, 0.25),
        map(a, a, ([re, im]) => [re - 1.5, im + 0.25]),
        level,
      );
    },
  },
  {
    name: 'multiplies by integers and by i without a level',
    run: (h) => {
      const { evaluator: ev, level } = h;
      const a = vector(h, 4);
      const x = h.encrypt(a, level);
      expectSlots(
        h,
        ev.mulIntegerNew(x, -7),
        map(a, a, ([re, im]) => [-7 * re, -7 * im]),
        level,
        7,
      );
      expectSlots(
        h,
        ev.mulIntegerNew(x, 0),
        map(a, a, () => [0, 0]),
        level,
      );
      expectSlots(
        h,
        ev.mulINew(x),
        map(a, a, ([re, im]) => [-im, re]),
        level,
      );
      expectSlots(
        h,
        ev.mulINew(ev.mulINew(x)),
        map(a, a, ([re, im]) => [-re, -im]),
        level,
      );
    },
  },
  {
    name: 'multiplies by constants',
    run: (h) => {
      const { evaluator: ev, level } = h;
      const a = vector(h, 5);
      const x = h.encrypt(a, level);
      expectSlots(
        h,
        ev.mulConstNew(x, 0.3),
        map(a, a, ([re, im]) => [0.3 * re, 0.3 * im]),
        level - 1,
      );
      expectSlots(
        h,
        ev.mulConstNew(x, -0.6, 0.8),
        map(a, a, (p) => times(p, [-0.6, 0.8])),
        level - 1,
      );
    },
  },
  {
    name: 'combines linearly with one rescale',
    run: (h) => {
      const { evaluator: ev, level } = h;
      const [a, b] = [vector(h, 6), vector(h, 7)];
      const sum = ev.linearCombinationNew([h.encrypt(a, level), h.encrypt(b, level)], [0.5, -1.25], 0.125);
      const expected = map(a, b, (p, q) => [0.5 * p[0] - 1.25 * q[0] + 0.125, 0.5 * p[1] - 1.25 * q[1]]);
      expectSlots(h, sum, expected, level - 1, 2);
    },
  },
];

const products: ConformanceCase[] = [
  {
    name: 'multiplies and squares ciphertexts',
    run: (h) => {
      const { evaluator: ev, level } = h;
      const [a, b] = [vector(h, 8), vector(h, 9)];
      const [x, y] = [h.encrypt(a, level), h.encrypt(b, level)];
      expectSlots(h, ev.mulNew(x, y), map(a, b, times), level - 1, 2);
      expectSlots(h, ev.squareNew(x), map(a, a, times), level - 1, 2);
    },
  },
  {
    name: 'sums products with one relinearisation',
    run: (h) => {
      const { evaluator: ev, level } = h;
      const [a, b, c] = [vector(h, 10), vector(h, 11), vector(h, 12)];
      const [x, y, z] = [h.encrypt(a, level), h.encrypt(b, level), h.encrypt(c, level)];
      const expected = map(map(a, b, times), map(b, c, times), (p, q) => [p[0] + q[0], p[1] + q[1]]);
      expectSlots(h, ev.dotNew([x, y], [y, z]), expected, level - 1, 4);
    },
  },
  {
    name: 'keeps canonical scales through a chain of products and level drops',
    run: (h) => {
      const { evaluator: ev, level } = h;
      const a = vector(h, 13);
      const x = h.encrypt(a, level);
      const square = ev.squareNew(x);
      const cube = ev.mulNew(square, ev.toLevel(x, level - 1));
      const sum = ev.addNew(cube, ev.toLevel(x, level - 2));
      const expected = map(a, a, (p) => {
        const third = times(times(p, p), p);
        return [third[0] + p[0], third[1] + p[1]];
      });
      expectSlots(h, sum, expected, level - 2, 8);
    },
  },
  {
    name: 'comes down any number of levels',
    run: (h) => {
      const { evaluator: ev, level } = h;
      const a = vector(h, 14);
      const x = h.encrypt(a, level);
      for (let to = level; to >= Math.max(level - 3, 0); to--) expectSlots(h, ev.toLevel(x, to), a, to);
    },
  },
];

const rotations: ConformanceCase[] = [
  {
    name: 'rotates both ways, and by nothing',
    run: (h) => {
      const { evaluator: ev, level, evaluator } = h;
      const a = vector(h, 15);
      const x = h.encrypt(a, level);
      for (const k of [1, -1, 3, evaluator.slots]) expectSlots(h, ev.rotateNew(x, k), turn(a, k), level);
      expectSlots(h, ev.rotateNew(x, 1 - evaluator.slots), turn(a, 1), level);
    },
  },
  {
    name: 'rotates one input many ways',
    run: (h) => {
      const { evaluator: ev, level } = h;
      const a = vector(h, 16);
      const ks = [0, 4, 1, 8];
      const outs = ev.rotateManyNew(h.encrypt(a, level), ks);
      ks.forEach((k, i) => {
        expectSlots(h, outs[i], turn(a, k), level);
      });
    },
  },
  {
    name: 'conjugates',
    run: (h) => {
      const { evaluator: ev, level } = h;
      const a = vector(h, 17);
      expectSlots(
        h,
        ev.conjugateNew(h.encrypt(a, level)),
        map(a, a, ([re, im]) => [re, -im]),
        level,
      );
    },
  },
  {
    name: 'applies linear transforms, however they are split',
    run: (h) => {
      const { evaluator: ev, level } = h;
      const a = vector(h, 18);
      const x = h.encrypt(a, level);
      const diagonals = new Map<number, Complex>();
      for (const k of [0, 1, 2, 3, 4, 8]) diagonals.set(k, vector(h, 20 + k));
      const matrix: DiagonalMatrix = { diagonals };
      const expected = map(a, a, () => [0, 0]);
      for (const [k, diagonal] of diagonals) {
        const turned = turn(a, k);
        for (let i = 0; i < ev.slots; i++) {
          const [re, im] = times([diagonal.re[i], diagonal.im[i]], [turned.re[i], turned.im[i]]);
          expected.re[i] += re;
          expected.im[i] += im;
        }
      }
      for (const babySteps of [1, 4, ev.slots]) {
        const transform = ev.compileTransform(matrix, { level, babySteps });
        if (transform.rotations.some((k) => k === 0)) throw new Error('rotation 0 needs no key');
        expectSlots(h, ev.transformNew(x, transform), expected, level - 1, 12);
        ev.releaseTransform(transform);
        expectError(() => ev.transformNew(x, transform), 'HE_USE_AFTER_RELEASE');
      }
    },
  },
  {
    name: 'applies diagonal transforms of a short period',
    run: (h) => {
      const { evaluator: ev, level } = h;
      const a = vector(h, 19);
      const short = { re: Float64Array.of(0.5, -1, 0.25, 1), im: null };
      const diagonals = new Map<number, SlotVector>([[0, short]]);
      const transform = ev.compileTransform({ diagonals }, { level });
      const full = repeat(short, ev.slots);
      expectSlots(h, ev.transformNew(h.encrypt(a, level), transform), map(a, full, times), level - 1, 2);
      ev.releaseTransform(transform);
    },
  },
];

const plaintexts: ConformanceCase[] = [
  {
    name: 'multiplies and adds plaintexts of any period',
    run: (h) => {
      const { evaluator: ev, level } = h;
      const a = vector(h, 40);
      const x = h.encrypt(a, level);
      for (const length of [1, 2, 16, ev.slots]) {
        const b = slice(vector(h, 41), length);
        const full = repeat(b, ev.slots);
        const factor = ev.encode(b, level);
        const summand = ev.encodeForAdd(b, level);
        expectSlots(h, ev.mulPlainNew(x, factor), map(a, full, times), level - 1, 2);
        expectSlots(
          h,
          ev.addPlainNew(x, summand),
          map(a, full, (p, q) => [p[0] + q[0], p[1] + q[1]]),
          level,
        );
        expectError(() => ev.mulPlainNew(x, summand), 'HE_PLAIN_PURPOSE');
        expectError(() => ev.addPlainNew(x, factor), 'HE_PLAIN_PURPOSE');
        ev.releasePlain(factor);
        ev.releasePlain(summand);
        expectError(() => ev.mulPlainNew(x, factor), 'HE_USE_AFTER_RELEASE');
      }
    },
  },
  {
    name: 'encrypts short and real vectors as their repetition',
    run: (h) => {
      const short = { re: Float64Array.of(1, -0.5, 0.25, 2), im: null };
      expectSlots(h, h.encrypt(short, h.level), repeat(short, h.evaluator.slots), h.level);
    },
  },
];

const ownership: ConformanceCase[] = [
  {
    name: 'frees what a scope does not return',
    run: (h) => {
      const { evaluator: ev, level } = h;
      const x = h.encrypt(vector(h, 50), level);
      let inner = x;
      let kept = x;
      const result = ev.scope(() => {
        inner = ev.negNew(x);
        kept = ev.keep(ev.negNew(x));
        return { one: ev.addNew(inner, x), many: 3 };
      });
      expectError(() => ev.negNew(inner), 'HE_USE_AFTER_RELEASE');
      ev.negNew(result.one);
      ev.negNew(kept);
      const list = ev.scope(() => ev.scope(() => [ev.negNew(x), ev.copyNew(x)]));
      for (const item of list) ev.negNew(item);
    },
  },
  {
    name: 'refuses a released ciphertext',
    run: (h) => {
      const { evaluator: ev, level } = h;
      const x = h.encrypt(vector(h, 51), level);
      const copy = ev.copyNew(x);
      ev.release(x);
      expectError(() => ev.addNew(x, copy), 'HE_USE_AFTER_RELEASE');
      expectError(() => ev.addNew(copy, x), 'HE_USE_AFTER_RELEASE');
      expectError(() => ev.mulNew(copy, x), 'HE_USE_AFTER_RELEASE');
      expectError(() => ev.rotateNew(x, 1), 'HE_USE_AFTER_RELEASE');
      ev.negNew(copy);
    },
  },
];

const mistakes: ConformanceCase[] = [
  {
    name: 'refuses operands at different levels',
    run: (h) => {
      const { evaluator: ev, level } = h;
      const x = h.encrypt(vector(h, 60), level);
      const low = ev.toLevel(x, level - 1);
      expectError(() => ev.addNew(x, low), 'HE_LEVEL_MISMATCH');
      expectError(() => ev.subNew(low, x), 'HE_LEVEL_MISMATCH');
      expectError(() => ev.mulNew(x, low), 'HE_LEVEL_MISMATCH');
      expectError(() => ev.dotNew([x, low], [x, low]), 'HE_LEVEL_MISMATCH');
      expectError(() => ev.linearCombinationNew([x, low], [1, 1]), 'HE_LEVEL_MISMATCH');
      expectError(() => ev.addPlainNew(low, ev.encodeForAdd(vector(h, 61), level)), 'HE_LEVEL_MISMATCH');
    },
  },
  {
    name: 'refuses to go up, or below level 0',
    run: (h) => {
      const { evaluator: ev, level } = h;
      const x = h.encrypt(vector(h, 62), level);
      const bottom = ev.toLevel(x, 0);
      expectError(() => ev.toLevel(bottom, 1), 'HE_LEVEL_EXHAUSTED');
      expectError(() => ev.mulConstNew(bottom, 0.5), 'HE_LEVEL_EXHAUSTED');
      expectError(() => ev.squareNew(bottom), 'HE_LEVEL_EXHAUSTED');
      expectError(() => ev.encode(vector(h, 63), 0), 'HE_LEVEL_EXHAUSTED');
      expectError(() => ev.encode(vector(h, 63), ev.maxLevel + 1), 'HE_LEVEL_RANGE');
    },
  },
  {
    name: 'refuses wrong counts, vectors and numbers',
    run: (h) => {
      const { evaluator: ev, level } = h;
      const x = h.encrypt(vector(h, 64), level);
      expectError(() => ev.dotNew([x], [x, x]), 'HE_OPERAND_COUNT');
      expectError(() => ev.dotNew([], []), 'HE_OPERAND_COUNT');
      expectError(() => ev.linearCombinationNew([x], []), 'HE_OPERAND_COUNT');
      expectError(() => ev.encode({ re: new Float64Array(3), im: null }, level), 'HE_SLOT_COUNT');
      expectError(() => ev.encode({ re: new Float64Array(2 * ev.slots), im: null }, level), 'HE_SLOT_COUNT');
      expectError(
        () => ev.encode({ re: Float64Array.of(Number.NaN), im: null }, level),
        'HE_VALUE_NOT_FINITE',
      );
      expectError(() => ev.mulConstNew(x, Number.POSITIVE_INFINITY), 'HE_VALUE_NOT_FINITE');
      expectError(() => ev.addConstNew(x, Number.NaN), 'HE_VALUE_NOT_FINITE');
      expectError(() => ev.mulIntegerNew(x, 0.5), 'HE_INTEGER_RANGE');
      expectError(() => ev.mulIntegerNew(x, 2 ** 20), 'HE_INTEGER_RANGE');
      expectError(() => ev.rotateNew(x, 0.5), 'HE_ROTATION_STEP');
    },
  },
  {
    name: 'names a missing key',
    run: (h) => {
      if (h.missingRotation === null) return;
      const { evaluator: ev, level, missingRotation } = h;
      const x = h.encrypt(vector(h, 65), level);
      const error = expectError(() => ev.rotateNew(x, missingRotation), 'HE_KEY_MISSING');
      if (
        error.facts.rotation !== missingRotation ||
        error.facts.level !== level ||
        error.facts.galois === undefined
      ) {
        throw new Error(`the error does not name the key: ${error.message}`);
      }
    },
  },
];

/** Values in [-1, 1] + i [-1, 1], the same for the same seed. */
function vector<C>(h: ConformanceHarness<C>, seed: number): Complex {
  const { slots } = h.evaluator;
  const part = (phase: number) =>
    Float64Array.from({ length: slots }, (_, i) => Math.sin(1e4 * Math.sin(i * 1.7 + seed * 3.1 + phase)));
  return { re: part(0), im: part(0.5) };
}

type Pair = readonly [re: number, im: number];

const times = (a: Pair, b: Pair): Pair => [a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]];

function map(a: Complex, b: Complex, f: (a: Pair, b: Pair) => Pair): Complex {
  const { length } = a.re;
  const out = { re: new Float64Array(length), im: new Float64Array(length) };
  for (let i = 0; i < length; i++) {
    [out.re[i], out.im[i]] = f([a.re[i], a.im[i]], [b.re[i], b.im[i]]);
  }
  return out;
}

function turn(a: Complex, k: number): Complex {
  const { length } = a.re;
  const at = (i: number) => (((i + k) % length) + length) % length;
  return { re: a.re.map((_, i) => a.re[at(i)]), im: a.im.map((_, i) => a.im[at(i)]) };
}

const slice = (a: Complex, length: number): Complex => ({
  re: a.re.slice(0, length),
  im: a.im.slice(0, length),
});

function repeat(v: SlotVector, slots: number): Complex {
  const part = (x: Float64Array | null) =>
    Float64Array.from({ length: slots }, (_, i) => x?.[i % x.length] ?? 0);
  return { re: part(v.re), im: part(v.im) };
}

function expectSlots<C>(h: ConformanceHarness<C>, a: C, expected: Complex, level: number, factor = 1): void {
  const got = h.evaluator.levelOf(a);
  if (got !== level) throw new Error(`the result is at level ${got}, not ${level}`);
  const values = h.decrypt(a);
  let worst = 0;
  for (let i = 0; i < expected.re.length; i++) {
    const error = Math.max(Math.abs(values.re[i] - expected.re[i]), Math.abs(values.im[i] - expected.im[i]));
    if (Number.isNaN(error) || error > worst) worst = error;
  }
  if (!(worst <= factor * h.tolerance))
    throw new Error(`a slot is off by ${worst}, more than ${factor * h.tolerance}`);
}

function expectError(body: () => unknown, code: string): SottoError {
  try {
    body();
  } catch (error) {
    if (SottoError.is(error) && error.code === code) return error;
    throw new Error(`expected ${code}, got ${SottoError.is(error) ? error.code : String(error)}`);
  }
  throw new Error(`expected ${code}, but nothing was thrown`);
}
