import { describe, expect, it } from 'vitest';
import { createToy } from '../../test-support/toy.js';
import {
  Ciphertext,
  createParameters,
  EvaluationKey,
  insecureBoot,
  insecureClient,
  keySwitchPlan,
} from '../rlwe/index.js';
import { NoiseForecast } from './noise.js';
import { measurePrecision } from './precision.js';

const params = createParameters(insecureClient(11, 5));
const toy = createToy(params, { rotations: [1] });
const { evaluator: ev } = toy;
const forecast = new NoiseForecast(params);
const level = params.freshLevel;
const slots = params.maxSlots;
const zeros = { re: new Float64Array(slots), im: null };

const vector = (seed: number) => ({
  re: Float64Array.from({ length: slots }, (_, i) => Math.sin(1e4 * Math.sin(i + seed))),
  im: Float64Array.from({ length: slots }, (_, i) => Math.cos(1e4 * Math.sin(i * 1.3 + seed))),
});

function rms(x: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i] * x[i];
  return Math.sqrt(sum / x.length);
}

/** A forecast is right within a factor of two, either way. */
function expectNear(measured: number, expected: number): void {
  expect(measured / expected).toBeGreaterThan(0.5);
  expect(measured / expected).toBeLessThan(2);
}

describe('noise', () => {
  it('of a fresh encryption', () => {
    expectNear(rms(toy.decryptor.decrypt(toy.encrypt(zeros))), forecast.fresh());
  });

  it('of a level drop', () => {
    for (const to of [level - 1, level - 3]) {
      const out = ev.toLevel(toy.encrypt(zeros), to);
      expectNear(rms(toy.decryptor.decrypt(out)), Math.hypot(forecast.fresh(), forecast.rescale()));
    }
  });

  it('of a rotation', () => {
    const { plan } = ev.keys.get({ kind: 'galois', galois: toy.context.galoisOfRotation(1) }, level);
    const out = ev.rotateNew(toy.encrypt(zeros), 1);
    expectNear(rms(toy.decryptor.decrypt(out)), Math.hypot(forecast.fresh(), forecast.rotation(level, plan)));
  });

  it.each([1, 16, slots])('of a plaintext product of period %i', (period) => {
    const a = vector(1);
    const full = vector(2);
    const plain = { re: full.re.slice(0, period), im: full.im.slice(0, period) };
    const out = ev.mulPlainNew(toy.encrypt(a), ev.encode(plain, level));
    const expected = { re: new Float64Array(slots), im: new Float64Array(slots) };
    for (let i = 0; i < slots; i++) {
      const [x, y] = [plain.re[i % period], plain.im[i % period]];
      expected.re[i] = a.re[i] * x - a.im[i] * y;
      expected.im[i] = a.re[i] * y + a.im[i] * x;
    }
    const modulus = (v: { re: Float64Array; im: Float64Array }) => Math.hypot(rms(v.re), rms(v.im));
    expectNear(
      measurePrecision(toy.decrypt(out), expected).all.rmsError,
      forecast.plainProduct(level, {
        slotStd: forecast.slotStd(forecast.fresh(), level),
        valueRms: modulus(a),
        plainRms: modulus(plain),
        period,
      }),
    );
  });

  it('of a ciphertext product', () => {
    const [a, b] = [vector(3), vector(4)];
    const out = ev.mulNew(toy.encrypt(a), toy.encrypt(b));
    const expected = {
      re: a.re.map((x, i) => x * b.re[i] - a.im[i] * b.im[i]),
      im: a.re.map((x, i) => x * b.im[i] + a.im[i] * b.re[i]),
    };
    const operand = (v: typeof a) => ({
      slotStd: forecast.slotStd(forecast.fresh(), level),
      valueRms: Math.hypot(rms(v.re), rms(v.im)),
    });
    expectNear(
      measurePrecision(toy.decrypt(out), expected).all.rmsError,
      forecast.product(level, operand(a), operand(b)),
    );
  });
});

describe('key-switching noise alone', () => {
  const boot = createParameters(insecureBoot(9));
  const bootToy = createToy(boot, { rotations: [] });
  const bootForecast = new NoiseForecast(boot);
  const { context, generator, decryptor } = bootToy;
  const { ring } = context;
  const { switcher } = bootToy.evaluator;

  it.each([
    [boot.levels.length - 1, boot.levels.length - 1],
    [boot.levels.length - 1, 9],
    [boot.freshLevel, boot.freshLevel],
    [boot.freshLevel, 2],
  ])('keys up to level %i, input at level %i', (maxLevel, at) => {
    const key = EvaluationKey.expand(context, generator.relinearisation(maxLevel));
    const basis = context.levelBasis(at);
    // An input d with d*s^2 + c = 0 exactly: what is left after the switch is the noise of the switch.
    using input = bootToy.encryptor.encryptNew(new Float64Array(boot.n), at);
    ring.uniform(input.c1, new Uint8Array(32).fill(at), 7, basis);
    const secret = bootToy.secret.table(context);
    context.mulTable(input.c0, input.c1, secret, basis);
    context.mulTable(input.c0, input.c0, secret, basis);
    using pair = switcher.switchNew(input.c1, basis, key);
    ring.neg(input.c0, input.c0, basis);
    switcher.addTimesP(pair.c0, input.c0, basis, key.plan);
    using noise = new Ciphertext(context, at, 1, pair.basis);
    ring.copy(noise.c0, pair.c0, pair.basis);
    ring.copy(noise.c1, pair.c1, pair.basis);
    const logP = context.logModulus(key.plan.special);
    const measured = rms(decryptor.decrypt(noise)) / 2 ** logP;
    expectNear(measured, bootForecast.keySwitch(at, key.plan));
    expect(bootForecast.keySwitch(at, key.plan)).toBeLessThan(bootForecast.rescale());
    key.release();
  });

  it('plans digits that leave a margin, on every level', () => {
    for (let maxLevel = 0; maxLevel < boot.levels.length; maxLevel++) {
      const plan = keySwitchPlan(boot, maxLevel);
      const logP = context.logModulus(plan.special);
      for (const digit of plan.digits) expect(logP - context.logModulus(digit)).toBeGreaterThanOrEqual(6);
      expect(plan.digits.flat().sort((a, b) => a - b)).toEqual(plan.basis);
      for (let l = 0; l <= maxLevel; l++)
        for (const i of boot.levels[l].basis) expect(plan.basis).toContain(i);
    }
  });
});
