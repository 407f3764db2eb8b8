import { encodeStreamEvent, streamHeartbeat } from '@sotto/protocol';
import type { Job } from '../state/job.js';

const HEARTBEAT_MS = 10_000;

/** The events of a job after `lastId` as a text/event-stream that ends with the job. */
export function jobStream(job: Job, lastId: number): Response {
  const encoder = new TextEncoder();
  let sent = lastId;
  let stop = () => {};
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      const heartbeat = setInterval(() => controller.enqueue(encoder.encode(streamHeartbeat)), HEARTBEAT_MS);
      const unsubscribe = job.subscribe(() => flush());
      stop = () => {
        clearInterval(heartbeat);
        unsubscribe();
      };
      const flush = () => {
        for (const { id, event } of job.eventsAfter(sent)) {
          sent = id;
          controller.enqueue(encoder.encode(encodeStreamEvent(id, JSON.stringify(event))));
        }
        if (job.ended || job.suspended) {
          stop();
          controller.close();
        }
      };
      flush();
    },
    cancel() {
      stop();
    },
  });
  return new Response(body, {
    headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store' },
  });
}
