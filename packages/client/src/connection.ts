import { ByteWriter, SottoError } from '@sotto/base';
import {
  decodeFrame,
  encodeFrame,
  errorBodySchema,
  errorFromBody,
  type FrameKind,
  type JobEvent,
  jobEventSchema,
  type Parsed,
  parseMessage,
  type Schema,
  StreamEventParser,
} from '@sotto/protocol';

/** Bytes of bodies that crossed the connection. */
export interface Traffic {
  upBytes: number;
  downBytes: number;
}

export interface ConnectionOptions {
  /** Replaces the platform's fetch, e.g. to add a proxy or to record traffic. */
  readonly fetch?: typeof globalThis.fetch;
  /** How long a running job waits for a server that does not answer, e.g. one that restarts. Default two minutes. */
  readonly reconnectMs?: number;
}

type Body = { readonly json: unknown } | { readonly binary: Uint8Array };

export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly body?: Body;
  readonly headers?: Record<string, string>;
  readonly signal?: AbortSignal | undefined;
  /** The call may be made again after a lost connection. */
  readonly repeatable?: boolean;
  /** The call belongs to a job that outlives a restart of the server: it is made again until the patience for that ends. */
  readonly patient?: boolean;
}

/** Honest messages have kilobytes, honest frames at most one evaluation key. */
const LARGEST_TEXT_BYTES = 16 << 20;
const LARGEST_FRAME_BYTES = 256 << 20;
const RETRY_DELAYS_MS = [200, 1000, 3000];
/** A server that had too many requests did nothing with this one: any call may be made again. */
const RATE_RETRIES = 30;
const RATE_PAUSE_MS = 500;
const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** HTTP to one server: authorisation, typed errors, repetition of calls that may be repeated, traffic counts. */
export class Connection {
  readonly traffic: Traffic = { upBytes: 0, downBytes: 0 };
  readonly #base: string;
  readonly #fetch: typeof globalThis.fetch;
  readonly #reconnectMs: number;
  #token: string | undefined;

  constructor(url: string, options: ConnectionOptions = {}) {
    this.#base = url.replace(/\/+$/, '');
    // A page's fetch is only to be called as its own.
    this.#fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init));
    this.#reconnectMs = options.reconnectMs ?? 120_000;
  }

  /** From now on every call carries this session token. */
  authorise(token: string): void {
    this.#token = token;
  }

  async json<T extends Schema>(schema: T, what: string, call: Call): Promise<Parsed<T>> {
    const bytes = await this.#call(call, (response) => bounded(response, LARGEST_TEXT_BYTES));
    const text = new TextDecoder().decode(bytes);
    this.traffic.downBytes += text.length;
    return parseMessage(schema, parseJson(text), what);
  }

  async empty(call: Call): Promise<void> {
    await this.#call(call, (response) => response.arrayBuffer());
  }

  /** Makes a call whose answer is in its headers. */
  async respond(call: Call): Promise<Response> {
    return this.#call(call, async (response) => {
      await response.arrayBuffer();
      return response;
    });
  }

  /** Fetches one frame and gives its payload. @throws the errors of {@link decodeFrame}; `FRAME_INDEX`. */
  async frame(kind: FrameKind, index: number, call: Call): Promise<Uint8Array> {
    const bytes = await this.#call(call, (response) => bounded(response, LARGEST_FRAME_BYTES));
    this.traffic.downBytes += bytes.length;
    const frame = decodeFrame(bytes, kind);
    if (frame.index !== index) {
      throw new SottoError('The server answered with the frame of another request.', {
        code: 'FRAME_INDEX',
        facts: { index: frame.index, expected: index },
        fix: 'Open a new session.',
      });
    }
    return frame.payload;
  }

  /** Follows a job to its `done` or `failed` event, across lost connections. */
  async *events(jobId: string, signal?: AbortSignal): AsyncGenerator<JobEvent, void, undefined> {
    let lastId = '0';
    let seenMs = performance.now();
    for (let attempt = 0; ; attempt++) {
      const call: Call = {
        method: 'GET',
        path: `/v1/jobs/${jobId}/events`,
        headers: { 'last-event-id': lastId },
        signal,
        repeatable: true,
        patient: true,
      };
      const response = await this.#call(call, unread);
      const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
      const parser = new StreamEventParser();
      try {
        for (let next = await reader.read(); !next.done; next = await reader.read()) {
          this.traffic.downBytes += next.value.length;
          for (const { id, data } of parser.push(next.value)) {
            lastId = id;
            attempt = 0;
            seenMs = performance.now();
            const event = parseMessage(jobEventSchema, parseJson(data), 'job event');
            yield event;
            if (event.type === 'done' || event.type === 'failed') return;
          }
        }
      } catch (error) {
        if (SottoError.is(error) || signal?.aborted) throw error;
      } finally {
        await reader.cancel().catch(() => {});
      }
      const silentMs = performance.now() - seenMs;
      if (attempt >= RETRY_DELAYS_MS.length && silentMs > this.#reconnectMs)
        throw unreachable(this.#base, undefined);
      await pause(RETRY_DELAYS_MS[Math.min(attempt, RETRY_DELAYS_MS.length - 1)]!);
    }
  }

  /** Makes a call that is answered by a stream of events. It cannot be taken up again; leaving it closes the connection. */
  async *stream<T extends Schema>(
    schema: T,
    what: string,
    call: Call,
  ): AsyncGenerator<Parsed<T>, void, undefined> {
    const response = await this.#call(call, unread);
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    const parser = new StreamEventParser();
    try {
      for (;;) {
        const next = await this.#read(response, () => reader.read());
        if (next.done) return;
        this.traffic.downBytes += next.value.length;
        for (const { data } of parser.push(next.value)) yield parseMessage(schema, parseJson(data), what);
      }
    } finally {
      await reader.cancel().catch(() => {});
    }
  }

  /** @param take reads what is wanted of the answer; a connection that is lost meanwhile counts as one without an answer. */
  async #call<T>(call: Call, take: (response: Response) => Promise<T>): Promise<T> {
    let limited = 0;
    let lostMs: number | undefined;
    for (let attempt = 0; ; attempt++) {
      call.signal?.throwIfAborted();
      try {
        return await take(await this.#once(call));
      } catch (error) {
        if (SottoError.is(error) && error.code === 'RATE_LIMITED' && limited++ < RATE_RETRIES) {
          await pause(RATE_PAUSE_MS);
          attempt--;
          continue;
        }
        const stopping = SottoError.is(error) && error.code === 'SERVER_STOPPING';
        if (call.patient && !call.signal?.aborted && (stopping || !SottoError.is(error))) {
          lostMs ??= performance.now();
          if (performance.now() - lostMs < this.#reconnectMs) {
            await pause(RETRY_DELAYS_MS[Math.min(attempt, RETRY_DELAYS_MS.length - 1)]!);
            continue;
          }
        }
        const again = call.repeatable && !SottoError.is(error) && attempt < RETRY_DELAYS_MS.length;
        if (call.signal?.aborted || SottoError.is(error)) throw error;
        if (!again) throw unreachable(this.#base, error);
        await pause(RETRY_DELAYS_MS[attempt]!);
      }
    }
  }

  async #once({ method, path, body, headers, signal }: Call): Promise<Response> {
    const binary = body && 'binary' in body;
    const sent = body && (binary ? body.binary : new TextEncoder().encode(JSON.stringify(body.json)));
    const response = await this.#fetch(`${this.#base}${path}`, {
      method,
      headers: {
        ...(this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }),
        ...(body ? { 'content-type': binary ? 'application/octet-stream' : 'application/json' } : {}),
        ...headers,
      },
      ...(sent === undefined ? {} : { body: sent as Uint8Array<ArrayBuffer> }),
      ...(signal === undefined ? {} : { signal }),
    });
    this.traffic.upBytes += sent?.length ?? 0;
    if (response.ok) return response;
    throw await refusal(response);
  }

  async #read<T>(response: Response, body: () => Promise<T>): Promise<T> {
    try {
      return await body();
    } catch (error) {
      if (error instanceof DOMException && error.name === 'AbortError') throw error;
      throw unreachable(response.url || this.#base, error);
    }
  }
}

/** For answers that are read as they come. */
const unread = async (response: Response): Promise<Response> => response;

/** A body of at most `largestBytes`; what is longer is left. @throws `SERVER_ANSWER_TOO_LARGE`. */
async function bounded(response: Response, largestBytes: number): Promise<Uint8Array> {
  const writer = new ByteWriter();
  const reader = response.body?.getReader();
  if (!reader) return writer.finish();
  let sizeBytes = 0;
  for (;;) {
    const next = await reader.read();
    if (next.done) return writer.finish();
    sizeBytes += next.value.length;
    if (sizeBytes > largestBytes) {
      await reader.cancel().catch(() => {});
      throw new SottoError('The answer of the server is larger than any honest one.', {
        code: 'SERVER_ANSWER_TOO_LARGE',
        facts: { largestBytes },
        fix: 'Do not trust this server; use another one.',
      });
    }
    writer.bytes(next.value);
  }
}

/** What is not JSON becomes `undefined`, which no schema takes. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A frame as a request body. */
export const frameBody = (kind: FrameKind, index: number, payload: Uint8Array): Body => ({
  binary: encodeFrame(kind, index, payload),
});

async function refusal(response: Response): Promise<SottoError> {
  try {
    const body = errorBodySchema.parse(JSON.parse(await response.text()));
    return errorFromBody(body, { httpStatus: response.status });
  } catch {
    return new SottoError('The answer does not come from a Sotto server.', {
      code: 'SERVER_UNKNOWN',
      facts: { httpStatus: response.status },
      fix: 'Check the address of the server.',
    });
  }
}

function unreachable(url: string, cause: unknown): SottoError {
  return new SottoError('The server does not answer.', {
    code: 'SERVER_UNREACHABLE',
    facts: { url },
    fix: 'Start it with `sotto serve`, or check the address.',
    retryable: true,
    ...(cause === undefined ? {} : { cause }),
  });
}
