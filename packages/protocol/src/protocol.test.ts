import { SottoError } from '@sotto/base';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  checksum32,
  decodeFrame,
  decodeRows,
  encodeFrame,
  encodeRows,
  encodeStreamEvent,
  errorBodyOf,
  errorBodySchema,
  errorFromBody,
  type FrameKind,
  parseMessage,
  StreamEventParser,
  sessionRequestSchema,
  statusOfCode,
  streamHeartbeat,
} from './index.js';

const kinds: FrameKind[] = ['key', 'block', 'result', 'refreshRequest', 'refreshReply'];

function codeOf(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    if (SottoError.is(error)) return error.code;
    throw error;
  }
  return 'no error';
}

describe('checksum32', () => {
  it('gives the published XXH32 test values', () => {
    const text = (value: string) => new TextEncoder().encode(value);
    expect(checksum32(new Uint8Array(0))).toBe(0x02cc5d05);
    expect(checksum32(text('a'))).toBe(0x550d7456);
    expect(checksum32(text('abc'))).toBe(0x32d153ff);
    expect(checksum32(text('Nobody inspects the spammish repetition'))).toBe(0xe2293b2f);
  });
});

describe('frames', () => {
  const frame = fc.record({
    kind: fc.constantFrom(...kinds),
    index: fc.nat({ max: 0xffffffff }),
    payload: fc.uint8Array({ maxLength: 300 }),
  });

  it('come back as they were sent', () => {
    fc.assert(
      fc.property(frame, ({ kind, index, payload }) => {
        const back = decodeFrame(encodeFrame(kind, index, payload), kind);
        expect(back).toEqual({ kind, index, payload });
      }),
    );
  });

  it('refuse every truncation and every added byte with a typed error', () => {
    fc.assert(
      fc.property(frame, fc.nat(), ({ kind, index, payload }, cut) => {
        const bytes = encodeFrame(kind, index, payload);
        const short = bytes.subarray(0, cut % bytes.length);
        expect(codeOf(() => decodeFrame(short, kind))).toBe('DATA_TRUNCATED');
        const long = new Uint8Array(bytes.length + 1);
        long.set(bytes);
        expect(codeOf(() => decodeFrame(long, kind))).toBe('DATA_TRAILING_BYTES');
      }),
    );
  });

  it('refuse every flipped bit with a typed error', () => {
    fc.assert(
      fc.property(frame, fc.nat(), ({ kind, index, payload }, at) => {
        const bytes = encodeFrame(kind, index, payload);
        const bit = at % (8 * bytes.length);
        bytes[bit >> 3]! ^= 1 << (bit & 7);
        expect(codeOf(() => decodeFrame(bytes, kind))).toMatch(/^(FRAME|DATA)_/);
      }),
      { numRuns: 1000 },
    );
  });

  it('refuse random bytes and another kind', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        expect(codeOf(() => decodeFrame(bytes, 'key'))).toMatch(/^(FRAME|DATA)_/);
      }),
    );
    expect(codeOf(() => decodeFrame(encodeFrame('block', 0, new Uint8Array(3)), 'key'))).toBe('FRAME_KIND');
  });
});

describe('rows', () => {
  const rows = fc.record({
    position: fc.nat({ max: 100_000 }),
    rows: fc.integer({ min: 1, max: 64 }),
    ciphertexts: fc.array(fc.uint8Array({ maxLength: 50 }), { minLength: 1, maxLength: 5 }),
  });

  it('come back as they were sent and refuse truncation', () => {
    fc.assert(
      fc.property(rows, fc.nat(), (value, cut) => {
        const bytes = encodeRows(value);
        expect(decodeRows(bytes)).toEqual(value);
        expect(codeOf(() => decodeRows(bytes.subarray(0, cut % bytes.length)))).toMatch(
          /^(DATA_TRUNCATED|PAYLOAD_COUNT|BLOCK_EMPTY)$/,
        );
      }),
    );
  });

  it('never fail untyped or allocate from a lying length', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        const code = codeOf(() => decodeRows(bytes));
        expect(code).toMatch(/^(no error|DATA_|PAYLOAD_|BLOCK_)/);
      }),
      { numRuns: 1000 },
    );
  });

  it('refuse an empty block', () => {
    expect(codeOf(() => decodeRows(encodeRows({ position: 0, rows: 0, ciphertexts: [] })))).toBe(
      'BLOCK_EMPTY',
    );
  });
});

describe('messages', () => {
  const valid = { protocol: 1, modelDigest: 'ab'.repeat(32), refresh: 'client', parameters: 'secure' };

  it('accept what they describe and nothing else, without repeating values', () => {
    expect(parseMessage(sessionRequestSchema, valid, 'session request')).toEqual(valid);
    for (const broken of [
      { ...valid, protocol: 2 },
      { ...valid, refresh: 'canary-value' },
      { ...valid, parameters: 'insecure' },
      { ...valid, modelDigest: 'canary-value' },
      { ...valid, extra: 'canary-value' },
      null,
      'canary-value',
    ]) {
      let caught: unknown;
      try {
        parseMessage(sessionRequestSchema, broken, 'session request');
      } catch (error) {
        caught = error;
      }
      expect(SottoError.is(caught) && caught.code).toBe('MESSAGE_INVALID');
      expect(String(caught)).not.toContain('canary');
    }
  });
});

describe('errors on the wire', () => {
  it('keep code, facts and fix', () => {
    const error = new SottoError('Too long.', {
      code: 'PROMPT_TOO_LONG',
      facts: { tokens: 9 },
      fix: 'Cut it.',
    });
    const back = errorFromBody(errorBodySchema.parse(JSON.parse(JSON.stringify(errorBodyOf(error)))));
    expect(back.message).toBe(error.message);
    expect(back.code).toBe('PROMPT_TOO_LONG');
  });

  it('hide the message of anything unforeseen', () => {
    const body = errorBodyOf(new Error('secret text'));
    expect(body.error.code).toBe('INTERNAL');
    expect(JSON.stringify(body)).not.toContain('secret text');
  });

  it('travel with a status by class', () => {
    expect(statusOfCode('AUTH_REQUIRED')).toBe(401);
    expect(statusOfCode('JOB_UNKNOWN')).toBe(404);
    expect(statusOfCode('KEYS_MISSING')).toBe(409);
    expect(statusOfCode('BODY_TOO_LARGE')).toBe(413);
    expect(statusOfCode('FRAME_CHECKSUM')).toBe(400);
    expect(statusOfCode('SERVER_BUSY')).toBe(503);
    expect(statusOfCode('SOMETHING_ELSE')).toBe(500);
  });
});

describe('event streams', () => {
  it('come together from any split', () => {
    const text = `${encodeStreamEvent(1, '{"a":1}')}${streamHeartbeat}${encodeStreamEvent(2, '{"b":2}')}`;
    fc.assert(
      fc.property(fc.nat({ max: text.length }), fc.nat({ max: text.length }), (x, y) => {
        const [low, high] = x < y ? [x, y] : [y, x];
        const parser = new StreamEventParser();
        const events = [text.slice(0, low), text.slice(low, high), text.slice(high)].flatMap((piece) =>
          parser.push(piece),
        );
        expect(events).toEqual([
          { id: '1', data: '{"a":1}' },
          { id: '2', data: '{"b":2}' },
        ]);
      }),
    );
  });
});
