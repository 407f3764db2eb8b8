import { SottoError } from '@sotto/base';
import type { BootstrapLevels, Parameters } from '../../rlwe/parameters.js';
import type { DiagonalMatrix, SlotVector } from '../../scheme/evaluator.js';
import { smallestPeriod } from '../linear/index.js';
import { decodingFactors, encodingFactors, splitRadices } from './dft.js';
import { EVAL_MOD_LEVELS, type EvalModSpec } from './eval-mod.js';
import { EVAL_MOD_BOUND, evalModCoefficients, evalModRange } from './eval-mod-table.js';
import { logFailureProbability } from './failure.js';
import { offsetsToInput, offsetsToOutput, type StridedFactor } from './offsets.js';

export interface BootstrapOptions {
  /** Complex slots in use: data repeat with this period. A power of two from 16; all slots when absent. Fewer are faster. */
  readonly slots?: number;
  /** The slots are real: half the EvalMod work. Imaginary parts are lost. */
  readonly realOnly?: boolean;
  /** Baby steps of a CoeffsToSlots factor, 2..16: about as many large keys a factor; more are faster. 4 when absent. */
  readonly babySteps?: number;
  /**
   * Butterflies merged in each CoeffsToSlots factor; their sum is log2(slots). An even split over all levels of the chain when
   * absent; fewer factors leave the highest levels out.
   */
  readonly coeffsToSlotsRadices?: readonly number[];
  /** The same for SlotsToCoeffs. */
  readonly slotsToCoeffsRadices?: readonly number[];
  /** log2 of the terms of each sum that the trace is a product of; pairs when absent. */
  readonly traceRadices?: readonly number[];
}

/** One factor of a transform between slots and coefficients. */
export interface BootstrapFactor {
  /** Level of its input. */
  readonly level: number;
  /** Diagonals at 0, stride, .. (count - 1) * stride. */
  readonly matrix: DiagonalMatrix;
  readonly stride: number;
  readonly count: number;
  /** Multiples of the stride by which the input is rotated. */
  readonly babySteps: number;
  /** Rotations whose keys Horner's rule needs. */
  readonly rotations: readonly number[];
}

/** Everything about a bootstrapping that does not depend on keys: matrices, levels, rotations. */
export interface BootstrapPlan {
  readonly params: Parameters;
  readonly levels: BootstrapLevels;
  readonly slots: number;
  readonly realOnly: boolean;
  /** Real and imaginary parts share one ciphertext in EvalMod: possible when they fit side by side. */
  readonly packed: boolean;
  /** Rotation of the input that makes up for the offsets of all factors; 0 for none. */
  readonly preRotation: number;
  /** The coefficients between SlotsToCoeffs and CoeffsToSlots are those of the slots rotated by this. */
  readonly innerRotation: number;
  readonly slotsToCoeffs: readonly BootstrapFactor[];
  readonly coeffsToSlots: readonly BootstrapFactor[];
  /**
   * Trace onto the subring of the data, after the first CoeffsToSlots factor: x + sum of its rotations, for each list in turn. When
   * packed its first step, by `slots`, comes before that factor.
   */
  readonly trace: readonly (readonly number[])[];
  readonly traceLevel: number;
  readonly evalMod: EvalModSpec;
  /** The mask (1 | i) that unpacks real and imaginary parts, as angles, when packed. */
  readonly maskAngles: Float64Array | null;
  /** Level of the result. */
  readonly outputLevel: number;
  /** log2 of the probability that one bootstrapping loses a slot. */
  readonly logFailureProbability: number;
}

const MIN_SLOTS = 16;

/** Keys for the lowest levels are small, so there are many. */
const SLOTS_TO_COEFFS_BABY_STEPS = 8;

function factor(level: number, strided: StridedFactor, mostBabySteps: number): BootstrapFactor {
  const { stride, count } = strided;
  const babySteps = Math.min(mostBabySteps, count);
  const rotations = Array.from({ length: babySteps - 1 }, (_, j) => (j + 1) * stride);
  if (count > babySteps) rotations.push(babySteps * stride);
  return { ...strided, level, babySteps, rotations };
}

/**
 * Rows n..2n-1 times -i: real and imaginary part of a slot then come out n slots apart. Done on the first factor, whose diagonals
 * have the longest period anyway; the others act within blocks of fewer than n slots, so the factor passes through them.
 */
function packRows(matrix: DiagonalMatrix, n: number): DiagonalMatrix {
  const diagonals = new Map<number, SlotVector>();
  for (const [k, d] of matrix.diagonals) {
    const re = new Float64Array(2 * n);
    const im = new Float64Array(2 * n);
    for (let i = 0; i < n; i++) {
      const j = i & (d.re.length - 1);
      re[i] = d.re[j];
      im[i] = d.im?.[j] ?? 0;
      re[i + n] = im[i];
      im[i + n] = -re[i];
    }
    diagonals.set(k, smallestPeriod({ re, im }));
  }
  return { diagonals };
}

/** Angles of (1 | i), rotated like the packed slots are. */
function maskAngles(n: number, offset: number): Float64Array {
  const size = 2 * n;
  return Float64Array.from({ length: size }, (_, i) =>
    (((i - offset) % size) + size) % size < n ? 0 : Math.PI / 2,
  );
}

function radicesOf(
  logSlots: number,
  levels: number,
  direction: 'encoding' | 'decoding',
  wished: readonly number[] | undefined,
): readonly number[] {
  if (wished === undefined) return splitRadices(logSlots, levels, direction);
  const sum = wished.reduce((a, b) => a + b, 0);
  if (wished.length <= levels && sum === logSlots && wished.every((r) => Number.isInteger(r) && r > 0)) {
    return wished;
  }
  throw new SottoError('The factors of a bootstrapping transform do not fit.', {
    code: 'HE_RADICES',
    facts: { direction, radices: wished.join(', '), logSlots, levels },
    fix: 'Give at most one factor a level, with radices that add up to log2 of the slots.',
  });
}

/** Rotations by all multiples of `first` below `all`, as a product of sums. */
function traceSums(first: number, all: number, wished: readonly number[] | undefined): number[][] {
  const log = Math.log2(all / first);
  const radices = wished ?? [
    ...new Array<number>(Math.floor(log / 2)).fill(2),
    ...new Array<number>(log % 2).fill(1),
  ];
  if (radices.reduce((a, b) => a + b, 0) !== log || radices.some((r) => !Number.isInteger(r) || r < 1)) {
    throw new SottoError('The sums of a trace do not cover it.', {
      code: 'HE_RADICES',
      facts: { radices: radices.join(', '), logTerms: log },
      fix: 'Give radices that add up to log2 of the terms.',
    });
  }
  let step = first;
  return radices.map((radix) => {
    const rotations = Array.from({ length: 2 ** radix - 1 }, (_, j) => (j + 1) * step);
    step *= 2 ** radix;
    return rotations;
  });
}

/**
 * Plans the bootstrapping of a parameter set.
 * @throws SottoError `HE_NO_BOOTSTRAP` when the parameters have no levels for it, `HE_SLOT_COUNT` for an unusable slot count,
 * `HE_BABY_STEPS`, `HE_RADICES`.
 */
export function planBootstrap(params: Parameters, options: BootstrapOptions = {}): BootstrapPlan {
  const levels = params.bootstrap;
  if (levels === null) {
    throw new SottoError('These parameters have no levels for bootstrapping.', {
      code: 'HE_NO_BOOTSTRAP',
      facts: { parameters: params.name },
      fix: 'Use parameters whose chain has a bootstrap section, or another way to refresh.',
    });
  }
  const slots = options.slots ?? params.maxSlots;
  const logSlots = Math.log2(slots);
  if (
    !Number.isInteger(logSlots) ||
    slots < Math.min(MIN_SLOTS, params.maxSlots) ||
    slots > params.maxSlots
  ) {
    throw new SottoError('Bootstrapping needs a power of two of slots that fits the ring.', {
      code: 'HE_SLOT_COUNT',
      facts: { slots, least: MIN_SLOTS, most: params.maxSlots },
      fix: 'Use the period of the data, rounded up to a power of two.',
    });
  }
  const range = evalModRange(levels.logMessageRatio);
  if (levels.evalModTop - levels.residualTop !== EVAL_MOD_LEVELS || Math.abs(levels.range - range) > 1e-9) {
    throw new SottoError('The EvalMod part of the modulus chain does not fit the polynomial.', {
      code: 'HE_PARAMETERS_INVALID',
      facts: {
        evalModLevels: levels.evalModTop - levels.residualTop,
        expectedLevels: EVAL_MOD_LEVELS,
        range: levels.range,
        expectedRange: range,
      },
      fix: 'Give the chain eight EvalMod levels and the range of the message ratio.',
    });
  }
  const realOnly = options.realOnly ?? false;
  const sparse = slots < params.maxSlots;
  const packed = sparse && !realOnly;

  const babySteps = options.babySteps ?? 4;
  if (![2, 4, 8, 16].includes(babySteps)) {
    throw new SottoError('Baby steps must be 2, 4, 8 or 16.', {
      code: 'HE_BABY_STEPS',
      facts: { babySteps },
      fix: 'Leave the choice open, or take 8 for speed and 2 for few keys.',
    });
  }

  const down = radicesOf(logSlots, levels.bottomLevel, 'decoding', options.slotsToCoeffsRadices);
  const decoding = offsetsToInput(decodingFactors(slots, down), slots);
  const slotsToCoeffs = decoding.factors.map((f, i) =>
    factor(down.length - i, f, SLOTS_TO_COEFFS_BABY_STEPS),
  );
  const up = radicesOf(logSlots, levels.top - levels.evalModTop, 'encoding', options.coeffsToSlotsRadices);
  const start = levels.evalModTop + up.length;
  // 1/N: n for the factors, N/2n for the trace, 2 for a sum of conjugates.
  const matrices = encodingFactors(slots, up, params.n ** (-1 / up.length));
  if (packed) matrices[0] = packRows(matrices[0], slots);
  const encoding = offsetsToOutput(matrices, slots);
  const coeffsToSlots = encoding.factors.map((f, i) => factor(start - i, f, babySteps));

  const trace = traceSums(packed ? 2 * slots : slots, params.maxSlots, options.traceRadices);
  return {
    params,
    levels,
    slots,
    realOnly,
    packed,
    preRotation: (((decoding.offset + encoding.offset) % slots) + slots) % slots,
    innerRotation: ((encoding.offset % slots) + slots) % slots,
    slotsToCoeffs,
    coeffsToSlots,
    trace,
    traceLevel: start - 1,
    evalMod: {
      coefficients: evalModCoefficients(levels.logMessageRatio),
      range,
      outputFactor: levels.evalModOutputScale / params.levels[levels.residualTop].scale,
      level: levels.evalModTop,
    },
    maskAngles: packed ? maskAngles(slots, encoding.offset) : null,
    outputLevel: levels.residualTop,
    logFailureProbability: logFailureProbability(levels.ephemeralWeight, slots, EVAL_MOD_BOUND),
  };
}
