/** Largest log2(QP) for a level of classical security; `weight` null is the uniform ternary secret. */
export interface SecurityRow {
  readonly logN: number;
  readonly weight: number | null;
  readonly logQP128: number;
  /** The same when one lattice reduction may serve all N rotations of the secret: an own, stricter model. */
  readonly logQP128Ring: number;
  readonly logQP192: number | null;
  readonly logQP256: number | null;
  /** Further computed points (log QP, bits), all attacks and the ring model included. */
  readonly points?: readonly (readonly [logQP: number, bits: number])[];
}

export const SECURITY_SOURCE =
  'lattice-estimator commit 27a581b, cost model MATZOV, sigma 3.19, unbounded samples; 192 and 256 bits of uniform secrets: ePrint 2024/463 table 5.2';

/**
 * Computed with the lattice estimator (primal uSVP and BDD, dual MATZOV) and, for sparse secrets, the primal and dual hybrid and
 * meet-in-the-middle attacks; the smallest limit of all attacks stands here. IND-CPA only: circular security is assumed, and
 * decryption results must not be handed out (IND-CPA-D).
 */
export const SECURITY_ROWS: readonly SecurityRow[] = [
  { logN: 10, weight: null, logQP128: 26, logQP128Ring: 26, logQP192: null, logQP256: null },
  { logN: 11, weight: null, logQP128: 53, logQP128Ring: 53, logQP192: 36, logQP256: 27 },
  { logN: 12, weight: null, logQP128: 106, logQP128Ring: 106, logQP192: 73, logQP256: 56 },
  { logN: 13, weight: null, logQP128: 214, logQP128Ring: 214, logQP192: 147, logQP256: 114 },
  { logN: 14, weight: null, logQP128: 430, logQP128Ring: 430, logQP192: 297, logQP256: 230 },
  { logN: 15, weight: null, logQP128: 868, logQP128Ring: 868, logQP192: 597, logQP256: 462 },
  { logN: 16, weight: null, logQP128: 1746, logQP128Ring: 1746, logQP192: 1199, logQP256: 929 },
  { logN: 17, weight: null, logQP128: 3522, logQP128Ring: 3522, logQP192: 2411, logQP256: 1866 },
  { logN: 10, weight: 32, logQP128: 7, logQP128Ring: 7, logQP192: null, logQP256: null },
  { logN: 11, weight: 32, logQP128: 12, logQP128Ring: 12, logQP192: null, logQP256: null },
  { logN: 12, weight: 32, logQP128: 23, logQP128Ring: 22, logQP192: null, logQP256: null },
  { logN: 13, weight: 32, logQP128: 44, logQP128Ring: 40, logQP192: null, logQP256: null },
  { logN: 14, weight: 32, logQP128: 84, logQP128Ring: 74, logQP192: null, logQP256: null },
  {
    logN: 15,
    weight: 32,
    logQP128: 173,
    logQP128Ring: 147,
    logQP192: null,
    logQP256: null,
    points: [
      [126, 133],
      [100, 141],
      [84, 147],
      [60, 160],
    ],
  },
  {
    logN: 16,
    weight: 32,
    logQP128: 364,
    logQP128Ring: 299,
    logQP192: null,
    logQP256: null,
    points: [
      [126, 158],
      [120, 159],
      [60, 183],
    ],
  },
  { logN: 17, weight: 32, logQP128: 778, logQP128Ring: 624, logQP192: null, logQP256: null },
  { logN: 10, weight: 64, logQP128: 19, logQP128Ring: 17, logQP192: null, logQP256: null },
  { logN: 11, weight: 64, logQP128: 34, logQP128Ring: 32, logQP192: null, logQP256: null },
  { logN: 12, weight: 64, logQP128: 65, logQP128Ring: 60, logQP192: null, logQP256: null },
  { logN: 13, weight: 64, logQP128: 125, logQP128Ring: 112, logQP192: null, logQP256: null },
  { logN: 14, weight: 64, logQP128: 250, logQP128Ring: 220, logQP192: 95, logQP256: 37 },
  { logN: 15, weight: 64, logQP128: 511, logQP128Ring: 442, logQP192: 190, logQP256: 75 },
  { logN: 16, weight: 64, logQP128: 1053, logQP128Ring: 900, logQP192: 393, logQP256: 151 },
  { logN: 17, weight: 64, logQP128: 2178, logQP128Ring: 1843, logQP192: 822, logQP256: 315 },
  { logN: 10, weight: 128, logQP128: 24, logQP128Ring: 23, logQP192: null, logQP256: null },
  { logN: 11, weight: 128, logQP128: 48, logQP128Ring: 44, logQP192: null, logQP256: null },
  { logN: 12, weight: 128, logQP128: 94, logQP128Ring: 87, logQP192: null, logQP256: null },
  { logN: 13, weight: 128, logQP128: 184, logQP128Ring: 167, logQP192: null, logQP256: null },
  { logN: 14, weight: 128, logQP128: 366, logQP128Ring: 329, logQP192: 202, logQP256: 122 },
  { logN: 15, weight: 128, logQP128: 738, logQP128Ring: 656, logQP192: 406, logQP256: 243 },
  { logN: 16, weight: 128, logQP128: 1499, logQP128Ring: 1322, logQP192: 827, logQP256: 494 },
  { logN: 17, weight: 128, logQP128: 3052, logQP128Ring: 2665, logQP192: 1693, logQP256: 1016 },
  { logN: 10, weight: 192, logQP128: 25, logQP128Ring: 24, logQP192: null, logQP256: null },
  { logN: 11, weight: 192, logQP128: 50, logQP128Ring: 47, logQP192: null, logQP256: null },
  { logN: 12, weight: 192, logQP128: 102, logQP128Ring: 94, logQP192: null, logQP256: null },
  { logN: 13, weight: 192, logQP128: 202, logQP128Ring: 185, logQP192: null, logQP256: null },
  { logN: 14, weight: 192, logQP128: 401, logQP128Ring: 364, logQP192: 245, logQP256: 165 },
  { logN: 15, weight: 192, logQP128: 806, logQP128Ring: 725, logQP192: 489, logQP256: 329 },
  { logN: 16, weight: 192, logQP128: 1627, logQP128Ring: 1456, logQP192: 988, logQP256: 665 },
  { logN: 17, weight: 192, logQP128: 3302, logQP128Ring: 2938, logQP192: 2005, logQP256: 1353 },
  { logN: 10, weight: 256, logQP128: 25, logQP128Ring: 25, logQP192: null, logQP256: null },
  { logN: 11, weight: 256, logQP128: 51, logQP128Ring: 49, logQP192: null, logQP256: null },
  { logN: 12, weight: 256, logQP128: 104, logQP128Ring: 98, logQP192: null, logQP256: null },
  { logN: 13, weight: 256, logQP128: 209, logQP128Ring: 194, logQP192: null, logQP256: null },
  { logN: 14, weight: 256, logQP128: 416, logQP128Ring: 383, logQP192: 264, logQP256: 187 },
  { logN: 15, weight: 256, logQP128: 833, logQP128Ring: 763, logQP192: 528, logQP256: 373 },
  { logN: 16, weight: 256, logQP128: 1680, logQP128Ring: 1530, logQP192: 1061, logQP256: 750 },
  { logN: 17, weight: 256, logQP128: 3395, logQP128Ring: 3078, logQP192: 2146, logQP256: 1519 },
  { logN: 10, weight: 512, logQP128: 26, logQP128Ring: 26, logQP192: null, logQP256: null },
  { logN: 11, weight: 1024, logQP128: 53, logQP128Ring: 53, logQP192: null, logQP256: null },
  { logN: 12, weight: 2048, logQP128: 106, logQP128Ring: 106, logQP192: null, logQP256: null },
  { logN: 13, weight: 4096, logQP128: 214, logQP128Ring: 214, logQP192: null, logQP256: null },
  { logN: 14, weight: 8192, logQP128: 430, logQP128Ring: 430, logQP192: null, logQP256: null },
  { logN: 15, weight: 16384, logQP128: 868, logQP128Ring: 868, logQP192: null, logQP256: null },
  { logN: 16, weight: 32768, logQP128: 1746, logQP128Ring: 1746, logQP192: null, logQP256: null },
  { logN: 17, weight: 65536, logQP128: 3522, logQP128Ring: 3522, logQP192: null, logQP256: null },
];
