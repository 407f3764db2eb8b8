import { describe, expect, it } from 'vitest';
import { CkksEvaluator } from '../../ckks/index.js';
import { type Backend, createWasmBackend, selectBackend } from '../../ring/index.js';
import {
  type Ciphertext,
  createParameters,
  EvaluationKey,
  EvaluationKeySet,
  N16_BOOT,
  RingContext,
} from '../../rlwe/index.js';
import { Decryptor, Encryptor, KeyGenerator, SecretKey } from '../../secret/index.js';
import { type BootstrapOptions, Bootstrapper, bootstrapKeyList } from './index.js';

interface Values {
  re: Float64Array;
  im: Float64Array;
}

const params = createParameters(N16_BOOT);

function setUp(options: BootstrapOptions, backend: Backend = selectBackend()) {
  const context = new RingContext(params, backend.createRing({ logN: params.logN, primes: params.primes }));
  const secret = SecretKey.generate(params);
  const generator = new KeyGenerator(context, secret);
  const keys = new EvaluationKeySet(context);
  for (const { id, maxLevel } of bootstrapKeyList(params, options)) {
    keys.add(EvaluationKey.expand(context, generator.make(id, maxLevel)));
  }
  const ev = new CkksEvaluator(context, keys);
  const encryptor = new Encryptor(context, secret);
  const decryptor = new Decryptor(context, secret);
  return {
    context,
    ev,
    boot: new Bootstrapper(ev, options),
    encrypt: (v: Values, level: number) =>
      encryptor.encryptNew(ev.encoder.embed(v, ev.scaleAt(level)), level),
    decrypt: (c: Ciphertext): Values => ev.encoder.project(decryptor.decrypt(c), c.scale),
  };
}

function uniform(length: number, seed: number): Values {
  let state = seed;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 31 - 1;
  };
  return { re: Float64Array.from({ length }, next), im: Float64Array.from({ length }, next) };
}

/** Bits of the rms and of the largest error of a component; and the mean error in standard errors. */
function statistics(got: Values, want: Values) {
  let sum = 0;
  let worst = 0;
  let total = 0;
  got.re.forEach((v, i) => {
    const j = i % want.re.length;
    for (const e of [v - want.re[j], got.im[i] - want.im[j]]) {
      sum += e * e;
      total += e;
      worst = Math.max(worst, Math.abs(e));
    }
  });
  const count = 2 * got.re.length;
  const rms = Math.sqrt(sum / count);
  return {
    rms: -Math.log2(rms),
    worst: -Math.log2(worst),
    bias: Math.abs(total / count) / (rms / Math.sqrt(count)),
  };
}

describe('bootstrapping at 128 bits of security', () => {
  it('uses parameters that are secure', () => {
    expect(params.security.bits).toBeGreaterThanOrEqual(128);
    expect(params.logN).toBe(16);
  });

  it('all slots: precision independent of the data, no drift', () => {
    const { boot, context, decrypt, encrypt, ev } = setUp({});
    const all = params.maxSlots;
    const kinds: Record<string, Values> = {
      uniform: uniform(all, 11),
      constant: { re: new Float64Array(all).fill(1), im: new Float64Array(all).fill(-1) },
      'one-hot': { re: new Float64Array(all), im: new Float64Array(all) },
      zeros: { re: new Float64Array(all), im: new Float64Array(all) },
    };
    kinds['one-hot'].re[12345] = 1;
    for (const [kind, values] of Object.entries(kinds)) {
      const out = ev.scope(() => boot.refreshNew(encrypt(values, boot.inputLevel)));
      expect(out.level).toBe(params.freshLevel);
      const { rms, worst, bias } = statistics(decrypt(out), values);
      console.log(`${kind}: ${rms.toFixed(2)} bits rms, ${worst.toFixed(2)} worst`);
      // A constant of 1 meets the sine at its largest error, 2^-21.3, everywhere.
      expect(rms, kind).toBeGreaterThan(kind === 'constant' ? 20 : 20.8);
      expect(worst, kind).toBeGreaterThan(17.5);
      if (kind === 'zeros') expect(bias).toBeLessThan(8);
      out.release();
    }
    const { uniform: values } = kinds;
    let c = encrypt(values, params.freshLevel);
    for (let round = 1; round <= 3; round++) {
      const low = ev.toLevel(c, boot.inputLevel);
      c.release();
      c = boot.refreshNew(low);
      low.release();
      const { rms } = statistics(decrypt(c), values);
      console.log(`refresh ${round} in a row: ${rms.toFixed(2)} bits rms`);
      expect(rms).toBeGreaterThan(21 - Math.log2(round));
    }
    context.ring.dispose();
  });

  it('runs in WebAssembly', () => {
    const { boot, context, decrypt, encrypt } = setUp({}, createWasmBackend());
    const values = uniform(params.maxSlots, 17);
    const { rms, worst } = statistics(decrypt(boot.refreshNew(encrypt(values, boot.inputLevel))), values);
    expect(rms).toBeGreaterThan(20.8);
    expect(worst).toBeGreaterThan(17.5);
    context.ring.dispose();
  });

  it.each([{ slots: 2 ** 14 }, { slots: 2 ** 11 }, { slots: 2 ** 10, realOnly: true }])(
    'fewer slots: %o',
    (options) => {
      const { boot, context, decrypt, encrypt } = setUp(options);
      const values = uniform(options.slots, 5);
      if (options.realOnly) values.im.fill(0);
      const startMs = performance.now();
      const out = boot.refreshNew(encrypt(values, boot.inputLevel));
      const tookMs = performance.now() - startMs;
      const { rms, worst } = statistics(decrypt(out), values);
      console.log(`${tookMs.toFixed(0)} ms: ${rms.toFixed(2)} bits rms, ${worst.toFixed(2)} worst`);
      expect(rms).toBeGreaterThan(20.5);
      expect(worst).toBeGreaterThan(17.5);
      context.ring.dispose();
    },
  );
});
