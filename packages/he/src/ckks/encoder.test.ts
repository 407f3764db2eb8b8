import { describe, expect, it } from 'vitest';
import { primesBelow, selectBackend } from '../ring/index.js';
import { Encoder } from './encoder.js';
import { measurePrecision } from './precision.js';

/** The definition: slot j is m(zeta^(5^j)), zeta = exp(i pi / N). */
function evaluate(coefficients: Float64Array, slots: number): { re: Float64Array; im: Float64Array } {
  const n = coefficients.length;
  const out = { re: new Float64Array(slots), im: new Float64Array(slots) };
  for (let j = 0, power = 1; j < slots; j++, power = (5 * power) % (2 * n)) {
    for (let k = 0; k < n; k++) {
      const angle = (Math.PI * ((k * power) % (2 * n))) / n;
      out.re[j] += coefficients[k] * Math.cos(angle);
      out.im[j] += coefficients[k] * Math.sin(angle);
    }
  }
  return out;
}

const sample = (length: number) => ({
  re: Float64Array.from({ length }, (_, i) => Math.sin(3 * i + 1)),
  im: Float64Array.from({ length }, (_, i) => Math.cos(i * i)),
});

const encoderOf = (n: number) => {
  const logN = Math.log2(n);
  return new Encoder(
    selectBackend({ threads: 1 }).createRing({ logN, primes: primesBelow(2 ** 30, logN, 1) }),
  );
};

describe('encoder', () => {
  it.each([16, 64, 256, 1024])('puts the values at the powers of five, N = %i', (n) => {
    const encoder = encoderOf(n);
    for (let count = 1; count <= n / 2; count *= 2) {
      const values = sample(count);
      const slots = evaluate(encoder.embed(values, 1), n / 2);
      expect(measurePrecision(slots, values).all.worstError).toBeLessThan(1e-12);
    }
  });

  it('decodes what it encodes to the last places of a double', () => {
    const encoder = encoderOf(2 ** 16);
    for (const count of [1, 1024, 2 ** 15]) {
      const values = sample(count);
      const scale = 2 ** 45;
      const coefficients = encoder.embed(values, scale);
      expect(
        measurePrecision(encoder.project(coefficients, scale, count), values).all.worstError,
      ).toBeLessThan(2 ** -46);
      expect(measurePrecision(encoder.project(coefficients, scale), values).all.worstError).toBeLessThan(
        2 ** -46,
      );
    }
  });

  it('gives real vectors without an imaginary part', () => {
    const encoder = encoderOf(64);
    const { re } = sample(32);
    expect(encoder.embed({ re, im: null }, 1)).toEqual(encoder.embed({ re, im: new Float64Array(32) }, 1));
  });

  it('refuses what it cannot represent', () => {
    const encoder = encoderOf(64);
    const code = (code: string) => expect.objectContaining({ code });
    expect(() => encoder.embed({ re: new Float64Array(64), im: null }, 1)).toThrow(code('HE_SLOT_COUNT'));
    expect(() => encoder.embed({ re: new Float64Array(6), im: null }, 1)).toThrow(code('HE_SLOT_COUNT'));
    expect(() => encoder.embed({ re: new Float64Array(4), im: new Float64Array(2) }, 1)).toThrow(
      code('HE_SLOT_COUNT'),
    );
    expect(() => encoder.embed({ re: Float64Array.of(Infinity), im: null }, 1)).toThrow(
      code('HE_VALUE_NOT_FINITE'),
    );
    const late = new Float64Array(32).fill(1);
    for (const bad of [Number.NaN, -Infinity]) {
      late[31] = bad;
      expect(() => encoder.embed({ re: new Float64Array(32), im: late }, 1)).toThrow(
        code('HE_VALUE_NOT_FINITE'),
      );
    }
    expect(() => encoder.project(new Float64Array(64), 1, 3)).toThrow(code('HE_SLOT_COUNT'));
  });
});
