import { SottoError } from '@sotto/base';
import { isPrime } from '../ring/primes.js';
import type { LevelKind } from './parameters.js';

/**
 * A modulus chain by its wishes: how many bits each level should have. The compiler finds, for every level, a set of 30-bit
 * "main" primes (always a prefix of one list) and small "terminal" primes (any subset) whose product is close to the wish;
 * going down a level primes may leave and enter (rational rescaling), so a level costs any number of bits.
 */
export interface ChainLiteral {
  /** Primes of P, the largest of all. */
  specialPrimes: number;
  /** Wished log2 of the terminal primes; the nearest primes 1 mod 2N are taken. */
  terminalBits: readonly number[];
  /** Wished log2 of the lowest modulus. */
  logQ0: number;
  /** Wished log2 of the scale on levels where circuits compute. */
  logScale: number;
  /** Levels between the lowest ciphertext of a circuit and a fresh or refreshed one. */
  residualLevels: number;
  bootstrap?: {
    logMessageRatio: number;
    range: number;
    /** Plaintext bits of the SlotsToCoeffs factors, first applied first. */
    slotsToCoeffsBits: readonly number[];
    /** Wished log2 scales of EvalMod, its input first. */
    evalModLogScales: readonly number[];
    /** Plaintext bits of the CoeffsToSlots factors, first applied first. */
    coeffsToSlotsBits: readonly number[];
  };
}

export interface CompiledLevel {
  kind: LevelKind;
  /** Number of main primes, then the terminals as bits of a mask. */
  mains: number;
  terminals: number;
}

export interface CompiledChain {
  special: number[];
  mains: number[];
  terminals: number[];
  /** Index = level. */
  levels: CompiledLevel[];
}

type Step =
  | { kind: LevelKind; rule: 'plain'; logScale: number; plainBits: number }
  | { kind: LevelKind; rule: 'product'; logScale: number }
  | { rule: 'relabel'; bits: number };

interface State {
  mains: number;
  mask: number;
  logQ: number;
  logScale: number;
  cost: number;
  previous: State | null;
  kind: LevelKind;
}

const MAX_LEAVING = 4;
const MAX_ENTERING = 3;
const MAX_DEVIATION_BITS = 2.5;

/** Primes 1 mod 2N below 2^30, largest first. */
function largePrimes(logN: number, count: number): number[] {
  const step = 2 ** (logN + 1);
  const primes: number[] = [];
  for (let k = Math.floor((2 ** 30 - 2) / step); k > 0 && primes.length < count; k--) {
    if (isPrime(k * step + 1)) primes.push(k * step + 1);
  }
  if (primes.length < count) {
    throw new SottoError('There are too few 30-bit primes for this ring degree.', {
      code: 'HE_PARAMETERS_INVALID',
      facts: { logN, wanted: count, found: primes.length },
      fix: 'Use a smaller chain or a smaller ring.',
    });
  }
  return primes;
}

function nearestPrime(logN: number, bits: number, used: Set<number>): number {
  const step = 2 ** (logN + 1);
  const start = Math.max(1, Math.round(2 ** bits / step));
  for (let distance = 0; distance < 4096; distance++) {
    for (const k of distance === 0 ? [start] : [start - distance, start + distance]) {
      const p = k * step + 1;
      if (k > 0 && p < 2 ** 30 && !used.has(p) && isPrime(p)) {
        used.add(p);
        return p;
      }
    }
  }
  throw new SottoError('No terminal prime was found near the wished size.', {
    code: 'HE_PARAMETERS_INVALID',
    facts: { logN, bits },
    fix: 'Wish for larger terminal primes.',
  });
}

/** The levels from the bottom up, each with the rule that ties its scale to the level below. */
function stepsFromBottom(literal: ChainLiteral, logN: number): Step[] {
  const steps: Step[] = [];
  const { bootstrap, logScale } = literal;
  if (bootstrap) {
    for (const plainBits of [...bootstrap.slotsToCoeffsBits].reverse()) {
      steps.push({ kind: 'slotsToCoeffs', rule: 'plain', logScale, plainBits });
    }
  }
  for (let i = 0; i < literal.residualLevels; i++)
    steps.push({ kind: 'residual', rule: 'product', logScale });
  if (bootstrap) {
    steps.push({ rule: 'relabel', bits: bootstrap.logMessageRatio - Math.log2(2 * Math.PI) });
    for (const wished of [...bootstrap.evalModLogScales].reverse()) {
      steps.push({ kind: 'evalMod', rule: 'product', logScale: wished });
    }
    const factors = bootstrap.coeffsToSlotsBits.length;
    const top = Math.log2(bootstrap.range) + literal.logQ0;
    const bottom = bootstrap.evalModLogScales[0];
    for (let i = factors - 1; i >= 0; i--) {
      steps.push({
        kind: 'coeffsToSlots',
        rule: 'plain',
        logScale: bottom + ((top - bottom) * (factors - i)) / factors,
        plainBits: bootstrap.coeffsToSlotsBits[i] + logN / factors,
      });
    }
  }
  return steps;
}

/** Finds the chain by a beam search from the bottom up; deterministic. */
export function compileChain(literal: ChainLiteral, logN: number): CompiledChain {
  const used = new Set<number>();
  const bitsWished = literal.logQ0 + 64 * (literal.residualLevels + 24);
  const large = largePrimes(logN, literal.specialPrimes + Math.min(64, Math.ceil(bitsWished / 29)));
  for (const p of large) used.add(p);
  const special = large.slice(0, literal.specialPrimes);
  const candidates = large.slice(literal.specialPrimes);
  const terminals = literal.terminalBits.map((bits) => nearestPrime(logN, bits, used));
  const masks = 1 << terminals.length;
  const maskBits = new Float64Array(masks);
  const maskSize = new Int32Array(masks);
  for (let mask = 0; mask < masks; mask++) {
    for (let i = 0; i < terminals.length; i++) {
      if ((mask >> i) & 1) {
        maskBits[mask] += Math.log2(terminals[i]);
        maskSize[mask]++;
      }
    }
  }
  const prefix = [0];
  for (const p of candidates) prefix.push(prefix[prefix.length - 1] + Math.log2(p));

  let states: State[] = [];
  for (let mains = 1; mains <= 2; mains++) {
    for (let mask = 0; mask < masks; mask++) {
      const logQ = prefix[mains] + maskBits[mask];
      if (mains + maskSize[mask] !== 2 || Math.abs(logQ - literal.logQ0) > 1.5) continue;
      const logScale = literal.bootstrap ? logQ - literal.bootstrap.logMessageRatio : literal.logScale;
      states.push({
        mains,
        mask,
        logQ,
        logScale,
        cost: 0.3 * (logQ - literal.logQ0) ** 2,
        previous: null,
        kind: 'base',
      });
    }
  }

  for (const step of stepsFromBottom(literal, logN)) {
    if (step.rule === 'relabel') {
      states = states.map((state) => ({ ...state, logScale: state.logScale + step.bits }));
      continue;
    }
    const best = new Map<string, State>();
    for (const below of states) {
      const highest = Math.min(candidates.length, below.mains + MAX_LEAVING);
      for (let mains = below.mains; mains <= highest; mains++) {
        for (let mask = 0; mask < masks; mask++) {
          const leaving = mains - below.mains + maskSize[mask & ~below.mask];
          const entering = maskSize[below.mask & ~mask];
          if (leaving === 0 || leaving > MAX_LEAVING || entering > MAX_ENTERING) continue;
          const logQ = prefix[mains] + maskBits[mask];
          const dropped = logQ - below.logQ;
          if (dropped < 15) continue;
          const logScale = step.rule === 'product' ? (below.logScale + dropped) / 2 : step.logScale;
          const deviation =
            step.rule === 'product'
              ? 2 * (logScale - step.logScale)
              : below.logScale + dropped - logScale - step.plainBits;
          if (Math.abs(deviation) > MAX_DEVIATION_BITS) continue;
          const cost =
            below.cost + deviation ** 2 + 0.01 * (leaving + entering) + 0.004 * (mains + maskSize[mask]);
          const key = `${mains}/${mask}/${Math.round(10 * logScale)}`;
          const known = best.get(key);
          if (!known || cost < known.cost) {
            best.set(key, { mains, mask, logQ, logScale, cost, previous: below, kind: step.kind });
          }
        }
      }
    }
    states = [...best.values()].sort((a, b) => a.cost - b.cost).slice(0, 48);
    if (states.length === 0) break;
  }
  if (states.length === 0) {
    throw new SottoError('No modulus chain fits the wished scales.', {
      code: 'HE_PARAMETERS_INVALID',
      facts: { logN, residualLevels: literal.residualLevels, logScale: literal.logScale },
      fix: 'Change the terminal primes or the scales.',
    });
  }

  const levels: CompiledLevel[] = [];
  for (let state: State | null = states[0]; state; state = state.previous) {
    levels.push({ kind: state.kind, mains: state.mains, terminals: state.mask });
  }
  levels.reverse();
  return { special, mains: candidates.slice(0, states[0].mains), terminals, levels };
}
