import { StreamEventParser } from '@sotto/protocol';
import { streamMismatch } from './question.js';

/** A part of an answer. */
export interface ChatDelta {
  readonly text: string;
  /** Set on the last part: why the answer ended. */
  readonly reason?: string;
}

/** Bytes of an answer with everything around it at most. */
const MOST_BYTES = 64 << 20;
const MOST_REASON = 32;

/**
 * The text of a chat completion, streamed or not, in parts. Takes what OpenAI-compatible servers send: `choices[0].delta.content` in events
 * that end with `[DONE]`, or one object with `choices[0].message.content`.
 *
 * @throws `RESULT_MISMATCH` for anything else, also a stream that breaks off
 */
export async function* chatDeltas(
  response: Response,
  onBytes: (bytes: number) => void,
): AsyncGenerator<ChatDelta, void, undefined> {
  const streamed = (response.headers.get('content-type') ?? '').includes('text/event-stream');
  if (response.body === null) throw streamMismatch('no body');
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  const parser = new StreamEventParser();
  let [size, whole, ended] = [0, '', false];
  try {
    for (;;) {
      const next = await reader.read();
      if (next.done) break;
      size += next.value.length;
      onBytes(next.value.length);
      if (size > MOST_BYTES) throw streamMismatch('an answer without end');
      const text = decoder.decode(next.value, { stream: true });
      if (!streamed) {
        whole += text;
        continue;
      }
      for (const { data } of parser.push(text)) {
        if (data.trim() === '[DONE]') return;
        const delta = deltaOf(data, 'delta');
        ended ||= delta.reason !== undefined;
        yield delta;
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
  if (!streamed) yield deltaOf(whole + decoder.decode(), 'message');
  // Some servers close instead of saying [DONE]; without a reason either, the answer broke off.
  else if (!ended) throw streamMismatch('no end');
}

function deltaOf(data: string, field: 'delta' | 'message'): ChatDelta {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    throw streamMismatch('no JSON');
  }
  const choices = property(value, 'choices');
  if (!Array.isArray(choices))
    throw streamMismatch(property(value, 'error') === undefined ? 'no choices' : 'an error');
  // The last event of some servers holds the use of tokens and no choice.
  if (choices.length === 0) return { text: '' };
  const text = property(property(choices[0], field), 'content') ?? '';
  const reason = property(choices[0], 'finish_reason') ?? undefined;
  if (typeof text !== 'string') throw streamMismatch('an answer that is no text');
  if (reason === undefined) return { text };
  // A word of a protocol, not a channel for text.
  if (typeof reason !== 'string' || reason.length > MOST_REASON)
    throw streamMismatch('a reason that is no word');
  return { text, reason };
}

const property = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
