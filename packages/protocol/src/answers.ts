import { z } from 'zod';
import { errorBodySchema } from './errors.js';
import { PROTOCOL_VERSION } from './version.js';

const count = z.number().int().min(0);

/**
 * How the private part of a prompt is protected: `fhe` encrypts it and the answer; in `sanitized` words of it are replaced before it
 * leaves the client, and the server works in clear.
 */
export const answerModeSchema = z.enum(['fhe', 'sanitized']);
export type AnswerMode = z.infer<typeof answerModeSchema>;

/** How much fits into one answer in clear. */
export const textWindowSchema = z.object({
  /** Prompt and answer together. */
  positions: count,
});
export type TextWindow = z.infer<typeof textWindowSchema>;

const MOST_TOKENS = 1 << 17;
const MOST_EMBEDDING_CHARACTERS = 1 << 24;

/**
 * POST /v1/answers. What stands here is read by the server: public text, and sanitized text in place of private text. The prompt comes as
 * tokens or as the rows of the embedding table that belong to them; rows of a public table give away their tokens, so both tell the same.
 */
export const answerRequestSchema = z
  .strictObject({
    protocol: z.literal(PROTOCOL_VERSION),
    mode: z.literal('sanitized'),
    modelDigest: z.string().regex(/^[0-9a-f]{16,128}$/),
    /** Empty when there are embeddings. */
    tokens: z.array(count).max(MOST_TOKENS),
    /** Rows of dim binary16 numbers, low byte first, in base64. */
    embeddings: z.base64().min(1).max(MOST_EMBEDDING_CHARACTERS).optional(),
    /** Largest number of answer tokens. */
    maxTokens: z.number().int().min(1).max(MOST_TOKENS),
    /** Tokens after which the answer is over; they are not sent. */
    endTokens: z.array(count).max(64),
  })
  .refine(({ tokens, embeddings }) => (tokens.length === 0) === (embeddings !== undefined), {
    message: 'a prompt is tokens or embeddings',
  });
export type AnswerRequest = z.infer<typeof answerRequestSchema>;

/** Events of the stream that answers POST /v1/answers. `done` and `failed` end it; closing it before stops the work. */
export const answerEventSchema = z.discriminatedUnion('type', [
  /** Tokens in order; several when they come faster than events are worth sending. */
  z.object({ type: z.literal('tokens'), tokens: z.array(count).min(1).max(MOST_TOKENS) }),
  z.object({
    type: z.literal('done'),
    /** Whether the model ended its answer, or the asked number of tokens was reached. */
    reason: z.enum(['end', 'length']),
    promptTokens: count,
    answerTokens: count,
    /** Waiting for a turn. */
    queueSeconds: z.number(),
    /** Computing. */
    modelSeconds: z.number(),
  }),
  z.object({ type: z.literal('failed'), error: errorBodySchema.shape.error }),
]);
export type AnswerEvent = z.infer<typeof answerEventSchema>;
