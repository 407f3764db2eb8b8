import { SottoError } from '@sotto/base';

/** A positive rational number; not necessarily reduced. */
export interface Ratio {
  readonly numerator: bigint;
  readonly denominator: bigint;
}

export function gcd(a: bigint, b: bigint): bigint {
  while (b !== 0n) [a, b] = [b, a % b];
  return a < 0n ? -a : a;
}

export function reduced(numerator: bigint, denominator: bigint): Ratio {
  const divisor = gcd(numerator, denominator);
  return { numerator: numerator / divisor, denominator: denominator / divisor };
}

/** Sign of x - y. */
export function compareRatios(x: Ratio, y: Ratio): number {
  const difference = x.numerator * y.denominator - y.numerator * x.denominator;
  return difference > 0n ? 1 : difference < 0n ? -1 : 0;
}

/** Reads a decimal such as `0.5` exactly. @throws `EPSILON_INVALID` unless it is a positive decimal of at most 20. */
export function parseEpsilon(text: string): Ratio {
  const match = /^(\d{1,2})(?:\.(\d{1,9}))?$/.exec(text);
  const fraction = match?.[2] ?? '';
  const denominator = 10n ** BigInt(fraction.length);
  const numerator = match ? BigInt(match[1]! + fraction) : 0n;
  if (numerator <= 0n || numerator > 20n * denominator) {
    throw new SottoError('Epsilon must be a decimal above 0 and at most 20.', {
      code: 'EPSILON_INVALID',
      fix: 'Give for example 0.5, 1 or 3.',
    });
  }
  return reduced(numerator, denominator);
}

/** A rational r with r <= e^epsilon and e^epsilon - r < 2^-64: partial sum of the series, every term rounded down. */
export function expLowerBound(epsilon: Ratio): Ratio {
  const one = 1n << 128n;
  let term = one;
  let sum = one;
  for (let n = 1n; term > 0n; n++) {
    term = (term * epsilon.numerator) / (epsilon.denominator * n);
    sum += term;
  }
  return { numerator: sum, denominator: one };
}

/**
 * The largest a/b not above `bound` with b <= `largest`, by the Stern-Brocot walk in continued-fraction steps.
 * `bound` is at least 1.
 */
export function largestFractionBelow(bound: Ratio, largest: bigint): Ratio {
  // Invariant: low <= bound < high; low is the best from below among denominators seen.
  let low: Ratio = { numerator: bound.numerator / bound.denominator, denominator: 1n };
  let high: Ratio = { numerator: 1n, denominator: 0n };
  for (;;) {
    // Farthest step from `low` towards `high` that stays at or below the bound.
    const gapUp = bound.numerator * low.denominator - low.numerator * bound.denominator;
    if (gapUp === 0n) return low;
    const gapHigh = high.numerator * bound.denominator - bound.numerator * high.denominator;
    const roomLow = high.denominator === 0n ? null : (largest - low.denominator) / high.denominator;
    const exactLow = gapUp / gapHigh;
    const stepLow = roomLow !== null && roomLow < exactLow ? roomLow : exactLow;
    if (stepLow > 0n) {
      low = {
        numerator: low.numerator + stepLow * high.numerator,
        denominator: low.denominator + stepLow * high.denominator,
      };
    }
    if (stepLow < exactLow) return low;
    const gap = bound.numerator * low.denominator - low.numerator * bound.denominator;
    if (gap === 0n) return low;
    // Farthest step from `high` towards `low` that stays above the bound.
    const stepHigh = (gapHigh - 1n) / gap;
    const roomHigh = (largest - high.denominator) / low.denominator;
    const step = stepHigh < roomHigh ? stepHigh : roomHigh;
    if (step <= 0n && stepLow === 0n) return low;
    high = {
      numerator: high.numerator + step * low.numerator,
      denominator: high.denominator + step * low.denominator,
    };
    if (low.denominator + high.denominator > largest) return low;
  }
}

/** ln(numerator / denominator) as a double that is not below the true value. */
export function logUpperBound(ratio: Ratio): number {
  if (ratio.numerator === ratio.denominator) return 0;
  // Both parts keep 60 bits, so that the quotient of doubles is within 4 units in the last place.
  const shift = BigInt(Math.max(0, Math.min(bitLength(ratio.numerator), bitLength(ratio.denominator)) - 60));
  const quotient =
    Number((ratio.numerator >> shift) + (shift > 0n ? 1n : 0n)) / Number(ratio.denominator >> shift);
  return Math.log(quotient) * (1 + 4 * Number.EPSILON) + 8 * Number.EPSILON;
}

function bitLength(value: bigint): number {
  return value.toString(2).length;
}
