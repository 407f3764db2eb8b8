import { z } from 'zod';
import { errorBodySchema } from './errors.js';
import { sessionStatusSchema } from './messages.js';
import { printable } from './text.js';

const progressSchema = z.object({
  phase: printable(100),
  label: printable(400),
  done: z.number(),
  total: z.number(),
  unit: printable(40),
  elapsedMs: z.number(),
  remainingMs: z.number().optional(),
});

/** Everything a job tells while it runs. `done` and `failed` end the stream. */
export const jobEventSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('progress'), progress: progressSchema }),
  /** A ciphertext waits at /v1/jobs/:id/refresh/:refreshId for the client to encrypt it anew. */
  z.object({ type: z.literal('refresh'), refreshId: z.number().int().min(0) }),
  z.object({ type: z.literal('done'), seconds: z.number(), status: sessionStatusSchema }),
  z.object({ type: z.literal('failed'), error: errorBodySchema.shape.error }),
]);

export type JobEvent = z.infer<typeof jobEventSchema>;
