import { CkksEvaluator } from '@sotto/he/ckks';
import type { CleartextCiphertext } from '@sotto/he/cleartext';
import { selectBackend } from '@sotto/he/ring';
import {
  type Ciphertext,
  createParameters,
  EvaluationKey,
  EvaluationKeySet,
  expandCiphertext,
  insecureClient,
  RingContext,
} from '@sotto/he/rlwe';
import type { Evaluator, SlotVector } from '@sotto/he/scheme';
import { Decryptor, Encryptor, KeyGenerator, SecretKey } from '@sotto/he/secret';
import { describe, expect, test } from 'vitest';
import {
  type Calibration,
  cleartextTraceScheme,
  makePlan,
  type TracedScheme,
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

type Wrapped = Partial<Evaluator<CleartextCiphertext>>;

/** The noisy cleartext scheme with some of its operations replaced: a defect of the circuit. */
function broken(replace: (ev: Evaluator<CleartextCiphertext>) => Wrapped): TracedScheme<CleartextCiphertext> {
  const scheme = cleartextTraceScheme(parameters, { seed: 5 });
  const replaced = replace(scheme.evaluator) as Record<string | symbol, unknown>;
  const evaluator = new Proxy(scheme.evaluator, {
    get(target, name) {
      const value = replaced[name] ?? Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return { ...scheme, evaluator };
}

/** Replaces the values of plaintext factors. */
const encoding = (change: (values: SlotVector) => SlotVector) =>
  broken((ev) => {
    const encode = ev.encode.bind(ev);
    return { encode: (values, level) => encode(change(values), level) };
  });

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
    expect(bits).toBeGreaterThan(forecastBits - 0.6);
    expect(forecastBits).toBeGreaterThan(10);
  }
  // Linear steps are forecast closely, not only from below.
  const linear = report.lines.filter(({ name }) => /refresh|weights|exponential|end/.test(name));
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
    let transforms = 0;
    const scheme = broken((ev) => {
      const transform = ev.transformNew.bind(ev);
      return {
        transformNew: (a, map) => {
          const out = transform(a, map);
          return transforms++ === 8 + number ? ev.addNew(out, out) : out;
        },
      };
    });
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
  const context = new RingContext(
    parameters,
    selectBackend({ name: 'wasm' }).createRing({ logN: parameters.logN, primes: parameters.primes }),
  );
  const secret = SecretKey.generate(parameters);
  const encryptor = new Encryptor(context, secret);
  const decryptor = new Decryptor(context, secret);
  const generator = new KeyGenerator(context, secret);
  const { rotations, conjugationLevel, relinearisationLevel } = plan.keys;
  const rotationLevel = Math.max(...rotations.map(({ level }) => level));

  /** @param flipped rotation whose key is that of the opposite one. */
  function scheme(flipped?: number): TracedScheme<Ciphertext> {
    const keys = new EvaluationKeySet(context, [
      EvaluationKey.expand(context, generator.relinearisation(relinearisationLevel)),
      EvaluationKey.expand(context, generator.conjugation(conjugationLevel)),
      ...rotations.map(({ rotation }) => {
        const right = generator.rotation(rotation, rotationLevel);
        if (rotation !== flipped) return EvaluationKey.expand(context, right);
        return EvaluationKey.expand(context, {
          ...generator.rotation(parameters.maxSlots - rotation, rotationLevel),
          id: right.id,
        });
      }),
    ]);
    const evaluator = new CkksEvaluator(context, keys);
    const { encoder } = evaluator;
    const write = (values: SlotVector, level: number) =>
      expandCiphertext(
        context,
        encryptor.encryptSeeded(encoder.embed(values, evaluator.scaleAt(level)), level),
      );
    const read = (value: Ciphertext) => encoder.project(decryptor.decrypt(value), value.scale);
    const refresher = {
      outputLevel: parameters.freshLevel,
      inputLevel: parameters.bottomLevel,
      range: 1,
      count: 0,
      refresh: async (a: Ciphertext) => {
        // Garbage would not fit a plaintext.
        const clamp = (values: Float64Array) => values.map((v) => Math.max(-16, Math.min(16, v)));
        const { re, im } = read(a);
        return write({ re: clamp(re), im: clamp(im) }, parameters.freshLevel);
      },
    };
    return { evaluator, refresher, write, read };
  }

  test('every step is as forecast, and the pass like the cleartext one', async () => {
    const report = await traceReport(task, scheme(), parameters);
    expect(firstOf(report)).toBeNull();
    for (const { bits, forecastBits } of report.lines) expect(bits).toBeGreaterThan(forecastBits - 1);
  }, 30_000);

  test('one flipped rotation key is named by the first step that rotates by it', async () => {
    const flipped = pairStride(plan.layout);
    expect(rotations.map(({ rotation }) => rotation)).toContain(flipped);
    const short = { ...task, privateTokens: task.privateTokens.slice(0, 2) };
    const report = await traceReport(short, scheme(flipped), parameters);
    expect(firstOf(report)).toBe('layer 0 score, precision');
  }, 30_000);
});
