import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bitReverse, roundTiesToEven } from './bits.js';
import { ChaCha20 } from './chacha20.js';
import { invMod, mulMod, powMod } from './modular.js';
import { isPrime, primesBelow, primesNear, rootOfUnity } from './primes.js';

describe('modular arithmetic', () => {
  it('equals big-integer arithmetic', () => {
    const modulus = fc.integer({ min: 2, max: 2 ** 30 - 1 });
    fc.assert(
      fc.property(modulus, fc.nat(), fc.nat(), (q, a, b) => {
        const [x, y] = [a % q, b % q];
        expect(mulMod(x, y, q)).toBe(Number((BigInt(x) * BigInt(y)) % BigInt(q)));
        expect(mulMod(q - 1, q - 1, q)).toBe(1 % q);
      }),
      { numRuns: 2000 },
    );
  });
  it('inverts', () => {
    const [q] = primesBelow(2 ** 30, 10, 1) as [number];
    for (const a of [1, 2, q - 1, 123456789]) expect(mulMod(invMod(a, q), a, q)).toBe(1);
  });
});

describe('primes', () => {
  it('agree with trial division', () => {
    const slow = (x: number) => {
      for (let d = 2; d * d <= x; d++) if (x % d === 0) return false;
      return x > 1;
    };
    for (let x = 0; x < 3000; x++) expect(isPrime(x), String(x)).toBe(slow(x));
    // Carmichael numbers and strong pseudoprimes to base 2.
    for (const x of [561, 1105, 2047, 3277, 29341, 25326001, 2 ** 30]) expect(isPrime(x)).toBe(false);
    expect(isPrime(2 ** 30 - 35)).toBe(true);
  });
  it('are 1 mod 2N, ordered, and not repeated', () => {
    const below = primesBelow(2 ** 30, 16, 40);
    const near = primesNear(2 ** 20, 10, 20);
    expect([...below].sort((a, b) => b - a)).toEqual(below);
    const distances = near.map((q) => Math.abs(q - 2 ** 20));
    expect([...distances].sort((a, b) => a - b)).toEqual(distances);
    expect(new Set([...below, ...near]).size).toBe(60);
    for (const q of below) expect(isPrime(q) && (q - 1) % 2 ** 17 === 0).toBe(true);
    for (const q of near) expect(isPrime(q) && (q - 1) % 2 ** 11 === 0).toBe(true);
    expect(primesBelow(2 ** 30, 16, 1, below)[0]).toBeLessThan(below[39]!);
  });
  it('run out with a typed error', () => {
    expect(() => primesBelow(2 ** 18, 16, 5)).toThrow('HE_PRIMES_EXHAUSTED');
    expect(() => primesNear(2 ** 29, 16, 20000)).toThrow('HE_PRIMES_EXHAUSTED');
  });
  it('have a root of order exactly 2N', () => {
    for (const q of primesNear(2 ** 25, 12, 3)) {
      const root = rootOfUnity(q, 12);
      expect(powMod(root, 2 ** 12, q)).toBe(q - 1);
    }
  });
});

describe('ChaCha20', () => {
  it('gives the block of RFC 8439, section 2.3.2', () => {
    const key = Uint8Array.from({ length: 32 }, (_, i) => i);
    const stream = new ChaCha20(key, [0x09000000, 0x4a000000, 0]);
    const blocks = stream.fill(new Uint32Array(32));
    expect([...blocks.subarray(16)].map((word) => word.toString(16).padStart(8, '0')).join(' ')).toBe(
      'e4e7f110 15593bd1 1fdd0f50 c47120a3 c7f4d1c7 0368c033 9aaa2204 4e6cd4c3 ' +
        '466482d2 09aa9f07 05d7c214 a2028bd9 d19c12b5 b94e16de e883d0cb 4e3c50a2',
    );
  });
});

describe('bits', () => {
  it('reverse', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.nat(), (bits, x) => {
        const word = x % 2 ** bits;
        const text = word.toString(2).padStart(bits, '0');
        expect(bitReverse(word, bits)).toBe(Number.parseInt([...text].reverse().join(''), 2));
      }),
    );
  });
  it('round halves to even', () => {
    const cases = [0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 2.4, 2.6, -2.6, 2 ** 53 + 2];
    expect(cases.map((x) => roundTiesToEven(x) + 0)).toEqual([0, 2, 2, 0, -2, -2, 2, 3, -3, 2 ** 53 + 2]);
  });
});
