import type { z } from 'zod';
import { answerEventSchema, answerRequestSchema } from './answers.js';
import { jobEventSchema } from './events.js';
import type { FrameKind } from './frame.js';
import {
  keyPartsSchema,
  keyPartsStateSchema,
  keySetListSchema,
  keySetRequestSchema,
  keySetSchema,
} from './key-sets.js';
import {
  healthSchema,
  jobCreatedSchema,
  jobStatusSchema,
  keyStoredSchema,
  keysLoadedSchema,
  modelInfoSchema,
  publicRequestSchema,
  publicStoredSchema,
  sessionRequestSchema,
  sessionSchema,
  sessionStatusSchema,
} from './messages.js';

/** What a body is: JSON of a schema, one frame, events of a schema, raw bytes of an upload, or text. */
export type Body =
  | { readonly json: z.ZodType }
  | { readonly frame: FrameKind }
  | { readonly events: z.ZodType }
  | 'part'
  | 'text';

/** One request of the protocol. */
export interface Route {
  readonly method: 'get' | 'post' | 'put' | 'patch' | 'delete' | 'options';
  /** Parameters are written `:name`. */
  readonly path: string;
  readonly summary: string;
  /** Whose token the request carries. */
  readonly token: 'none' | 'client' | 'session';
  readonly request?: Body;
  readonly status: number;
  readonly answer?: Body;
  /** Codes of errors that this request in particular may end with. */
  readonly errors?: readonly string[];
}

const session = { token: 'session' } as const;
const client = { token: 'client' } as const;
const open = { token: 'none' } as const;

/** Every request that a server answers. */
export const routes: readonly Route[] = [
  {
    method: 'get',
    path: '/health',
    summary: 'Whether the server runs.',
    ...open,
    status: 200,
    answer: { json: healthSchema },
  },
  {
    method: 'get',
    path: '/metrics',
    summary: 'Counters in the text format of Prometheus.',
    ...open,
    status: 200,
    answer: 'text',
  },
  {
    method: 'get',
    path: '/openapi.json',
    summary: 'This description.',
    ...open,
    status: 200,
    answer: 'text',
  },
  {
    method: 'get',
    path: '/v1/model',
    summary: 'The model and what computes it.',
    ...open,
    status: 200,
    answer: { json: modelInfoSchema },
  },
  {
    method: 'post',
    path: '/v1/answers',
    summary: 'Continues a text that the server may read: the mode that sends sanitized words.',
    ...open,
    request: { json: answerRequestSchema },
    status: 200,
    answer: { events: answerEventSchema },
  },
  {
    method: 'options',
    path: '/v1/keysets',
    summary: 'What of tus 1.0 the server speaks.',
    ...open,
    status: 204,
  },
  {
    method: 'get',
    path: '/v1/keysets',
    summary: 'The key sets of this client.',
    ...client,
    status: 200,
    answer: { json: keySetListSchema },
  },
  {
    method: 'get',
    path: '/v1/keysets/:set',
    summary: 'One key set.',
    ...client,
    status: 200,
    answer: { json: keySetSchema },
    errors: ['KEYSET_UNKNOWN'],
  },
  {
    method: 'put',
    path: '/v1/keysets/:set',
    summary: 'Makes a key set; the same again changes nothing.',
    ...client,
    request: { json: keySetRequestSchema },
    status: 200,
    answer: { json: keySetSchema },
    errors: ['KEYSET_CONFLICT', 'KEYS_QUOTA', 'KEYS_DISK_FULL'],
  },
  {
    method: 'delete',
    path: '/v1/keysets/:set',
    summary: 'Forgets a key set.',
    ...client,
    status: 204,
    errors: ['KEYSET_UNKNOWN', 'KEYSET_IN_USE'],
  },
  {
    method: 'get',
    path: '/v1/keysets/:set/keys/:index',
    summary: 'One stored key, back to its owner.',
    ...client,
    status: 200,
    answer: { frame: 'key' },
    errors: ['KEYSET_UNKNOWN', 'KEYSET_INCOMPLETE', 'KEYS_DAMAGED'],
  },
  {
    method: 'put',
    path: '/v1/keysets/:set/keys/:index',
    summary: 'Names the parts of a key before they are sent; the answer says how much of each is here.',
    ...client,
    request: { json: keyPartsSchema },
    status: 200,
    answer: { json: keyPartsStateSchema },
    errors: ['KEY_UNKNOWN', 'KEY_SIZE', 'KEY_CONFLICT'],
  },
  {
    method: 'get',
    path: '/v1/keysets/:set/parts/:part',
    summary: 'Offset of a part in its headers (tus HEAD).',
    ...client,
    status: 200,
    errors: ['PART_UNKNOWN'],
  },
  {
    method: 'patch',
    path: '/v1/keysets/:set/parts/:part',
    summary: 'Continues a part at its offset (tus PATCH).',
    ...client,
    request: 'part',
    status: 204,
    errors: ['PART_UNKNOWN', 'PART_OFFSET', 'PART_DIGEST', 'KEYS_DISK_FULL'],
  },
  {
    method: 'post',
    path: '/v1/sessions',
    summary: 'Opens a session; the client token is needed when a key set is named.',
    ...client,
    request: { json: sessionRequestSchema },
    status: 201,
    answer: { json: sessionSchema },
    errors: [
      'MODEL_MISMATCH',
      'PARAMETERS_INSECURE',
      'SERVER_BUSY',
      'KEYSET_INCOMPLETE',
      'MEMORY_INSUFFICIENT',
    ],
  },
  {
    method: 'get',
    path: '/v1/sessions/:id',
    summary: 'What the server counts of a session.',
    ...session,
    status: 200,
    answer: { json: sessionStatusSchema },
    errors: ['SESSION_UNKNOWN'],
  },
  {
    method: 'delete',
    path: '/v1/sessions/:id',
    summary: 'Ends a session and forgets its state.',
    ...session,
    status: 204,
  },
  {
    method: 'get',
    path: '/v1/sessions/:id/keys',
    summary: 'How many keys of a stored set are in memory.',
    ...session,
    status: 200,
    answer: { json: keysLoadedSchema },
    errors: ['KEYS_DAMAGED'],
  },
  {
    method: 'put',
    path: '/v1/sessions/:id/keys/:index',
    summary: 'One key of a session whose keys are not stored.',
    ...session,
    request: { frame: 'key' },
    status: 200,
    answer: { json: keyStoredSchema },
    errors: ['KEY_UNKNOWN', 'KEY_SIZE', 'KEY_CONFLICT'],
  },
  {
    method: 'post',
    path: '/v1/sessions/:id/public',
    summary: 'The public part of the prompt, in clear.',
    ...session,
    request: { json: publicRequestSchema },
    status: 200,
    answer: { json: publicStoredSchema },
    errors: ['PROMPT_TOO_LONG', 'TOKEN_UNKNOWN', 'PUBLIC_CONFLICT'],
  },
  {
    method: 'post',
    path: '/v1/sessions/:id/reset',
    summary: 'Forgets prompt and answer; keys stay.',
    ...session,
    status: 204,
    errors: ['JOB_RUNNING'],
  },
  {
    method: 'post',
    path: '/v1/sessions/:id/blocks',
    summary: 'Encrypted rows to compute on; the job has its identifier at once.',
    ...session,
    request: { frame: 'block' },
    status: 202,
    answer: { json: jobCreatedSchema },
    errors: [
      'KEYS_MISSING',
      'PUBLIC_MISSING',
      'JOB_RUNNING',
      'BLOCK_OUT_OF_ORDER',
      'BLOCK_TOO_LONG',
      'STATE_DISK_FULL',
    ],
  },
  {
    method: 'get',
    path: '/v1/jobs/:job',
    summary: 'Where a job is.',
    ...session,
    status: 200,
    answer: { json: jobStatusSchema },
    errors: ['JOB_UNKNOWN'],
  },
  {
    method: 'delete',
    path: '/v1/jobs/:job',
    summary: 'Stops a job at its next operation.',
    ...session,
    status: 204,
  },
  {
    method: 'get',
    path: '/v1/jobs/:job/events',
    summary: 'Events of a job as they come; Last-Event-ID continues after one.',
    ...session,
    status: 200,
    answer: { events: jobEventSchema },
  },
  {
    method: 'get',
    path: '/v1/jobs/:job/result',
    summary: 'Encrypted rows of a finished job.',
    ...session,
    status: 200,
    answer: { frame: 'result' },
    errors: ['JOB_NOT_DONE', 'STATE_LOST'],
  },
  {
    method: 'get',
    path: '/v1/jobs/:job/refresh/:refresh',
    summary: 'A ciphertext that the client is to encrypt anew.',
    ...session,
    status: 200,
    answer: { frame: 'refreshRequest' },
    errors: ['REFRESH_UNKNOWN'],
  },
  {
    method: 'put',
    path: '/v1/jobs/:job/refresh/:refresh',
    summary: 'The same values, encrypted anew.',
    ...session,
    request: { frame: 'refreshReply' },
    status: 204,
    errors: ['REFRESH_UNKNOWN'],
  },
];
