import { fitChebyshev, maxError } from '@sotto/he/circuits';
import { headDimOf, type LlamaConfig } from '@sotto/model';
import type { KernelLayerCalibration } from './calibration.js';

/** Constants of kernel attention in one layer. The kernel itself is a power: only the root mean square of a head is approximated. */
export interface KernelPolynomials {
  /** The kernel's base, key count included, is divided by this: then its powers are at most 1. */
  readonly baseScale: number;
  /** Values are multiplied by this, so that the sum of squares of a head's sums lies in [0, 1]. */
  readonly valueScale: number;
  /** Of twice the sum of squares less 1: a constant over the root of the mean square plus eps, at most 1. */
  readonly head: readonly number[];
  /** What undoes the scales of sums and root together. */
  readonly outputScale: number;
}

/**
 * The low end of the window is zero whatever was measured: `headEps` keeps the root finite there, so that only the high side can be
 * left.
 *
 * @returns the constants and the worst relative error of the root.
 */
export function kernelPolynomials(
  c: KernelLayerCalibration,
  config: LlamaConfig,
  degree: number,
): { kernel: KernelPolynomials; error: number } {
  const eps = config.headEps!;
  const rootScale = Math.sqrt(eps);
  const f = (v: number): number => rootScale / Math.sqrt(((1 + v) / 2) * c.headMeanSquare + eps);
  const weight = (v: number): number => 1 / f(v);
  const series = fitChebyshev(f, [-1, 1], degree, { weight });
  // Scale of the sums.
  const sumScale = 1 / Math.sqrt(headDimOf(config) * c.headMeanSquare);
  return {
    kernel: {
      baseScale: c.kernelBase,
      valueScale: sumScale * c.kernelBase ** 4,
      head: Array.from(series.coefficients),
      outputScale: 1 / (sumScale * rootScale),
    },
    error: maxError(series, f, weight),
  };
}
