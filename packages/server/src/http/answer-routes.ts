import {
  type AnswerEvent,
  answerRequestSchema,
  encodeStreamEvent,
  parseMessage,
  streamHeartbeat,
} from '@sotto/protocol';
import type { Hono } from 'hono';
import { requireMode, type TextService } from '../text/text-service.js';
import { readJson } from './body.js';
import { addressOf } from './rate-limit.js';

/** A prompt of the largest window in decimal digits. */
const PROMPT_LIMIT_BYTES = 2 << 20;
const HEARTBEAT_MS = 10_000;

/** The route of mode `sanitized`: a prompt in clear in, a stream of tokens out. Closing the stream stops the work. */
export function addAnswerRoutes(app: Hono, text: TextService | null): void {
  app.post('/v1/answers', async (c) => {
    if (text === null) requireMode(['fhe'], 'sanitized');
    const body = await readJson(c.req.raw, PROMPT_LIMIT_BYTES);
    const request = parseMessage(answerRequestSchema, body, 'prompt');
    const accepted = text!.accept(request);
    const stop = new AbortController();
    return answerStream(stop, (emit) => text!.run(accepted, addressOf(c), stop, emit));
  });
}

function answerStream(
  stop: AbortController,
  run: (emit: (event: AnswerEvent) => void) => Promise<void>,
): Response {
  const encoder = new TextEncoder();
  let id = 0;
  let gone = false;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      // When its reader is gone the stream takes nothing more.
      const write = (text: string) => {
        if (!gone) controller.enqueue(encoder.encode(text));
      };
      const heartbeat = setInterval(() => write(streamHeartbeat), HEARTBEAT_MS);
      void run((event) => write(encodeStreamEvent(++id, JSON.stringify(event)))).finally(() => {
        clearInterval(heartbeat);
        if (!gone) controller.close();
      });
    },
    cancel() {
      gone = true;
      stop.abort();
    },
  });
  return new Response(body, {
    headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store' },
  });
}
