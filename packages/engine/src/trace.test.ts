import { createParameters, insecureClient } from '@sotto/he/rlwe';
import type { SlotVector } from '@sotto/he/scheme';
import { describe, expect, test } from 'vitest';
import {
  brokenScheme,
  changedEncoding,
  doubledMap,
  EncryptedTraceRing,
} from '../../../tests/fixtures/traced-schemes.js';
import {
  type Calibration,
  cleartextTraceScheme,
  makePlan,
  type TraceReport,
  type TraceTask,
  tinyTestModel,
  traceReport,
} from './index.js';
import { pairStride } from './layout.js';

const { model, calibration } = tinyTestModel(1);
const parameters = createParameters(insecureClient(11, 12));
const options = {
  slots: parameters.maxSlots,
  topLevel: parameters.freshLevel,
  bottomLevel: parameters.bottomLevel,
  blockRows: 4,
};
const plan = await makePlan(model, calibration, options);
const task: TraceTask = {
  model,
  calibration,
  plan,
  publicTokens: [1, 5, 7],
  privateTokens: [4, 9, 11, 3, 8],
};

const firstOf = ({ first }: TraceReport) => first && `layer ${first.layer} ${first.name}, ${first.fault}`;

const broken = (replace: Parameters<typeof brokenScheme>[1]) => brokenScheme(parameters, replace);
const encoding = (change: Parameters<typeof changedEncoding>[1]) => changedEncoding(parameters, change);

/** A calibration with another value in one layer. */
const changed = (layer: number, change: Partial<Calibration['layers'][number]>): Calibration => ({
  ...calibration,
  layers: calibration.layers.map((c, i) => (i === layer ? { ...c, ...change } : c)),
});

test('a sound pass has the forecast bits at every step', async () => {
  const report = await traceReport(task, cleartextTraceScheme(parameters, { seed: 5 }), parameters);
  expect(firstOf(report)).toBeNull();
  // Two layers of two blocks: all states but the start of a later layer, and the refreshes.
  expect(report.lines.length).toBe(2 * (2 * 9 + 1 + plan.refreshes));
  for (const { bits, forecastBits } of report.lines) {
    expect(bits).toBeGreaterThan(forecastBits - 0.9);
    expect(forecastBits).toBeGreaterThan(10);
  }
  // Linear steps are forecast closely, not only from below; the second block is of one row, whose few errors scatter.
  const linear = report.lines.filter(
    ({ block, name }) => block === 0 && /refresh|weights|exponential|end/.test(name),
  );
  for (const { bits, forecastBits } of linear) expect(Math.abs(bits - forecastBits)).toBeLessThan(0.6);
  expect(report.pass.logitsRmsError).toBeLessThan(0.01);
});

test('a model whose cache lies in groups of columns is as forecast too', async () => {
  const wide = tinyTestModel(3, { dim: 40, headCount: 5, kvHeadCount: 1, hiddenDim: 100, layerCount: 1 });
  const small = createParameters(insecureClient(10, 12));
  const its = await makePlan(wide.model, wide.calibration, {
    ...options,
    slots: small.maxSlots,
    topLevel: small.freshLevel,
    privateTokens: 8,
  });
  expect(its.layout.privateGroups).toBeGreaterThan(1);
  const report = await traceReport(
    { ...wide, plan: its, publicTokens: [1, 5], privateTokens: [4, 9, 11, 3, 8, 6] },
    cleartextTraceScheme(small, { seed: 5 }),
    small,
  );
  expect(firstOf(report)).toBeNull();
  expect(report.pass.logitsRmsError).toBeLessThan(0.02);
});

describe('a defect is named by the step that makes it', () => {
  const guards: [string, Calibration, string][] = [
    ['of the gate', changed(1, { gate: calibration.layers[1]!.gate / 4 }), 'layer 1 silu, window'],
    [
      'of the mean square before attention',
      changed(1, { attentionMeanSquare: [0.4, 0.5] }),
      'layer 1 score, window',
    ],
    [
      'of the mean square in the middle',
      changed(0, { feedForwardMeanSquare: [0.4, 0.5] }),
      'layer 0 gate, window',
    ],
    ['of the score', changed(0, { score: [-1.2, -0.6] }), 'layer 0 root, window'],
    ['of the sum', changed(1, { logSum: [-2, -1] }), 'layer 1 normalised, window'],
  ];
  test.each(guards)('a wrong guard %s', async (_, wrong, name) => {
    const wrongPlan = await makePlan(model, wrong, options);
    const wrongTask = { ...task, calibration: wrong, plan: wrongPlan };
    // The forecast has the same wrong guard: nobody tells the trace what is right.
    const scheme = cleartextTraceScheme(parameters, { seed: 5 });
    expect(firstOf(await traceReport(wrongTask, scheme, parameters))).toBe(name);
  });

  test('a missing causal mask', async () => {
    const isMask = ({ re, im }: SlotVector) => im === null && re.every((v) => v === 0 || v === 0.5);
    const scheme = encoding((values) =>
      isMask(values) ? { re: values.re.map(() => 0.5), im: null } : values,
    );
    expect(firstOf(await traceReport(task, scheme, parameters))).toBe('layer 0 score, precision');
  });

  test('a missing mask of kinds', async () => {
    const isMask = ({ re, im }: SlotVector) => im === null && re.every((v) => v === 0 || v === 1);
    const scheme = encoding((values) => (isMask(values) ? { re: values.re.map(() => 1), im: null } : values));
    expect(firstOf(await traceReport(task, scheme, parameters))).toBe('layer 0 score, precision');
  });

  test('swapped RoPE pairs', async () => {
    const stride = pairStride(plan.layout);
    let swapped = 0;
    const scheme = encoding((values) => {
      const { re, im } = values;
      const turns = im?.every((v, i) => Math.abs(Math.hypot(v, re[i]!) - 0.5) > 0.499) ?? false;
      if (im === null || !turns) return values;
      swapped++;
      const other = (_: number, i: number) => i ^ stride;
      return {
        re: re.map((_, i) => re[other(_, i)]!),
        im: im.map((_, i) => im[other(_, i)]!),
      };
    });
    expect(firstOf(await traceReport(task, scheme, parameters))).toBe('layer 0 score, precision');
    expect(swapped).toBeGreaterThan(0);
  });

  // The linear maps of a layer in order: input, two spreads, public scores and values, output, feed-forward in and out.
  const steps = ['score', 'score', 'score', 'score', 'middle', 'middle', 'gate', 'end'];
  test.each([...steps.entries()])('linear map %i of the second layer doubled: %s', async (number, step) => {
    const scheme = doubledMap(parameters, 8 + number);
    const short = { ...task, privateTokens: [4, 9] };
    expect(firstOf(await traceReport(short, scheme, parameters))).toBe(`layer 1 ${step}, precision`);
  });

  test('a rotation in the wrong direction', async () => {
    const wrongWay = (k: number) =>
      broken((ev) => {
        const rotate = ev.rotateNew.bind(ev);
        return { rotateNew: (a, by) => rotate(a, by === k ? -by : by) };
      });
    const stride = pairStride(plan.layout);
    expect(firstOf(await traceReport(task, wrongWay(stride), parameters))).toBe('layer 0 score, precision');
  });
});

describe('on the encrypted toy ring', () => {
  const ring = new EncryptedTraceRing(parameters, plan);
  const { rotations } = plan.keys;

  test('every step is as forecast, and the pass like the cleartext one', async () => {
    const report = await traceReport(task, ring.scheme(), parameters);
    expect(firstOf(report)).toBeNull();
    for (const { bits, forecastBits } of report.lines) expect(bits).toBeGreaterThan(forecastBits - 1);
  }, 30_000);

  test('one flipped rotation key is named by the first step that rotates by it', async () => {
    const flipped = pairStride(plan.layout);
    expect(rotations.map(({ rotation }) => rotation)).toContain(flipped);
    const short = { ...task, privateTokens: task.privateTokens.slice(0, 2) };
    const report = await traceReport(short, ring.scheme(flipped), parameters);
    expect(firstOf(report)).toBe('layer 0 score, precision');
  }, 30_000);
});
