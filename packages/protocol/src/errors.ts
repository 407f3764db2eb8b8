import { type Fact, SottoError } from '@sotto/base';
import { z } from 'zod';
import { printable } from './text.js';

const factSchema = z.union([printable(2000), z.number(), z.boolean(), z.null()]);

/** Body of every response that is not a success: what happened, facts, fix. */
export const errorBodySchema = z.object({
  error: z.object({
    code: z.string().regex(/^[A-Z][A-Z0-9_]{0,63}$/),
    short: printable(2000),
    facts: z.record(printable(200), factSchema).default({}),
    fix: printable(2000).optional(),
    retryable: z.boolean().default(false),
  }),
});

export type ErrorBody = z.infer<typeof errorBodySchema>;

/** Codes of this layer and the HTTP status each travels with. */
const statuses: Record<string, number> = {
  AUTH_REQUIRED: 401,
  HOST_NOT_ALLOWED: 403,
  ORIGIN_NOT_ALLOWED: 403,
  ROUTE_UNKNOWN: 404,
  SESSION_UNKNOWN: 404,
  JOB_UNKNOWN: 404,
  KEY_UNKNOWN: 404,
  REFRESH_UNKNOWN: 404,
  KEYS_MISSING: 409,
  KEY_CONFLICT: 409,
  KEYS_CLOSED: 409,
  PUBLIC_CONFLICT: 409,
  PUBLIC_MISSING: 409,
  BLOCK_OUT_OF_ORDER: 409,
  JOB_RUNNING: 409,
  JOB_NOT_DONE: 409,
  JOB_CANCELLED: 409,
  MODE_UNSUPPORTED: 409,
  MODEL_MISMATCH: 409,
  PLAN_MISMATCH: 409,
  PARAMETERS_MISMATCH: 409,
  BODY_TOO_LARGE: 413,
  BODY_LENGTH: 400,
  MESSAGE_INVALID: 400,
  BODY_TIMEOUT: 408,
  RATE_LIMITED: 429,
  KEYSET_UNKNOWN: 404,
  KEYSET_CONFLICT: 409,
  KEYSET_INCOMPLETE: 409,
  KEYSET_IN_USE: 409,
  KEYS_DAMAGED: 409,
  KEYS_DISABLED: 404,
  KEYS_QUOTA: 413,
  KEYS_DISK_FULL: 507,
  KEYS_DISK: 500,
  STATE_DISK_FULL: 507,
  STATE_DISK: 500,
  STATE_LOST: 409,
  PART_UNKNOWN: 404,
  PART_OFFSET: 409,
  PART_DIGEST: 460,
  SERVER_BUSY: 503,
  SERVER_STOPPING: 503,
  MEMORY_INSUFFICIENT: 503,
  HE_OUT_OF_MEMORY: 503,
  BACKEND_UNAVAILABLE: 503,
  WORKER_LOST: 500,
  INTERNAL: 500,
};

/** Families whose errors come from what the caller sent. */
const callerFamilies =
  /^(DATA|FRAME|PAYLOAD|BLOCK|PROMPT|PUBLIC|CONTEXT|CALIBRATION|TOKEN|KEY|CIPHERTEXT|PARAMETERS|PLAN|MODEL|HE|RLWE|CKKS|ENGINE)_/;

/** HTTP status of an error code; an unknown code counts as the server's own fault. */
export function statusOfCode(code: string): number {
  return statuses[code] ?? (callerFamilies.test(code) ? 400 : 500);
}

/** The JSON body of an error. Anything but a {@link SottoError} becomes a bare `INTERNAL`: its message may hold data. */
export function errorBodyOf(error: unknown): ErrorBody {
  const known = SottoError.is(error)
    ? error
    : new SottoError('The server failed in an unforeseen way.', {
        code: 'INTERNAL',
        fix: 'Look at the server log, then try again.',
      });
  const facts: Record<string, string | number | boolean | null> = {};
  for (const [name, value] of Object.entries(known.facts)) facts[name] = value ?? null;
  return { error: { ...known.toJSON(), facts } };
}

/** The typed error that an error body stands for. */
export function errorFromBody(body: ErrorBody, facts: Record<string, Fact> = {}): SottoError {
  const { code, short, fix, retryable } = body.error;
  return new SottoError(short, {
    code,
    facts: { ...body.error.facts, ...facts },
    ...(fix === undefined ? {} : { fix }),
    retryable,
  });
}
