import fc from 'fast-check';
import { expect, it } from 'vitest';
import { centredDoubles, centredIntegers } from './crt.js';

const primes = [1073479681, 6684673, 1071513601, 27000833, 1070727169];

const rowsOf = (values: readonly bigint[], moduli: readonly number[]) =>
  moduli.map((q) => Uint32Array.from(values, (v) => Number(((v % BigInt(q)) + BigInt(q)) % BigInt(q))));

it('gives centred values back, whatever their size and sign', () => {
  for (let count = 1; count <= primes.length; count++) {
    const used = primes.slice(0, count);
    const half = (used.reduce((product, q) => product * BigInt(q), 1n) - 1n) / 2n;
    const value = fc.oneof(
      fc.bigInt({ min: -half, max: half }),
      fc.bigInt({ min: -1000n, max: 1000n }),
      fc.constantFrom(0n, half, -half, 1n - half),
    );
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 8 }), (values) => {
        const rows = rowsOf(values, used);
        expect(centredIntegers(rows, used)).toEqual(values);
        const doubles = centredDoubles(rows, used)!;
        values.forEach((v, i) => {
          expect(Math.abs(doubles[i] - Number(v))).toBeLessThanOrEqual(Math.abs(Number(v)) * 2 ** -50);
        });
      }),
    );
  }
});

it('notices a value that does not fit the leading primes', () => {
  const half = (BigInt(primes[0]) * BigInt(primes[1]) - 1n) / 2n;
  expect(centredDoubles(rowsOf([5n, -half, half], primes), primes, 2)).toEqual(
    Float64Array.of(5, Number(-half), Number(half)),
  );
  for (const outside of [half + 1n, -half - 1n, 10n ** 20n]) {
    expect(centredDoubles(rowsOf([5n, outside], primes), primes, 2)).toBeNull();
  }
});
