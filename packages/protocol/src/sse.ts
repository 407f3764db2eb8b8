import { SottoError } from '@sotto/base';

/** One event of a text/event-stream (WHATWG HTML, "Server-sent events"). */
export interface StreamEvent {
  readonly id: string;
  readonly data: string;
}

/** Serialises an event; `data` is one line (JSON has no raw line breaks). */
export function encodeStreamEvent(id: number, data: string): string {
  return `id: ${id}\ndata: ${data}\n\n`;
}

/** A comment that keeps an idle stream open. */
export const streamHeartbeat = ': alive\n\n';

/** Honest events have kilobytes. */
const LARGEST_EVENT_CHARACTERS = 16 << 20;

/** Puts events together from pieces of text as they arrive. */
export class StreamEventParser {
  #rest = '';
  #id = '';
  #data: string[] = [];
  #held = 0;

  /** @throws `MESSAGE_INVALID` for an event without end. */
  push(text: string): StreamEvent[] {
    const events: StreamEvent[] = [];
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const raw of lines) {
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
      if (line === '') {
        if (this.#data.length > 0) events.push({ id: this.#id, data: this.#data.join('\n') });
        this.#data = [];
        this.#held = 0;
      } else if (line.startsWith('data:')) {
        this.#data.push(line.slice(line[5] === ' ' ? 6 : 5));
        this.#held += line.length;
      } else if (line.startsWith('id:')) {
        this.#id = line.slice(line[3] === ' ' ? 4 : 3);
      }
    }
    if (this.#held + this.#rest.length > LARGEST_EVENT_CHARACTERS) {
      throw new SottoError('An event of the stream has no end.', {
        code: 'MESSAGE_INVALID',
        facts: { largestCharacters: LARGEST_EVENT_CHARACTERS },
        fix: 'Use another server.',
      });
    }
    return events;
  }
}
