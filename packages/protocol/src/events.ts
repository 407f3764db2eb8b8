import { z } from 'zod';
import { errorBodySchema } from './errors.js';
import { sessionStatusSchema } from './messages.js';

const progressSchema = z.object({
  phase: z.string().max(100),
  label: z.string().max(400),
  done: z.number(),
  total: z.number(),
  unit: z.string().max(40),
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
