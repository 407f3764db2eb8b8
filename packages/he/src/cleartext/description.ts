import { SottoError } from '@sotto/base';
import type { Parameters } from '../rlwe/parameters.js';

/** Noise of a simulated scheme, in units of one coefficient of the ring. */
export interface CleartextNoise {
  /** Seed of the simulation; the same seed gives the same run. */
  readonly seed?: number;
  /** Ring degree N; 2*slots when absent. */
  readonly ringDegree?: number;
  /** Standard deviation of a coefficient's rounding when dividing by a modulus; sqrt((weight+1)/12), weight 2N/3 when absent. */
  readonly rescaleStd?: number;
  /** Standard deviation a key switch adds to a coefficient; one rescale when absent. */
  readonly keySwitchStd?: number;
  /** Standard deviation of a fresh ciphertext's coefficient. 3.2 when absent. */
  readonly freshStd?: number;
  /** Whether plaintexts are rounded to integers coefficients. True when absent. */
  readonly encoding?: boolean;
}

/** Enough to simulate a scheme without a ring. */
export interface CleartextDescription {
  /** Complex slots, a power of two. */
  readonly slots: number;
  /** Highest level. */
  readonly levels: number;
  /** log2 of the scale, the same at every level. */
  readonly logScale: number;
  /** Lowest level at which a circuit may hold a ciphertext. 0 when absent. */
  readonly bottomLevel?: number;
  /** Level of fresh ciphertexts; the highest when absent. */
  readonly freshLevel?: number;
  /** Noiseless when absent. */
  readonly noise?: CleartextNoise;
}

/** What the cleartext evaluator works from. */
export interface CleartextLevels {
  readonly slots: number;
  readonly maxLevel: number;
  readonly bottomLevel: number;
  readonly freshLevel: number;
  readonly scale: readonly number[];
  readonly plainScale: readonly number[];
  /** What a product of two ciphertexts is multiplied by: 1, but where a level's scale is relabelled. */
  readonly productFactor: readonly number[];
  /** False on levels made for plaintext products only. */
  readonly ciphertextProducts: readonly boolean[];
  readonly noise: ResolvedNoise | null;
}

export interface ResolvedNoise {
  readonly seed: number;
  /** sqrt(N/2): from a coefficient to one component of a slot. */
  readonly slotFactor: number;
  readonly rescaleStd: number;
  readonly keySwitchStd: number;
  readonly freshStd: number;
  readonly encoding: boolean;
}

function isParameters(from: CleartextDescription | Parameters): from is Parameters {
  return Array.isArray((from as Parameters).primes);
}

function resolveNoise(noise: CleartextNoise, slots: number, weight?: number): ResolvedNoise {
  const ringDegree = noise.ringDegree ?? 2 * slots;
  const rescaleStd = noise.rescaleStd ?? Math.sqrt(((weight ?? (2 * ringDegree) / 3) + 1) / 12);
  return {
    seed: noise.seed ?? 1,
    slotFactor: Math.sqrt(ringDegree / 2),
    rescaleStd,
    keySwitchStd: noise.keySwitchStd ?? rescaleStd,
    freshStd: noise.freshStd ?? 3.2,
    encoding: noise.encoding ?? true,
  };
}

/**
 * Levels and noise of a description, or of real parameters.
 * @param noise for real parameters: null simulates without noise; the description carries its own.
 */
export function resolveLevels(
  from: CleartextDescription | Parameters,
  noise: CleartextNoise | null,
): CleartextLevels {
  if (isParameters(from)) {
    const { levels, bootstrap } = from;
    const productFactor = levels.map(() => 1);
    if (bootstrap !== null) {
      productFactor[bootstrap.residualTop + 1] =
        bootstrap.evalModOutputScale / levels[bootstrap.residualTop].scale;
    }
    const weight = from.secret.kind === 'fixedWeight' ? from.secret.weight : undefined;
    return {
      slots: from.maxSlots,
      maxLevel: levels.length - 1,
      bottomLevel: from.bottomLevel,
      freshLevel: from.freshLevel,
      scale: levels.map((l) => l.scale),
      plainScale: levels.map((l) => l.plainScale),
      productFactor,
      ciphertextProducts: levels.map((l) => l.kind === 'residual' || l.kind === 'evalMod'),
      noise:
        noise === null
          ? null
          : resolveNoise({ ringDegree: from.n, freshStd: from.errorStd, ...noise }, from.maxSlots, weight),
    };
  }
  const { slots, levels, logScale } = from;
  if (!Number.isInteger(Math.log2(slots)) || slots < 1 || !Number.isInteger(levels) || levels < 0) {
    throw new SottoError('A cleartext scheme needs a power of two of slots and a whole number of levels.', {
      code: 'HE_PARAMETERS_INVALID',
      facts: { slots, levels },
      fix: 'Use for example { slots: 1024, levels: 12, logScale: 40 }.',
    });
  }
  const scale = Array.from({ length: levels + 1 }, () => 2 ** logScale);
  return {
    slots,
    maxLevel: levels,
    bottomLevel: from.bottomLevel ?? 0,
    freshLevel: from.freshLevel ?? levels,
    scale,
    plainScale: scale,
    productFactor: scale.map(() => 1),
    ciphertextProducts: scale.map(() => true),
    noise: from.noise === undefined ? null : resolveNoise(from.noise, slots),
  };
}
