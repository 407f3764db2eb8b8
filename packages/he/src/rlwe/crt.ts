import { invMod, mulMod } from '../ring/modular.js';

/**
 * Centred integers from residues, as doubles (relative error 2^-52), by a balanced mixed-radix expansion (Garner): digits lie in
 * (-q/2, q/2), so their sum needs no subtraction of the modulus and small values lose nothing.
 *
 * @param rows one array of n residues a prime.
 * @param used how many leading rows determine the value; the others only check it.
 * @returns the values, or null when a checking row disagrees: then the value does not fit the leading rows.
 */
export function centredDoubles(
  rows: readonly Uint32Array[],
  primes: readonly number[],
  used: number = rows.length,
): Float64Array | null {
  const n = rows[0].length;
  const out = new Float64Array(n);
  const inverses = Array.from({ length: used }, (_, j) =>
    primes.slice(0, j).map((p) => invMod(p % primes[j], primes[j])),
  );
  const checks = rows.slice(used).map((row, c) => {
    const prime = primes[used + c];
    const radix = new Array<number>(used);
    for (let j = 0, product = 1; j < used; j++) {
      radix[j] = product;
      product = mulMod(product, primes[j] % prime, prime);
    }
    return { row, prime, radix };
  });
  const digits = new Float64Array(used);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < used; j++) {
      const prime = primes[j];
      let x = rows[j][i];
      for (let k = 0; k < j; k++) {
        let difference = (x - digits[k]) % prime;
        if (difference < 0) difference += prime;
        x = mulMod(difference, inverses[j][k], prime);
      }
      digits[j] = 2 * x > prime ? x - prime : x;
    }
    for (const { row, prime, radix } of checks) {
      let sum = 0;
      for (let j = 0; j < used; j++) {
        let digit = digits[j] % prime;
        if (digit < 0) digit += prime;
        sum += mulMod(digit, radix[j], prime);
      }
      if (sum % prime !== row[i]) return null;
    }
    let value = digits[used - 1];
    for (let j = used - 2; j >= 0; j--) value = value * primes[j] + digits[j];
    out[i] = value;
  }
  return out;
}

/** As {@link centredDoubles}, exactly, in BigInt: for tests and references. */
export function centredIntegers(rows: readonly Uint32Array[], primes: readonly number[]): bigint[] {
  const moduli = primes.map(BigInt);
  const modulus = moduli.reduce((product, q) => product * q, 1n);
  const basis = moduli.map((q, j) => {
    const rest = modulus / q;
    return rest * BigInt(invMod(Number(rest % q), primes[j]));
  });
  return Array.from({ length: rows[0].length }, (_, i) => {
    let value = 0n;
    for (let j = 0; j < rows.length; j++) value += basis[j] * BigInt(rows[j][i]);
    value %= modulus;
    return 2n * value > modulus ? value - modulus : value;
  });
}
