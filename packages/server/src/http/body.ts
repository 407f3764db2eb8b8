import { SottoError } from '@sotto/base';

function tooLarge(sizeBytes: number, limitBytes: number): SottoError {
  return new SottoError('The body is larger than this request takes.', {
    code: 'BODY_TOO_LARGE',
    facts: { sizeBytes, limitBytes },
    fix: 'Send what the protocol describes for this request.',
  });
}

/**
 * Reads a body of at most `limitBytes` as it streams in; nothing larger is ever held.
 *
 * @throws `BODY_TOO_LARGE`; `BODY_LENGTH` when it ends early or has another length than announced.
 */
export async function readBody(request: Request, limitBytes: number): Promise<Uint8Array> {
  const header = request.headers.get('content-length');
  const announced = header === null ? undefined : Number(header);
  if (announced !== undefined && announced > limitBytes) throw tooLarge(announced, limitBytes);
  let out = new Uint8Array(announced ?? Math.min(limitBytes, 65536));
  let length = 0;
  try {
    const reader = request.body?.getReader();
    for (let next = await reader?.read(); next && !next.done; next = await reader!.read()) {
      const needed = length + next.value.length;
      if (needed > limitBytes) throw tooLarge(needed, limitBytes);
      if (needed > out.length) {
        const grown = new Uint8Array(Math.min(limitBytes, Math.max(needed, 2 * out.length)));
        grown.set(out.subarray(0, length));
        out = grown;
      }
      out.set(next.value, length);
      length = needed;
    }
  } catch (error) {
    if (SottoError.is(error)) throw error;
    throw bodyEnded(length, announced);
  }
  if (announced !== undefined && length !== announced) throw bodyEnded(length, announced);
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
