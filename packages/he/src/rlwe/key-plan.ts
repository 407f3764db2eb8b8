import { SottoError } from '@sotto/base';
import type { Parameters } from './parameters.js';

/** What a switching key turns a ciphertext into. Encapsulation kinds lead to the ephemeral secret of bootstrapping and back. */
export type EvaluationKeyId =
  | { readonly kind: 'relin' }
  | { readonly kind: 'galois'; readonly galois: number }
  | { readonly kind: 'denseToSparse' }
  | { readonly kind: 'sparseToDense' };

/** Moduli of a switching key: gadget decomposition with `digits`, special primes `special`. */
export interface KeySwitchPlan {
  /** The key serves ciphertexts up to this level. */
  readonly maxLevel: number;
  /** Union of the primes of the levels served, in index order. */
  readonly basis: readonly number[];
  /** Special primes, a prefix of those of the parameters. */
  readonly special: readonly number[];
  /** Rows of the key: `basis`, then `special`. */
  readonly rows: readonly number[];
  /** A partition of `basis`; for a raised input the primes of level 0 alone. */
  readonly digits: readonly (readonly number[])[];
  /** True when the input is an integer polynomial below the modulus of level 0, lifted to the whole basis: one digit, exact. */
  readonly raised: boolean;
}

/** log2 of how much P exceeds the largest digit: key switching noise then stays near the rounding noise of one rescale. */
const MARGIN_BITS = 6;
const MAX_DIGITS = 15;
const MAX_DIGIT_PRIMES = 16;
/** Primes below this are terminals: they come and go between levels, so every digit gets some. */
const TERMINAL_BELOW = 2 ** 29.5;
const EPHEMERAL_MAX_LOG_MODULUS = 126;

const plans = new WeakMap<Parameters, Map<string, KeySwitchPlan>>();

/**
 * Plan for relinearisation and Galois keys that serve levels 0..maxLevel.
 * @param options.digits number of digits; by default the fewest for which P suffices: fewer digits make smaller keys and, as long as
 *   P is at hand anyway, faster switches.
 * @throws `HE_KEY_PLAN` when the special primes do not suffice for the digits asked for.
 */
export function keySwitchPlan(
  params: Parameters,
  maxLevel: number,
  options: { digits?: number } = {},
): KeySwitchPlan {
  return interned(params, `switch/${maxLevel}/${options.digits ?? 'auto'}`, () => {
    const basis = unionBasis(params, maxLevel);
    const asked = options.digits;
    if (asked !== undefined) {
      const plan = tryPlan(params, maxLevel, basis, asked);
      if (plan === null) throw planError(params, maxLevel, asked);
      return plan;
    }
    for (let digits = 1; digits <= Math.min(MAX_DIGITS, basis.length); digits++) {
      const plan = tryPlan(params, maxLevel, basis, digits);
      if (plan !== null) return plan;
    }
    throw planError(params, maxLevel, params.digitCount);
  });
}

/** Plan of the key from the main to the ephemeral secret: level 0 only, one digit, modulus at most 2^126. */
export function denseToSparsePlan(params: Parameters): KeySwitchPlan {
  return interned(params, 'denseToSparse', () => {
    const basis = unionBasis(params, 0);
    const special = fewestSpecial(params, logProduct(params, basis));
    if (special === null || special.length > 2) throw planError(params, 0, 1);
    const logModulus = logProduct(params, [...basis, ...special]);
    if (logModulus > EPHEMERAL_MAX_LOG_MODULUS) {
      throw new SottoError('The modulus of the ephemeral secret is too large to be secure.', {
        code: 'HE_KEY_PLAN',
        facts: { logModulus: Math.round(logModulus * 10) / 10, limit: EPHEMERAL_MAX_LOG_MODULUS },
        fix: 'Choose parameters with a smaller level 0.',
      });
    }
    return { maxLevel: 0, basis, special, rows: [...basis, ...special], digits: [basis], raised: false };
  });
}

/** Plan of the key from the ephemeral to the main secret: the input is below the modulus of level 0, the output at the top level. */
export function sparseToDensePlan(params: Parameters): KeySwitchPlan {
  return interned(params, 'sparseToDense', () => {
    const maxLevel = params.bootstrap?.top ?? params.levels.length - 1;
    const basis = [...params.levels[maxLevel].basis];
    const source = [...params.levels[0].basis];
    const special = fewestSpecial(params, logProduct(params, source));
    if (special === null) throw planError(params, maxLevel, 1);
    return { maxLevel, basis, special, rows: [...basis, ...special], digits: [source], raised: true };
  });
}

/** The plan of a key by what a key says of itself. */
export function planOf(
  params: Parameters,
  kind: EvaluationKeyId['kind'],
  maxLevel: number,
  digits: number,
): KeySwitchPlan {
  if (kind === 'denseToSparse') return denseToSparsePlan(params);
  if (kind === 'sparseToDense') return sparseToDensePlan(params);
  return keySwitchPlan(params, maxLevel, { digits });
}

/** Bytes of a key in memory. */
export function expandedKeyBytes(params: Parameters, plan: KeySwitchPlan): number {
  return 8 * params.n * plan.rows.length * plan.digits.length;
}

function interned(params: Parameters, name: string, make: () => KeySwitchPlan): KeySwitchPlan {
  let ofParams = plans.get(params);
  if (ofParams === undefined) {
    ofParams = new Map();
    plans.set(params, ofParams);
  }
  let plan = ofParams.get(name);
  if (plan === undefined) {
    const made = make();
    const same = [...ofParams.values()].find(
      (other) =>
        other.maxLevel === made.maxLevel &&
        other.raised === made.raised &&
        String(other.rows) === String(made.rows) &&
        other.digits.length === made.digits.length,
    );
    plan = same ?? made;
    ofParams.set(name, plan);
  }
  return plan;
}

function unionBasis(params: Parameters, maxLevel: number): number[] {
  const union = new Set<number>();
  for (let level = 0; level <= maxLevel; level++) for (const i of params.levels[level].basis) union.add(i);
  return [...union].sort((a, b) => a - b);
}

function logProduct(params: Parameters, indices: readonly number[]): number {
  return indices.reduce((sum, i) => sum + Math.log2(params.primes[i]), 0);
}

function fewestSpecial(params: Parameters, logDigit: number): number[] | null {
  let logP = 0;
  for (let count = 1; count <= params.special.length; count++) {
    logP += Math.log2(params.primes[params.special[count - 1]]);
    if (logP >= logDigit + MARGIN_BITS) return params.special.slice(0, count);
  }
  return null;
}

function tryPlan(
  params: Parameters,
  maxLevel: number,
  basis: readonly number[],
  digitCount: number,
): KeySwitchPlan | null {
  if (!Number.isInteger(digitCount) || digitCount < 1 || digitCount > Math.min(MAX_DIGITS, basis.length))
    return null;
  const digits = partition(params, basis, digitCount);
  if (digits.some((digit) => digit.length === 0 || digit.length > MAX_DIGIT_PRIMES)) return null;
  const special = fewestSpecial(params, Math.max(...digits.map((digit) => logProduct(params, digit))));
  if (special === null) return null;
  return { maxLevel, basis, special, rows: [...basis, ...special], digits, raised: false };
}

/**
 * Contiguous stretches of large primes, so that low levels use few digits; small primes go, largest first, to the digit with the
 * smallest product, because in one digit they would leave others empty early.
 */
function partition(params: Parameters, basis: readonly number[], digitCount: number): number[][] {
  const isTerminal = (i: number) => params.primes[i] < TERMINAL_BELOW;
  const mains = basis.filter((i) => !isTerminal(i));
  const terminals = basis.filter(isTerminal).sort((a, b) => params.primes[b] - params.primes[a]);
  const digits = Array.from({ length: digitCount }, (_, d) =>
    mains.slice(Math.ceil((d * mains.length) / digitCount), Math.ceil(((d + 1) * mains.length) / digitCount)),
  );
  for (const i of terminals) {
    const smallest = digits.reduce((best, digit) =>
      logProduct(params, digit) < logProduct(params, best) ? digit : best,
    );
    smallest.push(i);
  }
  for (const digit of digits) digit.sort((a, b) => a - b);
  return digits;
}

function planError(params: Parameters, maxLevel: number, digits: number): SottoError {
  return new SottoError('No key-switching plan fits the special primes.', {
    code: 'HE_KEY_PLAN',
    facts: { parameters: params.name, maxLevel, digits, specialPrimes: params.special.length },
    fix: 'Use more digits, or parameters with more special primes.',
  });
}
