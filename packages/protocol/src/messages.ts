import { SottoError } from '@sotto/base';
import { z } from 'zod';
import { answerModeSchema, textWindowSchema } from './answers.js';
import { printable } from './text.js';
import { PROTOCOL_VERSION } from './version.js';

const digest = z.string().regex(/^[0-9a-f]{16,128}$/);
const count = z.number().int().min(0);
const name = printable(200).min(1);
/** Chosen by the client; means something only together with its token. */
const keySetId = z.string().regex(/^[0-9a-f]{32}$/);

export const refreshModeSchema = z.enum(['bootstrap', 'client']);
/** Who restores levels: the server by bootstrapping, or the client by encrypting again. */
export type RefreshMode = z.infer<typeof refreshModeSchema>;

/** Which parameters a session asks for. Only a name that says insecure gives fewer than 128 bits. */
export const parameterChoiceSchema = z.enum(['secure', 'insecure-toy']);
export type ParameterChoice = z.infer<typeof parameterChoiceSchema>;

export const healthSchema = z.object({
  status: z.literal('ok'),
  protocol: z.number().int(),
  sessions: count,
});

/** GET /v1/model. */
export const modelInfoSchema = z.object({
  protocol: z.literal(PROTOCOL_VERSION),
  name,
  /** SHA-256 of the weights file, hex. */
  digest,
  license: name,
  config: z.object({
    dim: count,
    hiddenDim: count,
    layerCount: count,
    headCount: count,
    kvHeadCount: count,
    vocabSize: count,
    contextLength: count,
    tied: z.boolean(),
  }),
  backend: z.object({ name, isa: name, threads: count }),
  /** The server can keep key sets beyond a session. */
  keyStore: z.boolean().optional(),
  /** Modes in which this server answers; `fhe` alone when absent. */
  modes: z.array(answerModeSchema).min(1).optional(),
  /** Room of an answer in mode `sanitized`. */
  textWindow: textWindowSchema.optional(),
});
export type ModelInfo = z.infer<typeof modelInfoSchema>;

/** POST /v1/sessions. */
export const sessionRequestSchema = z.strictObject({
  protocol: z.literal(PROTOCOL_VERSION),
  modelDigest: digest,
  refresh: refreshModeSchema,
  parameters: parameterChoiceSchema,
  /** A complete key set of the caller, whose client token the request carries; its keys need not be sent again. */
  keySet: keySetId.optional(),
});
export type SessionRequest = z.infer<typeof sessionRequestSchema>;

/** One evaluation key that the server needs. */
export const keyEntrySchema = z.object({
  index: count,
  /** Stable identifier of the key, e.g. `relin@12` or `galois:5@9`. */
  id: name,
  /** Exact size of the key on the wire, without the frame header. */
  sizeBytes: count,
});
export type KeyEntry = z.infer<typeof keyEntrySchema>;

/** How much fits. */
export const windowSchema = z.object({
  /** Rows of one block. */
  blockRows: count,
  publicTokens: count,
  /** Private part and answer together, without the last token of the answer. */
  privateTokens: count,
  /** Public and private together. */
  positions: count,
});
export type Window = z.infer<typeof windowSchema>;

/** Answer to POST /v1/sessions. */
export const sessionSchema = z.object({
  protocol: z.literal(PROTOCOL_VERSION),
  /** 128 random bits, hex. */
  sessionId: z.string().regex(/^[0-9a-f]{32}$/),
  /** Bearer token of this session: 256 random bits, hex. */
  token: z.string().regex(/^[0-9a-f]{64}$/),
  modelDigest: digest,
  refresh: refreshModeSchema,
  parametersName: name,
  parametersDigest: digest,
  planDigest: digest,
  window: windowSchema,
  keys: z.array(keyEntrySchema).max(4096),
});
export type SessionInfo = z.infer<typeof sessionSchema>;

/** Answer to PUT /v1/sessions/:id/keys/:index. */
export const keyStoredSchema = z.object({ index: count, missing: count });

/** POST /v1/sessions/:id/public. */
export const publicRequestSchema = z.strictObject({ tokens: z.array(count).max(1 << 20) });
export const publicStoredSchema = z.object({ tokens: count });

/** Answer to POST /v1/sessions/:id/blocks. */
export const jobCreatedSchema = z.object({ jobId: z.string().regex(/^[0-9a-f]{32}$/) });

/** GET /v1/jobs/:id. */
export const jobStatusSchema = z.object({
  jobId: z.string().regex(/^[0-9a-f]{32}$/),
  state: z.enum(['queued', 'running', 'paused', 'done', 'failed', 'cancelled']),
  seconds: z.number(),
  /** Why a job that does not run waits: for memory, for its keys to be loaded, for a free slot, or for its client. */
  waitingFor: z.enum(['memory', 'keys', 'slot', 'client']).optional(),
});
export type WaitingFor = NonNullable<z.infer<typeof jobStatusSchema>['waitingFor']>;
export type JobStatus = z.infer<typeof jobStatusSchema>;

/** GET /v1/sessions/:id/keys: how far the keys of a named key set are. */
export const keysLoadedSchema = z.object({ loaded: count, total: count });

/** What reached the server, in numbers; never content. */
export const serverSawSchema = z.object({
  publicTokens: count,
  privateRows: count,
  /** Of them, rows that the client gave up: drafted tokens that were not accepted. */
  droppedRows: count,
  keyBytes: count,
  ciphertextBytes: count,
  messages: count,
});
export type ServerSaw = z.infer<typeof serverSawSchema>;

/** GET /v1/sessions/:id. */
export const sessionStatusSchema = z.object({
  keysMissing: count,
  positions: count,
  bootstraps: count,
  clientRefreshes: count,
  serverSaw: serverSawSchema,
  peakRssBytes: count,
});
export type SessionStatus = z.infer<typeof sessionStatusSchema>;

export type Schema = z.ZodType;
export type Parsed<T extends Schema> = z.infer<T>;

/** Parses a control message. @throws `MESSAGE_INVALID` naming the field and what was expected, never the value. */
export function parseMessage<T extends Schema>(schema: T, value: unknown, what: string): Parsed<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new SottoError(`The ${what} is not what the protocol says.`, {
    code: 'MESSAGE_INVALID',
    facts: {
      field: issue === undefined ? '' : issue.path.map(String).join('.').slice(0, 200) || '(whole message)',
      problem: issue?.code ?? 'unknown',
      protocol: PROTOCOL_VERSION,
    },
    fix: 'Use the same Sotto version at client and server, and check the field.',
  });
}
