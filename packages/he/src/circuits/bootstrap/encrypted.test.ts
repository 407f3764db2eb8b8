import { describe, expect, it } from 'vitest';
import { CkksEvaluator, Plaintext } from '../../ckks/index.js';
import { selectBackend } from '../../ring/index.js';
import {
  type Ciphertext,
  createParameters,
  EvaluationKey,
  EvaluationKeySet,
  insecureBoot,
  RingContext,
} from '../../rlwe/index.js';
import { Decryptor, Encryptor, KeyGenerator, SecretKey } from '../../secret/index.js';
import { applyMatrix } from '../linear/index.js';
import { bitReverse, decodingFactors } from './dft.js';
import { Diagonal } from './diagonal.js';
import {
  type BootstrapOptions,
  Bootstrapper,
  BootstrapRefresher,
  bootstrapKeyList,
  coeffsToSlotsNew,
  evalModNew,
  raiseModulusNew,
  slotsToCoeffsNew,
} from './index.js';

interface Values {
  re: Float64Array;
  im: Float64Array;
}

const params = createParameters(insecureBoot(10));
const all = params.maxSlots;
const context = new RingContext(
  params,
  selectBackend().createRing({ logN: params.logN, primes: params.primes }),
);
const secret = SecretKey.generate(params);
const generator = new KeyGenerator(context, secret);
const encryptor = new Encryptor(context, secret);
const decryptor = new Decryptor(context, secret);
const keys = new EvaluationKeySet(context);
const ev = new CkksEvaluator(context, keys);

function bootstrapper(options: BootstrapOptions): Bootstrapper {
  for (const { id, maxLevel } of bootstrapKeyList(params, options)) {
    if (keys.find(id, maxLevel)?.maxLevel === maxLevel) continue;
    keys.add(EvaluationKey.expand(context, generator.make(id, maxLevel)));
  }
  return new Bootstrapper(ev, options);
}

const encrypt = (v: { re: Float64Array; im: Float64Array | null }, level: number): Ciphertext =>
  encryptor.encryptNew(ev.encoder.embed(v, ev.scaleAt(level)), level);
const decrypt = (c: Ciphertext): Values => ev.encoder.project(decryptor.decrypt(c), c.scale);

function sequence(length: number, seed: number): Values {
  const at = (i: number, phase: number) => Math.sin(seed + 1.7 * i * i + phase * i);
  return {
    re: Float64Array.from({ length }, (_, i) => at(i, 0.3)),
    im: Float64Array.from({ length }, (_, i) => at(i, 2.1)),
  };
}

/** Bits of the rms and of the largest error of a component. */
function bits(got: Values, want: { re: Float64Array; im: Float64Array | null }) {
  let sum = 0;
  let worst = 0;
  got.re.forEach((v, i) => {
    const j = i % want.re.length;
    for (const e of [v - want.re[j], got.im[i] - (want.im?.[j] ?? 0)]) {
      sum += e * e;
      worst = Math.max(worst, Math.abs(e));
    }
  });
  return { rms: -Math.log2(Math.sqrt(sum / (2 * got.re.length))), worst: -Math.log2(worst) };
}

describe('stages on ciphertexts', () => {
  const boot = bootstrapper({});
  const { plan, compiled } = boot;
  const logSlots = Math.log2(all);
  const modulo = (i: number) => ((i % all) + all) % all;
  const z = sequence(all, 1);
  const low = slotsToCoeffsNew(ev, encrypt(z, plan.levels.bottomLevel), compiled);
  const raised = raiseModulusNew(ev, low, plan);
  const modulus = params.levels[0].basis.reduce((q, i) => q * BigInt(params.primes[i]), 1n);
  /** Phase of the raised ciphertext split in q0*I and the message. */
  const phase = decryptor.decryptCoefficients(raised);
  const integers = phase.map(
    (c) => Number((2n * c + modulus) / (2n * modulus)) - (2n * c < -modulus ? 1 : 0),
  );
  const message = phase.map((c, i) => Number(c - BigInt(integers[i]) * modulus) / low.scale);

  it('SlotsToCoeffs puts the slots in the coefficients, bit-reversed', () => {
    expect(low.level).toBe(0);
    const coefficients = decryptor.decrypt(low).map((c) => c / low.scale);
    const order = Array.from({ length: all }, (_, k) => modulo(bitReverse(k, logSlots) + plan.innerRotation));
    const got = { re: coefficients.slice(0, all), im: coefficients.slice(all) };
    const want = {
      re: Float64Array.from(order, (w) => z.re[w]),
      im: Float64Array.from(order, (w) => z.im[w]),
    };
    expect(bits(got, want).rms).toBeGreaterThan(24);
  });

  it('raising adds small multiples of q0 and nothing else', () => {
    const largest = Math.max(...integers.map(Math.abs));
    expect(largest).toBeGreaterThan(2);
    expect(largest).toBeLessThanOrEqual(16);
    const variance = integers.reduce((sum, k) => sum + k * k, 0) / integers.length;
    expect(Math.sqrt(variance)).toBeGreaterThan(1.5);
    expect(Math.sqrt(variance)).toBeLessThan(1.85);
    const before = decryptor.decrypt(low).map((c) => c / low.scale);
    const worst = before.reduce((m, c, i) => Math.max(m, Math.abs(c - message[i])), 0);
    expect(-Math.log2(worst)).toBeGreaterThan(30);
  });

  it('CoeffsToSlots brings both halves to the slots', () => {
    const [re, im] = coeffsToSlotsNew(ev, raised, compiled);
    expect(re.level).toBe(plan.levels.evalModTop);
    const order = Array.from({ length: all }, (_, k) => bitReverse(modulo(k - plan.innerRotation), logSlots));
    const scaled = (c: bigint) => Number(c) / Number(modulus) / plan.levels.range;
    for (const [half, offset] of [
      [re, 0],
      [im, all],
    ] as const) {
      const want = Float64Array.from(order, (w) => scaled(phase[w + offset]));
      expect(bits(decrypt(half), { re: want, im: null }).rms).toBeGreaterThan(38);
    }
  });

  it('EvalMod returns the message for every integer', () => {
    const value = (i: number) => Math.cos(3 * i);
    const t = Float64Array.from(
      { length: all },
      (_, i) => ((i % 31) - 15 + value(i) / 2 ** plan.levels.logMessageRatio) / plan.levels.range,
    );
    const out = evalModNew(ev, encrypt({ re: t, im: null }, plan.levels.evalModTop), plan.evalMod, (c) =>
      ev.relabelNew(c, ev.scaleAt(c.level)),
    );
    expect(out.level).toBe(params.freshLevel);
    const got = decrypt(out);
    const common = (i: number) => Math.abs((i % 31) - 15) <= 10;
    const want = got.re.map((v, i) => (common(i) ? value(i) : v));
    expect(bits(got, { re: want, im: null }).worst).toBeGreaterThan(20);
    const rare = got.re.map((v, i) => Math.abs(v - value(i)));
    expect(-Math.log2(Math.max(...rare))).toBeGreaterThan(15);
  });

  it('are what a refresh is made of, for all kinds of data', () => {
    const kinds: Record<string, Values> = {
      random: z,
      constant: { re: new Float64Array(all).fill(0.75), im: new Float64Array(all).fill(-0.5) },
      'one-hot': { re: new Float64Array(all), im: new Float64Array(all) },
      zeros: { re: new Float64Array(all), im: new Float64Array(all) },
    };
    kinds['one-hot'].re[37] = 1;
    for (const [kind, values] of Object.entries(kinds)) {
      const out = ev.scope(() => boot.refreshNew(encrypt(values, 5)));
      expect(out.level).toBe(boot.outputLevel);
      const result = bits(decrypt(out), values);
      expect(result.rms, kind).toBeGreaterThan(20);
      expect(result.worst, kind).toBeGreaterThan(18);
      out.release();
    }
  });
});

describe('Bootstrapper', () => {
  it.each([{ slots: 256 }, { slots: 32 }, { slots: all, realOnly: true }, { slots: 64, realOnly: true }])(
    'refreshes %o',
    async (options) => {
      const boot = bootstrapper(options);
      const z = sequence(options.slots, 2);
      const values = options.realOnly ? { re: z.re, im: null } : z;
      const out = await boot.refresh(encrypt(values, boot.inputLevel));
      const result = bits(decrypt(out), values);
      expect(result.rms).toBeGreaterThan(20);
      expect(result.worst).toBeGreaterThan(17.5);
      out.release();
      boot.release();
    },
  );

  it('chooses by the shape of the slots and shares keys between bootstrappings', async () => {
    const full = { babySteps: 8, coeffsToSlotsRadices: [3, 2, 2, 2] };
    const aligned = { coeffsToSlotsRadices: [2, 2], slotsToCoeffsRadices: [2, 2], traceRadices: [2, 3] };
    const sparse = { slots: 16, realOnly: true, babySteps: 8, ...aligned };
    const list = bootstrapKeyList(params, [full, sparse]);
    const alone = bootstrapKeyList(params, full);
    expect(list.length).toBeLessThanOrEqual(alone.length + 8);
    const own = new EvaluationKeySet(context);
    for (const { id, maxLevel } of list) own.add(EvaluationKey.expand(context, generator.make(id, maxLevel)));
    const refresher = new BootstrapRefresher(new CkksEvaluator(context, own), [full, sparse]);
    const [wide, narrow] = refresher.bootstrappers;
    for (const [period, served] of [
      [16, narrow],
      [8, narrow],
      [64, wide],
    ] as const) {
      const { re } = sequence(period, 3);
      const before = served.count;
      const out = await refresher.refresh(encrypt({ re, im: null }, 4), { period, real: true });
      expect(served.count).toBe(before + 1);
      expect(bits(decrypt(out), { re, im: null }).rms).toBeGreaterThan(20);
      out.release();
    }
    const values = sequence(16, 3);
    const complex = encrypt(values, 4);
    const whole = await refresher.refresh(complex, { period: 16 });
    expect(bits(decrypt(whole), values).rms).toBeGreaterThan(20);
    await expect(narrow.refresh(complex, { period: 16 })).rejects.toThrow(/HE_REFRESH_SHAPE/);
    await expect(narrow.refresh(complex, { period: 32, real: true })).rejects.toThrow(/HE_REFRESH_SHAPE/);
    expect([wide.count, narrow.count, refresher.count]).toEqual([2, 2, 4]);
    const none = new BootstrapRefresher(new CkksEvaluator(context, own), [sparse]);
    await expect(none.refresh(complex)).rejects.toThrow(/HE_REFRESH_SHAPE/);
    none.release();
    refresher.release();
    own.release();
  });

  it('keeps each run of equal words of a diagonal once', () => {
    const level = 3;
    const basis = context.levelBasis(level);
    const target = { level, scale: context.level(level).plainScale, basis };
    for (const [period, run] of [
      [all, 1],
      [all / 8, 1],
      [all / 16, 16],
      [4, params.n / 8],
      [1, params.n / 2],
    ]) {
      const diagonal = new Diagonal(ev, sequence(period, 5), target);
      expect(diagonal.run).toBe(run);
      expect(diagonal.sizeBytes).toBe(Math.ceil(basis.size / run) * context.rowBytes);
      const form = { ...target, purpose: 'product', form: 'rows' } as const;
      const plain = new Plaintext(context, ev.encoder, sequence(period, 5), form);
      const words = context.ring.read(plain.load().at, basis.size * params.n);
      const once = context.ring.read(diagonal.at, words.length / run);
      expect(words.every((word, i) => word === once[Math.floor(i / run)])).toBe(true);
      plain.release();
      diagonal.release();
    }
  });

  it('does not drift over three refreshes and frees what it uses', async () => {
    const boot = bootstrapper({ slots: 32 });
    const z = sequence(32, 4);
    let c = encrypt(z, 4);
    const before = context.ring.memory().liveBytes;
    for (let i = 0; i < 3; i++) {
      const next = await boot.refresh(c);
      c.release();
      c = ev.toLevel(next, 4);
      next.release();
    }
    expect(context.ring.memory().liveBytes).toBeLessThanOrEqual(before + 2 ** 16);
    expect(boot.count).toBe(3);
    const scaled = decrypt(c);
    expect(bits(scaled, z).rms).toBeGreaterThan(19);
    // The sine shrinks by 2^-21 a refresh; anything more would be a wrong scale.
    let dot = 0;
    let norm = 0;
    scaled.re.forEach((v, i) => {
      dot += v * z.re[i % 32];
      norm += z.re[i % 32] ** 2;
    });
    expect(Math.abs(dot / norm - 1)).toBeLessThan(2 ** -19);
  });

  it('follows the sine beyond its range', async () => {
    const boot = bootstrapper({ slots: 32 });
    const unit = 2 ** boot.plan.levels.logMessageRatio / (2 * Math.PI);
    for (const [size, least] of [
      [4, 17],
      [16, 15],
    ]) {
      const z = sequence(32, 7);
      const values = { re: z.re.map((v) => size * v), im: z.im.map((v) => size * v) };
      const sine = (v: Float64Array) => v.map((x) => unit * Math.sin(x / unit));
      const out = await boot.refresh(encrypt(values, boot.inputLevel));
      const want = { re: sine(values.re), im: sine(values.im) };
      expect(bits(decrypt(out), want).rms, `magnitude ${size}`).toBeGreaterThan(least);
      // The sine is what limits such values: 4^3 (2 pi / 2^12)^2 / 6 = 2^-15.
      expect(bits(decrypt(out), values).worst).toBeGreaterThan(19.9 - 3 * Math.log2(size));
      out.release();
    }
  });

  it('has errors without bias or outliers over many refreshes', async () => {
    const boot = bootstrapper({});
    const rounds = 16;
    let sum = 0;
    let squares = 0;
    let worst = 0;
    for (let round = 0; round < rounds; round++) {
      const z = sequence(all, 100 + round);
      const input = encrypt(z, boot.inputLevel);
      const out = boot.refreshNew(input);
      const got = decrypt(out);
      for (let i = 0; i < all; i++) {
        for (const e of [got.re[i] - z.re[i], got.im[i] - z.im[i]]) {
          sum += e;
          squares += e * e;
          worst = Math.max(worst, Math.abs(e));
        }
      }
      input.release();
      out.release();
    }
    const count = 2 * all * rounds;
    const rms = Math.sqrt(squares / count);
    expect(-Math.log2(rms)).toBeGreaterThan(21);
    expect(Math.abs(sum / count)).toBeLessThan((5 * rms) / Math.sqrt(count));
    expect(worst).toBeLessThan(2 ** -17);
    boot.release();
  });

  it('refuses a ciphertext below its input level, and missing keys', async () => {
    const boot = bootstrapper({ slots: 32 });
    await expect(boot.refresh(encrypt(sequence(32, 1), 2))).rejects.toThrow(/HE_LEVEL_EXHAUSTED/);
    const bare = new CkksEvaluator(context, new EvaluationKeySet(context));
    expect(() => new Bootstrapper(bare, { slots: 32 })).toThrow(/HE_KEY_MISSING/);
    expect(() => bootstrapKeyList(params, { slots: 48 })).toThrow(/HE_SLOT_COUNT/);
  });

  it('uses the same order of slots as the encoder', () => {
    const z = sequence(all, 9);
    const decoded = decodingFactors(all, [5, 4]).reduce((x, m) => applyMatrix(m, x, all), z);
    const order = Array.from({ length: all }, (_, k) => bitReverse(k, Math.log2(all)));
    const coefficients = Float64Array.from({ length: 2 * all }, (_, i) =>
      i < all ? z.re[order[i]] : z.im[order[i - all]],
    );
    expect(bits(ev.encoder.project(coefficients, 1), decoded).worst).toBeGreaterThan(40);
  });
});
