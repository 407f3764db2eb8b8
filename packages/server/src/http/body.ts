import { SottoError } from '@sotto/base';
import { encodeFrame, type FrameKind } from '@sotto/protocol';

function tooLarge(sizeBytes: number, limitBytes: number): SottoError {
  return new SottoError('The body is larger than this request takes.', {
    code: 'BODY_TOO_LARGE',
    facts: { sizeBytes, limitBytes },
    fix: 'Send what the protocol describes for this request.',
  });
}

/** A body of which nothing arrives for this long is given up. */
const BODY_IDLE_MS = 30_000;

/**
 * The pieces of a body as they arrive.
 *
 * @throws `BODY_LENGTH` when it ends early or has another length than announced; `BODY_TIMEOUT` when nothing arrives.
 */
export async function* bodyChunks(
  request: Request,
  idleMs = BODY_IDLE_MS,
): AsyncGenerator<Uint8Array, void, undefined> {
  const announced = announcedLength(request);
  const reader = request.body?.getReader();
  let length = 0;
  let over = reader === undefined;
  try {
    while (!over) {
      const next = await withTimeout(reader!.read(), idleMs);
      if (next.done) {
        over = true;
        break;
      }
      length += next.value.length;
      yield next.value;
    }
  } catch (error) {
    throw SottoError.is(error) ? error : bodyEnded(length, announced);
  } finally {
    if (!over) void reader?.cancel().catch(() => {});
  }
  if (announced !== undefined && length !== announced) throw bodyEnded(length, announced);
}

function announcedLength(request: Request): number | undefined {
  const header = request.headers.get('content-length');
  return header === null ? undefined : Number(header);
}

async function withTimeout<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(
        new SottoError('The body stopped arriving.', {
          code: 'BODY_TIMEOUT',
          facts: { timeoutMs },
          fix: 'Send the request again; an upload of keys continues where it stopped.',
          retryable: true,
        }),
      );
    }, timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Reads a body of at most `limitBytes` as it streams in; nothing larger is ever held.
 *
 * @throws `BODY_TOO_LARGE`, and the errors of {@link bodyChunks}.
 */
export async function readBody(request: Request, limitBytes: number): Promise<Uint8Array> {
  const announced = announcedLength(request);
  if (announced !== undefined && announced > limitBytes) throw tooLarge(announced, limitBytes);
  let out = new Uint8Array(announced ?? Math.min(limitBytes, 65536));
  let length = 0;
  for await (const chunk of bodyChunks(request)) {
    const needed = length + chunk.length;
    if (needed > limitBytes) throw tooLarge(needed, limitBytes);
    if (needed > out.length) {
      const grown = new Uint8Array(Math.min(limitBytes, Math.max(needed, 2 * out.length)));
      grown.set(out.subarray(0, length));
      out = grown;
    }
    out.set(chunk, length);
    length = needed;
  }
  return length === out.length ? out : out.slice(0, length);
}

function bodyEnded(sizeBytes: number, announced: number | undefined): SottoError {
  return new SottoError('The body ended before it was complete.', {
    code: 'BODY_LENGTH',
    facts: { sizeBytes, announced: announced ?? 'unknown' },
    fix: 'Send the request again.',
    retryable: true,
  });
}

/** Reads and parses a JSON control message. @throws `MESSAGE_INVALID` and the errors of {@link readBody}. */
export async function readJson(request: Request, limitBytes: number): Promise<unknown> {
  const bytes = await readBody(request, limitBytes);
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw new SottoError('The body is not JSON.', {
      code: 'MESSAGE_INVALID',
      facts: { sizeBytes: bytes.length },
      fix: 'Send the control message as JSON in UTF-8.',
    });
  }
}

/** An answer that is one frame. */
export function frameResponse(kind: FrameKind, index: number, payload: Uint8Array): Response {
  return new Response(encodeFrame(kind, index, payload) as Uint8Array<ArrayBuffer>, {
    headers: { 'content-type': 'application/octet-stream', 'cache-control': 'no-store' },
  });
}
