import { describe, expect, it } from 'vitest';
import { createToy } from '../../test-support/toy.js';
import { createParameters, EvaluationKey, insecureBoot, insecureClient, RingContext } from '../rlwe/index.js';
import { measurePrecision } from './precision.js';

const params = createParameters(insecureClient(8, 4));
const toy = createToy(params, { rotations: [1, 2] });
const { evaluator: ev } = toy;
const top = params.freshLevel;
const values = { re: Float64Array.from({ length: params.maxSlots }, (_, i) => Math.sin(i)), im: null };
const code = (code: string) => expect.objectContaining({ code });

describe('ranges', () => {
  it('refuses constants, plaintexts and messages beyond the modulus', () => {
    using low = ev.toLevel(toy.encrypt(values), 0);
    expect(() => ev.addConstNew(low, 2 ** 12)).toThrow(code('HE_ENCODE_RANGE'));
    expect(() => ev.encodeForAdd({ re: Float64Array.of(2 ** 12), im: null }, 0)).toThrow(
      code('HE_ENCODE_RANGE'),
    );
    expect(() => ev.encode({ re: Float64Array.of(2 ** 30), im: null }, top)).toThrow(code('HE_ENCODE_RANGE'));
    expect(() => toy.encrypt({ re: Float64Array.of(2 ** 12), im: null }, 0)).toThrow(code('HE_ENCODE_RANGE'));
    expect(() => toy.encryptor.encryptNew(new Float64Array(8), top)).toThrow(code('HE_SHAPE'));
  });

  it('takes large values where they fit', () => {
    using x = toy.encrypt({ re: Float64Array.of(2 ** 15), im: null });
    using y = ev.addConstNew(x, 2 ** 16);
    expect(toy.decrypt(y).re[0]).toBeCloseTo(3 * 2 ** 15, 3);
  });
});

describe('products by hand', () => {
  it('sums products, scaled ciphertexts and constants before one relinearisation', () => {
    const [x, y] = [toy.encrypt(values), toy.encrypt({ re: values.re.map((v) => 0.5 - v), im: null })];
    const t = ev.tensorNew(x, y);
    ev.tensorAdd(t, y, y);
    ev.tensorDouble(t);
    ev.tensorAddScaled(t, x, -0.75);
    ev.tensorAddConst(t, 0.125, -2);
    const out = ev.relinRescaleNew(t);
    const expected = values.re.map((v) => 2 * (v * (0.5 - v) + (0.5 - v) ** 2) - 0.75 * v + 0.125);
    const got = measurePrecision(toy.decrypt(out), { re: expected, im: expected.map(() => -2) });
    expect(out.level).toBe(top - 1);
    expect(out.scale).toBe(params.levels[top - 1].scale);
    expect(got.all.minBits).toBeGreaterThan(24);
    t.release();
    expect(() => ev.relinRescaleNew(t)).toThrow(code('HE_USE_AFTER_RELEASE'));
  });

  it('relabels a scale, which multiplies the message', () => {
    const x = toy.encrypt(values);
    const relabelled = ev.relabelNew(x, x.scale / 4);
    expect(
      measurePrecision(toy.decrypt(relabelled), { re: values.re.map((v) => 4 * v), im: null }).all.minBits,
    ).toBeGreaterThan(24);
    expect(() => ev.addNew(x, relabelled)).toThrow(code('HE_SCALE_MISMATCH'));
  });

  it('writes into an operand', () => {
    const [x, y] = [toy.encrypt(values), toy.encrypt(values)];
    ev.add(x, y, x);
    ev.sub(x, y, y);
    expect(measurePrecision(toy.decrypt(y), values).all.minBits).toBeGreaterThan(24);
  });
});

describe('keys', () => {
  it('uses the smallest key that serves a level, and says which one is missing', () => {
    const small = EvaluationKey.expand(toy.context, toy.generator.rotation(7, 1));
    toy.keys.add(small);
    const x = toy.encrypt(values);
    const turned = ev.rotateNew(ev.toLevel(x, 1), 7);
    expect(
      measurePrecision(toy.decrypt(turned), {
        re: values.re.map((_, i) => Math.sin((i + 7) % 128)),
        im: null,
      }).all.minBits,
    ).toBeGreaterThan(23);
    expect(() => ev.rotateNew(x, 7)).toThrow(
      expect.objectContaining({
        code: 'HE_KEY_MISSING',
        facts: expect.objectContaining({ rotation: 7, level: top, highestLevelPresent: 1 }),
      }),
    );
    expect(toy.keys.find({ kind: 'relin' }, 0)?.maxLevel).toBe(top);
  });

  it('hoists rotations whose keys have different plans', () => {
    toy.keys.add(EvaluationKey.expand(toy.context, toy.generator.rotation(3, top, { digits: 6 })));
    const outs = ev.rotateManyNew(toy.encrypt(values), [1, 3, 2]);
    [1, 3, 2].forEach((k, i) => {
      const expected = values.re.map((_, j) => Math.sin((j + k) % 128));
      expect(measurePrecision(toy.decrypt(outs[i]), { re: expected, im: null }).all.minBits).toBeGreaterThan(
        23,
      );
    });
    const diagonals = new Map([1, 3].map((k) => [k, { re: Float64Array.of(1), im: null }] as const));
    expect(() => ev.compileTransform({ diagonals }, { level: top })).toThrow(code('HE_KEY_PLAN'));
  });

  it('refuses keys of another secret or ring', () => {
    const other = createToy(params);
    const foreign = EvaluationKey.expand(toy.context, other.generator.rotation(1, 1));
    expect(() => toy.keys.add(foreign)).toThrow(code('HE_KEY_SET_MIXED'));
    expect(() => toy.keys.add(EvaluationKey.expand(other.context, other.generator.rotation(1, 1)))).toThrow(
      code('HE_CONTEXT_MISMATCH'),
    );
    expect(() => ev.negNew(other.encrypt(values))).toThrow(code('HE_CONTEXT_MISMATCH'));
    expect(() => new RingContext(createParameters(insecureBoot(8)), toy.context.ring)).toThrow(
      code('HE_CONTEXT_MISMATCH'),
    );
    expect(() => toy.generator.make({ kind: 'sparseToDense' }, 0)).toThrow(code('HE_NO_BOOTSTRAP'));
  });
});

describe('bootstrapping levels', () => {
  const boot = createParameters(insecureBoot(8));
  const bootToy = createToy(boot, { keyLevel: boot.levels.length - 1 });

  it('refuses ciphertext products where they would land on a wrong scale', () => {
    const x = bootToy.encrypt(values, boot.bottomLevel);
    expect(() => bootToy.evaluator.squareNew(x)).toThrow(code('HE_LEVEL_KIND'));
  });

  it('comes down from every level to every lower one', () => {
    for (let from = boot.levels.length - 1; from > 0; from -= 3) {
      const x = bootToy.encrypt(values, from);
      for (let to = from; to >= 0; to -= 4) {
        using y = bootToy.evaluator.toLevel(x, to);
        expect(y.scale).toBe(boot.levels[to].scale);
        expect(measurePrecision(bootToy.decrypt(y), values).all.minBits).toBeGreaterThan(21);
      }
    }
  });

  it('multiplies on EvalMod levels and lands where the parameters say', () => {
    const { residualTop, evalModOutputScale } = boot.bootstrap!;
    const x = bootToy.encrypt(values, residualTop + 1);
    const square = bootToy.evaluator.squareNew(x);
    expect(square.scale / evalModOutputScale).toBeCloseTo(1, 12);
    expect(
      measurePrecision(bootToy.decrypt(square), { re: values.re.map((v) => v * v), im: null }).all.minBits,
    ).toBeGreaterThan(24);
  });
});
