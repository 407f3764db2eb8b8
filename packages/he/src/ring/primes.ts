import { SottoError } from '@sotto/base';
import { mulMod, powMod } from './modular.js';

/** Every prime of a ring is below this, so that four times a residue fits a 32-bit word. */
export const PRIME_LIMIT = 2 ** 30;

/** Deterministic Miller-Rabin for x < 2^30 (bases 2, 3, 5, 7 suffice below 3,215,031,751; Jaeschke 1993). */
export function isPrime(x: number): boolean {
  if (!Number.isSafeInteger(x) || x < 2 || x >= PRIME_LIMIT) return false;
  for (const p of [2, 3, 5, 7, 11, 13]) if (x % p === 0) return x === p;
  let odd = x - 1;
  let twos = 0;
  while (odd % 2 === 0) {
    odd /= 2;
    twos++;
  }
  for (const base of [2, 3, 5, 7]) {
    let y = powMod(base, odd, x);
    if (y === 1 || y === x - 1) continue;
    let composite = true;
    for (let i = 1; i < twos && composite; i++) {
      y = mulMod(y, y, x);
      if (y === x - 1) composite = false;
    }
    if (composite) return false;
  }
  return true;
}

function exhausted(logN: number, near: number, count: number): SottoError {
  return new SottoError('There are not enough primes of this size for the ring degree.', {
    code: 'HE_PRIMES_EXHAUSTED',
    facts: { logN, near, count },
    fix: 'Ask for fewer primes, another size, or a smaller ring.',
  });
}

/** The `count` largest primes below `limit` (at most 2^30) that are 1 mod 2^(logN+1), descending, none of them in `skip`. */
export function primesBelow(
  limit: number,
  logN: number,
  count: number,
  skip: Iterable<number> = [],
): number[] {
  const step = 2 ** (logN + 1);
  const taken = new Set(skip);
  const found: number[] = [];
  for (
    let q = Math.floor((Math.min(limit, PRIME_LIMIT) - 2) / step) * step + 1;
    found.length < count;
    q -= step
  ) {
    if (q <= step) throw exhausted(logN, limit, count);
    if (!taken.has(q) && isPrime(q)) found.push(q);
  }
  return found;
}

/** The `count` primes 1 mod 2^(logN+1) nearest to `target`, below 2^30, nearest first, none of them in `skip`. */
export function primesNear(
  target: number,
  logN: number,
  count: number,
  skip: Iterable<number> = [],
): number[] {
  const step = 2 ** (logN + 1);
  const taken = new Set(skip);
  const found: number[] = [];
  let below = Math.floor((target - 1) / step) * step + 1;
  let above = below + step;
  while (found.length < count) {
    const lowIsNearer = below > step && (above >= PRIME_LIMIT || target - below <= above - target);
    const q = lowIsNearer ? below : above;
    if (q >= PRIME_LIMIT) throw exhausted(logN, target, count);
    if (lowIsNearer) below -= step;
    else above += step;
    if (!taken.has(q) && isPrime(q)) found.push(q);
  }
  return found;
}

/**
 * The root psi of unity of order exactly 2N modulo q that every backend uses: g^((q-1)/2N) for the smallest g >= 2 for
 * which that has full order.
 */
export function rootOfUnity(q: number, logN: number): number {
  const order = 2 ** (logN + 1);
  for (let g = 2; g < q; g++) {
    const root = powMod(g, (q - 1) / order, q);
    if (powMod(root, order / 2, q) === q - 1) return root;
  }
  throw new SottoError('The modulus has no root of unity of order 2N.', {
    code: 'HE_RING_PRIME',
    facts: { prime: q, logN },
    fix: 'Use primes that are 1 modulo 2N.',
  });
}
