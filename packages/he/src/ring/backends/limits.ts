import { SottoError } from '@sotto/base';
import type { RingOptions } from '../backend.js';
import { isPrime } from '../primes.js';

export const MIN_LOG_N = 4;
export const MAX_LOG_N = 17;
export const MAX_PRIMES = 512;
/** Source primes of {@link Ring.extend}. */
export const MAX_EXTEND_PRIMES = 16;
/** Primes divided out by {@link Ring.divideRound}. */
export const MAX_DIVIDE_PRIMES = 24;
/** Terms of {@link Ring.mulSum} that contain its output. */
export const MAX_OUTPUT_TERMS = 16;
/** Polynomials of {@link Ring.divideRoundMany}. */
export const MAX_POLYNOMIALS = 16;
/** Digits of {@link Ring.innerProduct}. */
export const MAX_DIGITS = 15;

/** Throws an error of the ring's arguments. */
export function fail(
  short: string,
  code: string,
  facts: Record<string, number | string | null>,
  fix?: string,
): never {
  throw new SottoError(short, { code, facts, ...(fix === undefined ? {} : { fix }) });
}

/** Checks degree and primes. @throws HE_RING_DEGREE, HE_RING_PRIME */
export function checkRingOptions({ logN, primes }: RingOptions): void {
  if (!Number.isInteger(logN) || logN < MIN_LOG_N || logN > MAX_LOG_N) {
    fail('The ring degree is not supported.', 'HE_RING_DEGREE', { logN, least: MIN_LOG_N, most: MAX_LOG_N });
  }
  if (primes.length < 1 || primes.length > MAX_PRIMES) {
    fail('The number of primes is not supported.', 'HE_RING_PRIME', {
      count: primes.length,
      most: MAX_PRIMES,
    });
  }
  const seen = new Set<number>();
  for (const prime of primes) {
    if (!isPrime(prime) || (prime - 1) % 2 ** (logN + 1) !== 0 || seen.has(prime)) {
      const fix = 'Use distinct primes below 2^30 that are 1 modulo 2N.';
      fail('A modulus of the ring is not usable.', 'HE_RING_PRIME', { prime, logN }, fix);
    }
    seen.add(prime);
  }
}
