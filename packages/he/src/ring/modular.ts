/**
 * a*b mod q for a, b < q < 2^30, without BigInt: the quotient is estimated in doubles (off by at most one) and the
 * remainder is taken from the low 32 bits of both products.
 */
export function mulMod(a: number, b: number, q: number): number {
  const quotient = Math.floor((a * b) / q);
  const remainder = (Math.imul(a, b) - Math.imul(quotient, q)) | 0;
  if (remainder < 0) return remainder + q;
  return remainder >= q ? remainder - q : remainder;
}

/** base^exponent mod q; base < q < 2^30, exponent a non-negative safe integer. */
export function powMod(base: number, exponent: number, q: number): number {
  let result = 1 % q;
  let square = base;
  for (let rest = exponent; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result = mulMod(result, square, q);
    square = mulMod(square, square, q);
  }
  return result;
}

/** The inverse of a modulo the prime q; a not 0 modulo q. */
export function invMod(a: number, q: number): number {
  return powMod(a % q, q - 2, q);
}
