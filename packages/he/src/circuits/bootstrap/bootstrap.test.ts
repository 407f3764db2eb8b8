import { describe, expect, it } from 'vitest';
import { createCleartextEvaluator } from '../../cleartext/index.js';
import { createParameters } from '../../rlwe/create-parameters.js';
import { insecureBoot } from '../../rlwe/presets.js';
import type { DiagonalMatrix } from '../../scheme/evaluator.js';
import { applyMatrix } from '../linear/index.js';
import { clenshaw, planChebyshev } from '../polynomial/index.js';
import { bitReverse, decodingFactors, encodingFactors, splitRadices } from './dft.js';
import { evalModNew } from './eval-mod.js';
import { fitEvalMod } from './eval-mod-fit.js';
import { evalModCoefficients, evalModRange } from './eval-mod-table.js';
import { logFailureProbability, logIntegerProbability } from './failure.js';
import { bootstrapKeyList } from './key-list.js';
import { planBootstrap } from './plan.js';
import { simulatedSteps } from './simulate.js';
import { bootstrapNew, compileBootstrap } from './stages.js';

const log2 = Math.log2;
function galoisOfRotation(k: number, n: number): number {
  let result = 1;
  for (let i = 0; i < k; i++) result = (5 * result) % (2 * n);
  return result;
}
const apply = (all: readonly DiagonalMatrix[], x: { re: Float64Array; im: Float64Array }, n: number) =>
  all.reduce((v, m) => applyMatrix(m, v, n), x);

function randomSlots(n: number, seed = 1, size = 1) {
  let state = seed >>> 0 || 1;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return ((state >>> 0) / 2 ** 31 - 1) * size;
  };
  return { re: Float64Array.from({ length: n }, next), im: Float64Array.from({ length: n }, next) };
}

/** Standard and largest error of a component, as bits. */
function bits(
  got: { re: Float64Array; im: Float64Array },
  want: { re: Float64Array; im: Float64Array | null },
) {
  let sum = 0;
  let worst = 0;
  const period = want.re.length;
  got.re.forEach((v, i) => {
    for (const e of [v - want.re[i % period], got.im[i] - (want.im?.[i % period] ?? 0)]) {
      sum += e * e;
      worst = Math.max(worst, Math.abs(e));
    }
  });
  return { rms: -log2(Math.sqrt(sum / (2 * got.re.length))), worst: -log2(worst) };
}

describe('transforms between slots and coefficients', () => {
  it('decode as the definition and encode back', () => {
    const n = 256;
    const z = randomSlots(n);
    const decoding = decodingFactors(n, [2, 3, 3]);
    const u = apply(decoding, z, n);
    for (const j of [0, 1, 77, 255]) {
      let exponent = 1;
      for (let k = 0; k < j; k++) exponent = (exponent * 5) % (4 * n);
      let re = 0;
      let im = 0;
      for (let k = 0; k < n; k++) {
        const w = bitReverse(k, 8);
        const angle = (2 * Math.PI * ((exponent * k) % (4 * n))) / (4 * n);
        re += z.re[w] * Math.cos(angle) - z.im[w] * Math.sin(angle);
        im += z.re[w] * Math.sin(angle) + z.im[w] * Math.cos(angle);
      }
      expect(Math.hypot(u.re[j] - re, u.im[j] - im)).toBeLessThan(1e-12 * n);
    }
    const back = apply(encodingFactors(n, [3, 3, 2], n ** (-1 / 3)), u, n);
    expect(bits(back, z).worst).toBeGreaterThan(44);
  });

  it('have the few diagonals and short periods that make them cheap', () => {
    const shape = (all: DiagonalMatrix[]) =>
      all.map((m) => [m.diagonals.size, Math.max(...[...m.diagonals.values()].map((d) => d.re.length))]);
    expect(splitRadices(15, 4, 'encoding')).toEqual([4, 3, 4, 4]);
    expect(splitRadices(15, 3, 'decoding')).toEqual([5, 5, 5]);
    expect(splitRadices(11, 3, 'decoding')).toEqual([4, 3, 4]);
    const n = 1024;
    expect(shape(encodingFactors(n, [3, 3, 4], 1))).toEqual([
      [8, 1024],
      [15, 128],
      [31, 16],
    ]);
    expect(shape(decodingFactors(n, [4, 3, 3]))).toEqual([
      [31, 16],
      [15, 128],
      [8, 1024],
    ]);
  });
});

describe('EvalMod polynomial', () => {
  it('is the weighted fit', () => {
    for (const ratio of [10, 12, 14]) {
      const table = evalModCoefficients(ratio);
      fitEvalMod(ratio, 32).forEach((c, i) => {
        expect(Math.abs(table[2 * i] - c), `ratio ${ratio}, c ${2 * i}`).toBeLessThan(2e-11);
      });
    }
    expect(() => evalModCoefficients(9)).toThrow(/HE_MESSAGE_RATIO/);
  });

  it('has the planned error for every integer, and stays bounded', () => {
    const c = evalModCoefficients(12);
    const range = evalModRange(12);
    const error = (k: number) => {
      let worst = 0;
      for (const sign of [1, -1]) {
        for (let j = -8; j <= 8; j++) {
          const x = sign * k + j / 8 / 4096;
          let v = clenshaw(c, (x - 0.25) / range);
          for (let d = 0; d < 3; d++) v = 2 * v * v - 1;
          const sine = Math.sin((2 * Math.PI * j) / 8 / 4096);
          worst = Math.max(worst, (Math.abs(v - sine) * 4096) / (2 * Math.PI));
        }
      }
      return -log2(worst);
    };
    const wanted = [27, 29, 29, 29, 26.5, 27.5, 28, 26.5, 24.3, 25.6, 25, 23.2, 20.7, 19.8, 18, 15.6];
    for (const [k, least] of wanted.entries()) {
      expect(error(k), `|I| = ${k}`).toBeGreaterThan(least - 0.3);
    }
    for (let i = -1000; i <= 1000; i++) expect(Math.abs(clenshaw(c, i / 1000))).toBeLessThan(1.01);
    const plan = planChebyshev(c);
    expect([plan.products, plan.relinearisations, plan.depth]).toEqual([9, 8, 5]);
  });

  it('overflows as rarely as the exact distribution says', () => {
    expect(logFailureProbability(32, 2 ** 15, 15)).toBeCloseTo(-105.7, 1);
    expect(logFailureProbability(32, 2 ** 15, 12)).toBeCloseTo(-39.7, 1);
    expect(logFailureProbability(32, 2 ** 15, 16)).toBe(Number.NEGATIVE_INFINITY);
    let total = 0;
    let variance = 0;
    for (let k = 0; k <= 16; k++) {
      total += 2 ** logIntegerProbability(32, k);
      variance += 2 ** logIntegerProbability(32, k) * k * k;
    }
    expect(total).toBeCloseTo(1, 12);
    expect(Math.sqrt(variance)).toBeCloseTo(Math.sqrt(33 / 12 + 1 / 12), 2);
  });

  it('runs on a circuit evaluator in eight levels', () => {
    const params = createParameters(insecureBoot(10));
    const ev = createCleartextEvaluator(params, { noise: null });
    const plan = planBootstrap(params);
    const z = randomSlots(512, 3).re;
    const t = z.map((v, i) => (((i % 23) - 11 + v / 4096) / plan.evalMod.range) as number);
    const out = evalModNew(
      ev,
      ev.fromSlots({ re: t, im: null }, plan.levels.evalModTop),
      plan.evalMod,
      (c) => c,
    );
    expect(out.level).toBe(plan.levels.residualTop);
    expect(bits(ev.toSlots(out), { re: z, im: null }).worst).toBeGreaterThan(20);
    expect(ev.counts).toMatchObject({ products: 12, relinearisations: 11 });
  });
});

describe('bootstrapping in cleartext', () => {
  const params = createParameters(insecureBoot(11));
  const cases = [
    { slots: 1024, realOnly: false },
    { slots: 1024, realOnly: true },
    { slots: 512, realOnly: false },
    { slots: 128, realOnly: false },
    { slots: 16, realOnly: false },
    { slots: 64, realOnly: true },
    {
      slots: 32,
      realOnly: true,
      coeffsToSlotsRadices: [2, 3],
      slotsToCoeffsRadices: [3, 2],
      traceRadices: [1, 3, 1],
    },
  ];
  for (const options of cases) {
    it(`restores ${options.slots} ${options.realOnly ? 'real' : 'complex'} slots`, () => {
      for (const noise of [null, { seed: 3 }]) {
        const ev = createCleartextEvaluator(params, { noise });
        const plan = planBootstrap(params, options);
        const compiled = compileBootstrap(ev, plan, simulatedSteps(ev, plan));
        const z = randomSlots(options.slots, 5);
        const input = options.realOnly ? { re: z.re, im: null } : z;
        const out = bootstrapNew(ev, ev.fromSlots(input, 5), compiled);
        expect(out.level).toBe(params.freshLevel);
        const result = bits(ev.toSlots(out), input);
        expect(result.rms).toBeGreaterThan(noise === null ? 22.3 : 21);
        expect(result.worst).toBeGreaterThan(18);
      }
    });
  }

  it('lists exactly the keys it uses', () => {
    const plan = planBootstrap(params, { slots: 128 });
    const keys = bootstrapKeyList(params, { slots: 128 });
    const name = (k: (typeof keys)[number]) => JSON.stringify(k);
    expect(new Set(keys.map(name)).size).toBe(keys.length);
    const galois = keys.filter((k) => k.id.kind === 'galois');
    const stages = [...plan.coeffsToSlots, ...plan.slotsToCoeffs];
    const used = [...stages.map((f) => f.rotations), plan.trace.flat()];
    const elements = (ks: readonly number[]) => ks.map((k) => galoisOfRotation(k, params.n));
    // The conjugation, the rotation of the input and the two that pack and unpack come on top.
    const single = [2 * params.n - 1, ...elements([plan.preRotation, plan.slots])];
    const needed = new Set([...single, ...used.flatMap(elements)]);
    expect(new Set(galois.map(({ id }) => (id.kind === 'galois' ? id.galois : 0)))).toEqual(needed);
    expect(galois.length).toBeLessThanOrEqual(used.flat().length + 4);
    // Every sum finds all its keys at one level.
    [...stages.map((f) => f.level), plan.traceLevel].forEach((level, i) => {
      const levels = elements(used[i]).map((g) =>
        galois.flatMap(({ id, maxLevel }) => (id.kind === 'galois' && id.galois === g ? [maxLevel] : [])),
      );
      expect(levels[0].some((at) => at >= level && levels.every((l) => l.includes(at)))).toBe(true);
    });
    expect(keys.filter((k) => k.id.kind === 'denseToSparse')).toEqual([
      { id: { kind: 'denseToSparse' }, maxLevel: 0 },
    ]);
  });
});
