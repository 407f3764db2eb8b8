import { SottoError } from '@sotto/base';

/** Exit codes by class. */
export const exitCodes = {
  ok: 0,
  /** An error that nobody foresaw: a defect. */
  defect: 1,
  /** The command line is wrong. */
  usage: 2,
  /** A prompt, file, key or message cannot be used. */
  badInput: 3,
  /** This machine lacks something. */
  environment: 4,
  /** The server does not answer, refuses or failed. */
  server: 5,
  /** The encrypted answer is not the clear model's. */
  wrongResult: 6,
  /** Stopped by Ctrl-C. */
  interrupted: 130,
} as const;

const classes: readonly (readonly [RegExp, number])[] = [
  [/^USAGE_/, exitCodes.usage],
  [/^(RESULT_WRONG|ENGINE_OUTPUT_ESCAPED|REFRESH_ESCAPED)$/, exitCodes.wrongResult],
  [/^(BACKEND|MEMORY|ENVIRONMENT|NATIVE|WASM)_|_OUT_OF_MEMORY$|^SERVER_ADDRESS$/, exitCodes.environment],
  [/^(SERVER|WORKER|JOB|SESSION|AUTH|RESULT|REFRESH|HOST|ORIGIN|ROUTE|INTERNAL)/, exitCodes.server],
  [/./, exitCodes.badInput],
];

/** Exit code of an error. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof Error && error.name === 'AbortError') return exitCodes.interrupted;
  if (!SottoError.is(error)) return exitCodes.defect;
  return classes.find(([pattern]) => pattern.test(error.code))![1];
}
