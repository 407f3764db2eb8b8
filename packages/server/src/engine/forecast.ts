import type { SessionSetup } from '@sotto/engine';
import { evaluationKeyPlan, type Parameters } from '@sotto/he/rlwe';

/** Memory of one encoded weight: rows over the moduli of its level and of the key switch that follows. */
export function plainBytes(params: Parameters, level: number): number {
  const { special } = evaluationKeyPlan(params, { kind: 'relin' }, params.freshLevel);
  return 4 * params.n * (params.levels[level]!.basis.length + special.length);
}

/** Memory of an encoded weight that waits as coefficients. */
export const coefficientBytes = (params: Parameters): number => 8 * params.n;

export interface MemoryForecast {
  /** Expanded keys, in bytes. */
  readonly keyMemory: number;
  /** Encoded weights of the model, in bytes; they may be kept in less and encoded again. */
  readonly weightMemory: number;
}

/** What a session takes at the server, besides bootstrapping matrices and working memory. */
export function serverMemoryForecast({ parameters, plan, keys }: SessionSetup): MemoryForecast {
  return {
    keyMemory: keys.reduce((sum, key) => sum + key.expandedBytes, 0),
    weightMemory: plan.weights.reduce(
      (sum, { level, count }) => sum + count * plainBytes(parameters, level),
      0,
    ),
  };
}
