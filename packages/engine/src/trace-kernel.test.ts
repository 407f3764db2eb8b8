import { createParameters, insecureClient } from '@sotto/he/rlwe';
import type { SlotVector } from '@sotto/he/scheme';
import { describe, expect, test } from 'vitest';
import {
  brokenScheme,
  changedEncoding,
  doubledMap,
  EncryptedTraceRing,
} from '../../../tests/fixtures/traced-schemes.js';
import type { Calibration } from './calibration.js';
import {
  cleartextTraceScheme,
  makePlan,
  type TraceReport,
  type TraceTask,
  tinyTestModel,
  traceReport,
} from './index.js';
import { pairStride } from './layout.js';

const parameters = createParameters(insecureClient(11, 16));
const options = {
  slots: parameters.maxSlots,
  topLevel: parameters.freshLevel,
  bottomLevel: parameters.bottomLevel,
  blockRows: 4,
};
const kinds = { attention: 'kernel4-rms', gate: 'bilinear' } as const;
const { model, calibration } = tinyTestModel(1, kinds);
const plan = await makePlan(model, calibration, options);
const task: TraceTask = {
  model,
  calibration,
  plan,
  publicTokens: [1, 5, 7],
  privateTokens: [4, 9, 11, 3, 8],
};
const short = { ...task, privateTokens: [4, 9] };

const firstOf = ({ first }: TraceReport) => first && `layer ${first.layer} ${first.name}, ${first.fault}`;
const noisy = () => cleartextTraceScheme(parameters, { seed: 5 }, plan.topLevel);

test('a sound pass has the forecast bits at every step', async () => {
  const report = await traceReport(task, noisy(), parameters);
  expect(firstOf(report)).toBeNull();
  const states = report.lines.filter(({ block, layer }) => block === 0 && layer === 0);
  expect(states.map(({ name }) => name).filter((name) => !name.startsWith('refresh'))).toEqual([
    'start',
    'heads',
    'middle',
    'end',
  ]);
  for (const { bits, forecastBits } of report.lines) {
    expect(bits).toBeGreaterThan(forecastBits - 1.2);
    expect(forecastBits).toBeGreaterThan(8);
  }
  expect(report.pass.logitsRmsError).toBeLessThan(0.02);
});

test('kernel attention with SiLU', async () => {
  const other = tinyTestModel(2, { ...kinds, gate: 'silu' });
  const its = await makePlan(other.model, other.calibration, options);
  const report = await traceReport({ ...short, ...other, plan: its }, noisy(), parameters);
  expect(firstOf(report)).toBeNull();
  const names = report.lines.map(({ name }) => name);
  for (const state of ['heads', 'middle', 'gate', 'silu', 'end']) expect(names).toContain(state);
});

test('public keys on several pages are summed before anything is seen of them', async () => {
  const small = createParameters(insecureClient(10, 16));
  const its = await makePlan(model, calibration, { ...options, slots: small.maxSlots, privateTokens: 8 });
  const many = Array.from({ length: its.layout.publicCapacity + 3 }, (_, i) => (i === 0 ? 1 : 3 + (i % 20)));
  const long = tinyTestModel(1, { ...kinds, contextLength: 256 }, many.length + 16);
  const longPlan = await makePlan(long.model, long.calibration, {
    ...options,
    slots: small.maxSlots,
    privateTokens: 8,
  });
  const report = await traceReport(
    { ...long, plan: longPlan, publicTokens: many, privateTokens: [4, 9] },
    cleartextTraceScheme(small, { seed: 5 }, longPlan.topLevel),
    small,
  );
  expect(firstOf(report)).toBeNull();
});

describe('a defect is named by the step that makes it', () => {
  const layers = calibration.layers as readonly { readonly headMeanSquare?: number }[];
  const changed = (layer: number, change: object): Calibration => ({
    ...calibration,
    layers: calibration.layers.map((c, i) => (i === layer ? { ...c, ...change } : c)),
  });
  test.each([
    [
      'of the heads',
      changed(1, { headMeanSquare: layers[1]!.headMeanSquare! / 64 }),
      'layer 1 middle, window',
    ],
    ['before attention', changed(1, { attentionMeanSquare: [0.4, 0.5] }), 'layer 1 heads, window'],
    ['in the middle', changed(0, { feedForwardMeanSquare: [0.4, 0.5] }), 'layer 0 end, window'],
  ])('a wrong guard of the mean square %s', async (_, wrong, name) => {
    const wrongPlan = await makePlan(model, wrong, options);
    const wrongTask = { ...short, calibration: wrong, plan: wrongPlan };
    expect(firstOf(await traceReport(wrongTask, noisy(), parameters))).toBe(name);
  });

  test('a missing causal mask, of the kernel and of the values', async () => {
    const isMask = ({ re, im }: SlotVector) => im === null && re.every((v) => v === 0 || v === 0.5);
    const open = ({ re, im }: SlotVector) => {
      const most = Math.max(...re);
      return { re: re.map((v) => (v === 0 ? most : v)), im };
    };
    const without = (kernel: boolean, values: boolean) =>
      brokenScheme(parameters, (ev) => {
        const [encode, encodeForAdd] = [ev.encode.bind(ev), ev.encodeForAdd.bind(ev)];
        return {
          encode: (v, level) => encode(values && isMask(v) ? open(v) : v, level),
          encodeForAdd: (v, level) => encodeForAdd(kernel ? open(v) : v, level),
        };
      });
    // Each of the two hides what the other lets through.
    expect(firstOf(await traceReport(short, without(true, false), parameters))).toBeNull();
    expect(firstOf(await traceReport(short, without(true, true), parameters))).toBe(
      'layer 0 heads, precision',
    );
  });

  test('parts of the heads that are not taken apart', async () => {
    const isMask = ({ re, im }: SlotVector) =>
      im?.every((v, i) => (v === -0.5 && re[i] === 0) || (v === 0 && re[i] === 0.5)) ?? false;
    const scheme = changedEncoding(parameters, (values) =>
      isMask(values) ? { re: values.re.map(() => 0.5), im: null } : values,
    );
    expect(firstOf(await traceReport(short, scheme, parameters))).toBe('layer 0 heads, precision');
  });

  // The linear maps of a layer in order: input, two spreads, public scores and values, heads' output, feed-forward in and out.
  const steps = ['heads', 'heads', 'heads', 'heads', 'heads', 'middle', 'end', 'end'];
  test.each([...steps.entries()])('linear map %i of the second layer doubled: %s', async (number, step) => {
    const report = await traceReport(short, doubledMap(parameters, 8 + number), parameters);
    expect(firstOf(report)).toBe(`layer 1 ${step}, precision`);
  });

  test('a rotation in the wrong direction', async () => {
    const stride = pairStride(plan.layout);
    const scheme = brokenScheme(parameters, (ev) => {
      const rotate = ev.rotateNew.bind(ev);
      return { rotateNew: (a, by) => rotate(a, by === stride ? -by : by) };
    });
    expect(firstOf(await traceReport(short, scheme, parameters))).toBe('layer 0 heads, precision');
  });
});

describe('on the encrypted toy ring', () => {
  const ring = new EncryptedTraceRing(parameters, plan);

  test('every step is as forecast', async () => {
    const report = await traceReport(short, ring.scheme(), parameters);
    expect(firstOf(report)).toBeNull();
    for (const { bits, forecastBits } of report.lines) expect(bits).toBeGreaterThan(forecastBits - 1.2);
  }, 30_000);

  test('one flipped rotation key is named by the first step that rotates by it', async () => {
    const flipped = pairStride(plan.layout);
    expect(plan.keys.rotations.map(({ rotation }) => rotation)).toContain(flipped);
    const report = await traceReport(short, ring.scheme(flipped), parameters);
    expect(firstOf(report)).toBe('layer 0 heads, precision');
  }, 30_000);
});
