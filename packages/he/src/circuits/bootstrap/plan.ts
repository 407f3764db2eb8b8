import { SottoError } from '@sotto/base';
import type { EvaluationKeyId } from '../../rlwe/key-plan.js';
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
   * Rotations of the trace onto the subring of the data, after the first CoeffsToSlots factor. When packed its first step, by
   * `slots`, comes before that factor.
   */
  readonly trace: readonly number[];
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

/**
 * Plans the bootstrapping of a parameter set.
 * @throws SottoError `HE_NO_BOOTSTRAP` when the parameters have no levels for it, `HE_SLOT_COUNT` for an unusable slot count.
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

  const down = splitRadices(logSlots, levels.bottomLevel, 'decoding');
  const decoding = offsetsToInput(decodingFactors(slots, down), slots);
  const slotsToCoeffs = decoding.factors.map((f, i) =>
    factor(levels.bottomLevel - i, f, SLOTS_TO_COEFFS_BABY_STEPS),
  );
  const count = levels.top - levels.evalModTop;
  const up = splitRadices(logSlots, count, 'encoding');
  // 1/N: n for the factors, N/2n for the trace, 2 for a sum of conjugates.
  const matrices = encodingFactors(slots, up, params.n ** (-1 / count));
  if (packed) matrices[0] = packRows(matrices[0], slots);
  const encoding = offsetsToOutput(matrices, slots);
  const coeffsToSlots = encoding.factors.map((f, i) => factor(levels.top - i, f, babySteps));

  const trace: number[] = [];
  for (let k = packed ? 2 * slots : slots; k < params.maxSlots; k *= 2) trace.push(k);
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
    traceLevel: levels.top - 1,
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

/** An evaluation key that a bootstrapping needs, and the highest level at which it is used. */
export interface BootstrapKey {
  readonly id: EvaluationKeyId;
  readonly maxLevel: number;
}

function galoisOf(rotation: number, n: number): number {
  const mask = 2 * n - 1;
  let result = 1;
  let power = 5;
  for (let k = ((rotation % (n / 2)) + n / 2) % (n / 2); k > 0; k >>= 1) {
    if (k & 1) result = Math.imul(result, power) & mask;
    power = Math.imul(power, power) & mask;
  }
  return result;
}

/**
 * The exact list of keys of a bootstrapping. The keys of one factor all have its level, as a transform demands; a rotation that
 * several factors use appears once for each.
 */
export function bootstrapKeys(plan: BootstrapPlan): BootstrapKey[] {
  const { params, levels } = plan;
  const keys: BootstrapKey[] = [
    { id: { kind: 'denseToSparse' }, maxLevel: 0 },
    { id: { kind: 'sparseToDense' }, maxLevel: levels.top },
    { id: { kind: 'relin' }, maxLevel: levels.evalModTop },
    { id: { kind: 'galois', galois: 2 * params.n - 1 }, maxLevel: levels.evalModTop },
  ];
  const known = new Set<string>();
  const need = (rotation: number, maxLevel: number): void => {
    const galois = galoisOf(rotation, params.n);
    const name = `${galois}/${maxLevel}`;
    if (galois === 1 || known.has(name)) return;
    known.add(name);
    keys.push({ id: { kind: 'galois', galois }, maxLevel });
  };
  for (const { rotations, level } of plan.coeffsToSlots) for (const k of rotations) need(k, level);
  for (const k of plan.trace) need(k, plan.traceLevel);
  for (const { rotations, level } of plan.slotsToCoeffs) for (const k of rotations) need(k, level);
  need(plan.preRotation, levels.bottomLevel);
  if (plan.packed) {
    need(plan.slots, levels.top);
    need(plan.slots, plan.outputLevel);
  }
  return keys;
}

/** {@link bootstrapKeys} of {@link planBootstrap}. */
export function bootstrapKeyList(params: Parameters, options: BootstrapOptions = {}): BootstrapKey[] {
  return bootstrapKeys(planBootstrap(params, options));
}
