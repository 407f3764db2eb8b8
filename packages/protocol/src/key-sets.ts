import { z } from 'zod';
import { keyEntrySchema, refreshModeSchema } from './messages.js';
import { printable } from './text.js';

const digest = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.number().int().min(0);

/** Keys cross the network in parts of this size; the last part of a key is shorter. */
export const PART_BYTES = 8 << 20;

/** Version of the resumable upload protocol (tus 1.0, core) that parts are sent with. */
export const TUS_VERSION = '1.0.0';

/** PUT /v1/keysets/:set. The same request again changes nothing. */
export const keySetRequestSchema = z.strictObject({
  modelDigest: z.string().regex(/^[0-9a-f]{16,128}$/),
  refresh: refreshModeSchema,
  parametersName: printable(200).min(1),
  parametersDigest: z.string().regex(/^[0-9a-f]{16,128}$/),
  planDigest: z.string().regex(/^[0-9a-f]{16,128}$/),
  keys: z.array(keyEntrySchema).min(1).max(4096),
});
export type KeySetRequest = z.infer<typeof keySetRequestSchema>;

/** What the server tells about a key set; it can compute with the keys and cannot decrypt with them. */
export const keySetSchema = z.object({
  id: z.string().regex(/^[0-9a-f]{32}$/),
  parametersName: printable(200),
  modelDigest: printable(200),
  refresh: refreshModeSchema,
  /** Of all its keys, whether they arrived or not. */
  sizeBytes: count,
  storedBytes: count,
  keys: count,
  /** Indexes of keys that did not arrive whole. */
  missing: z.array(count),
  createdAt: printable(40),
  expiresAt: printable(40),
  canDecrypt: z.literal(false),
});
export type KeySetInfo = z.infer<typeof keySetSchema>;

/** GET /v1/keysets. */
export const keySetListSchema = z.object({ keySets: z.array(keySetSchema) });

/** PUT /v1/keysets/:set/keys/:index: the SHA-256 digests of a key's parts, in order. */
export const keyPartsSchema = z.strictObject({ parts: z.array(digest).min(1).max(1024) });

/** Answer to it: how many bytes of each part the server has. */
export const keyPartsStateSchema = z.object({ offsets: z.array(count) });
