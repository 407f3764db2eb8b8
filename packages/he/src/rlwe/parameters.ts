/** What a level is for; decides whether ciphertexts are multiplied there or only by plaintexts. */
export type LevelKind = 'base' | 'slotsToCoeffs' | 'residual' | 'evalMod' | 'coeffsToSlots';

export interface LevelSpec {
  readonly level: number;
  readonly kind: LevelKind;
  /** Prime indices whose product is the modulus of this level. */
  readonly basis: readonly number[];
  readonly logQ: number;
  /** Canonical scale; exact to a relative 2^-50. */
  readonly scale: number;
  /**
   * Scale at which a plaintext factor is encoded at this level, so that product and rescale land on the scale of the level
   * below: scale(l-1) * Q(l) / (Q(l-1) * scale(l)). Equals `scale` on levels made for ciphertext products. 0 at level 0.
   */
  readonly plainScale: number;
}

export type SecretKind =
  | { readonly kind: 'uniformTernary' }
  | { readonly kind: 'fixedWeight'; readonly weight: number };

/** Where bootstrapping finds its levels. */
export interface BootstrapLevels {
  /** Weight of the ephemeral secret that the raised ciphertext is under. */
  readonly ephemeralWeight: number;
  /** log2 of q0 / scale(0): how much larger the modulus is than the message at the moment of raising. */
  readonly logMessageRatio: number;
  /** EvalMod works on y = (x - 1/4) / range with |y| <= 1. */
  readonly range: number;
  /** Input level of SlotsToCoeffs = lowest level of a circuit; its output is level 0. */
  readonly bottomLevel: number;
  /** Level of a bootstrapped ciphertext. */
  readonly residualTop: number;
  /** Input level of EvalMod = output of CoeffsToSlots. */
  readonly evalModTop: number;
  /** Highest level: a raised ciphertext. */
  readonly top: number;
  /** Scale of the EvalMod result at `residualTop` before it is relabelled by 2*pi/2^logMessageRatio to the canonical one. */
  readonly evalModOutputScale: number;
}

export interface SecurityReport {
  /** Largest ceil(log2(QP)) at which 128 bits hold for this ring and secret, and where that number comes from. */
  readonly logQPLimit: number;
  readonly logQP: number;
  /** Classical bits, a lower estimate from the table by interpolation; at least 128 unless the name says insecure. */
  readonly bits: number;
  readonly source: string;
  readonly warning: string | null;
}

/** Validated parameters: only `createParameters` makes them. */
export interface Parameters {
  readonly name: string;
  readonly logN: number;
  readonly n: number;
  /** Complex slots N/2. */
  readonly maxSlots: number;
  readonly primes: readonly number[];
  /** Index = level. */
  readonly levels: readonly LevelSpec[];
  /** Lowest level at which a circuit may hold a ciphertext. */
  readonly bottomLevel: number;
  /** Highest level at which a fresh or refreshed ciphertext lives. */
  readonly freshLevel: number;
  /** Prime indices of P, largest first. */
  readonly special: readonly number[];
  readonly digitCount: number;
  readonly secret: SecretKind;
  readonly errorStd: number;
  readonly bootstrap: BootstrapLevels | null;
  readonly logQP: number;
  readonly security: SecurityReport;
  /** Hex digest of everything above; ciphertexts and keys carry it. */
  readonly digest: string;
}
