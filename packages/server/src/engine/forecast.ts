import type { SessionSetup } from '@sotto/engine';
import type { PlaintextForm } from '@sotto/he/ckks';
import type { Parameters } from '@sotto/he/rlwe';

/** Memory of one encoded weight: rows over the moduli of its level. */
export function plainBytes(params: Parameters, level: number): number {
  return 4 * params.n * params.levels[level]!.basis.length;
}

/** Memory of an encoded weight that waits as coefficients. */
export const coefficientBytes = (params: Parameters): number => 8 * params.n;

export interface MemoryForecast {
  /** Expanded keys, in bytes. */
  readonly keyMemory: number;
  /** Encoded weights of the model as rows, in bytes; they may be kept in less and encoded again. */
  readonly weightMemory: number;
}

/** Keys and weights of a session at the server, besides bootstrapping matrices and working memory. */
export function serverMemoryForecast({ parameters, plan, keys }: SessionSetup): MemoryForecast {
  return {
    keyMemory: keys.reduce((sum, key) => sum + key.expandedBytes, 0),
    weightMemory: plan.weights.reduce(
      (sum, { level, count }) => sum + count * plainBytes(parameters, level),
      0,
    ),
  };
}

/**
 * Rows of encoded weights are kept while they take no more than this: the first use of a page of memory takes as long as making its
 * contents from coefficients several times, so for many gigabytes a first token would wait longer than later ones gain.
 */
const MOST_ROW_BYTES = 2 * 2 ** 30;

/** Coefficients of more weights than fit here are made again at every use. */
export const COEFFICIENT_CACHE_BYTES = 2 * 2 ** 30;

/** Node, code, model and buffers: what an engine process has besides polynomials and encoded weights. */
export const PROCESS_BYTES = 260e6;

/**
 * Intermediate results, encrypted rows and matrices of bootstrapping, in ciphertexts over all primes. Counted with `countSession`
 * for the embedded models, and rounded up.
 */
const WORKING_CIPHERTEXTS = 64;

export interface EngineMemory {
  /** Keys in memory; 0 when they lie in a file. */
  readonly keyBytes: number;
  /** Encoded weights in the form in which they wait. */
  readonly weightBytes: number;
  readonly workingBytes: number;
  /** All of it, and the process itself. */
  readonly totalBytes: number;
  /** Rows are faster; coefficients take a fifth to a tenth of the memory. */
  readonly plaintexts: PlaintextForm;
}

/**
 * What the process of one session will take at its peak.
 *
 * @param availableBytes decides the form of the weights.
 */
export function engineMemory(
  setup: SessionSetup,
  { availableBytes, keysInFile = false }: { availableBytes: number; keysInFile?: boolean },
): EngineMemory {
  const { parameters, plan } = setup;
  const { keyMemory, weightMemory } = serverMemoryForecast(setup);
  const keyBytes = keysInFile ? 0 : keyMemory;
  const plaintexts =
    weightMemory < Math.min(MOST_ROW_BYTES, (availableBytes - keyBytes) / 2) ? 'rows' : 'coefficients';
  const weightCount = plan.weights.reduce((sum, { count }) => sum + count, 0);
  const coefficients = Math.min(COEFFICIENT_CACHE_BYTES, weightCount * coefficientBytes(parameters));
  const weightBytes = plaintexts === 'rows' ? weightMemory : coefficients;
  const workingBytes = WORKING_CIPHERTEXTS * 2 * 4 * parameters.n * parameters.primes.length;
  return {
    ...{ keyBytes, weightBytes, workingBytes, plaintexts },
    totalBytes: keyBytes + weightBytes + workingBytes + PROCESS_BYTES,
  };
}
