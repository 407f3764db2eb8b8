// Everything that reads bytes or text from a peer, fed with damaged messages: each gives a value or a typed error, fast.
import { SottoError } from '@sotto/base';
import { selectBackend } from '@sotto/he/ring';
import {
  createParameters,
  deserializeEvaluationKey,
  deserializeSeededCiphertext,
  EvaluationKey,
  expandCiphertext,
  insecureClient,
  RingContext,
  serializeEvaluationKey,
  serializeSeededCiphertext,
} from '@sotto/he/rlwe';
import { Encryptor, KeyGenerator, SecretKey } from '@sotto/he/secret';
import {
  decodeFrame,
  decodeRows,
  encodeFrame,
  encodeRows,
  errorBodySchema,
  jobEventSchema,
  parseMessage,
  routes,
  StreamEventParser,
} from '@sotto/protocol';
import fc from 'fast-check';
import { checksum64 } from '../../packages/he/dist/rlwe/checksum.js';
import { residentBytes } from './processes.mjs';
import { round } from './statistics.mjs';

const CHECKSUM_BYTES = 8;
const kinds = ['key', 'block', 'result', 'refreshRequest', 'refreshReply'];
const u32 = fc.oneof(fc.nat(64), fc.constantFrom(0xffffffff, 0x7fffffff, 0x80000000, 4096, 4097), fc.nat());

/** One damage: a byte set, bits flipped, a stretch cut out, the end cut off, bytes added, or a number written over four bytes. */
const damage = fc.oneof(
  fc.record({ how: fc.constant('set'), at: fc.nat(), value: fc.nat(255) }),
  fc.record({ how: fc.constant('flip'), at: fc.nat(), value: fc.integer({ min: 1, max: 255 }) }),
  fc.record({ how: fc.constant('cut'), at: fc.nat(), value: fc.nat(64) }),
  fc.record({ how: fc.constant('end'), at: fc.nat(), value: fc.constant(0) }),
  fc.record({ how: fc.constant('grow'), at: fc.nat(), value: fc.nat(64) }),
  fc.record({ how: fc.constant('u32'), at: fc.nat(), value: u32 }),
);

/** @returns a damaged copy. */
export function damaged(bytes, damages) {
  let out = Uint8Array.from(bytes);
  for (const { how, at, value } of damages) {
    const place = out.length === 0 ? 0 : at % out.length;
    if (how === 'set' && out.length > 0) out[place] = value;
    if (how === 'flip' && out.length > 0) out[place] ^= value;
    if (how === 'cut') out = Uint8Array.from([...out.subarray(0, place), ...out.subarray(place + value)]);
    if (how === 'end') out = out.slice(0, place);
    if (how === 'grow')
      out = Uint8Array.from([...out.subarray(0, place), ...new Uint8Array(value), ...out.subarray(place)]);
    if (how === 'u32' && out.length >= 4)
      new DataView(out.buffer).setUint32(Math.min(place, out.length - 4), value >>> 0, true);
  }
  return out;
}

export const damages = fc.array(damage, { minLength: 0, maxLength: 3 });
const bytes = (maxLength) => fc.uint8Array({ maxLength });
const rows = fc.record({
  position: u32,
  rows: u32,
  ciphertexts: fc.array(bytes(40), { maxLength: 4 }),
});
const schemas = routes.flatMap(({ request, answer }) =>
  [request, answer].flatMap((body) => (typeof body === 'object' && 'json' in body ? [body.json] : [])),
);

/**
 * Each kind of message: how it arises, and how it is read. A message that is read must be the one that was sent.
 *
 * @type {Record<string, { arbitrary: fc.Arbitrary<unknown>, read: (value: any) => unknown }>}
 */
const readers = {
  frame: {
    arbitrary: fc.record({
      ...{ kind: fc.constantFrom(...kinds), other: fc.nat(9), index: u32, payload: bytes(80), damages },
    }),
    read({ kind, other, index, payload, damages }) {
      const expected = kinds[other] ?? kind;
      const sent = damaged(encodeFrame(kind, index, payload), damages);
      const frame = decodeFrame(sent, expected);
      if (!Buffer.from(encodeFrame(frame.kind, frame.index, frame.payload)).equals(Buffer.from(sent)))
        throw new Error('a frame was read as another than was sent');
    },
  },
  rows: {
    arbitrary: fc.record({ rows, damages }),
    read({ rows, damages }) {
      const sent = damaged(encodeRows(rows), damages);
      if (!Buffer.from(encodeRows(decodeRows(sent))).equals(Buffer.from(sent)))
        throw new Error('rows were read as others than were sent');
    },
  },
  anyBytes: {
    arbitrary: fc.record({ expected: fc.constantFrom(...kinds), payload: bytes(200) }),
    read: ({ expected, payload }) => decodeRows(decodeFrame(payload, expected).payload),
  },
  message: {
    arbitrary: fc.record({ schema: fc.nat(schemas.length - 1), value: fc.jsonValue({ maxDepth: 3 }) }),
    read: ({ schema, value }) => parseMessage(schemas[schema], value, 'message'),
  },
  stream: {
    arbitrary: fc.record({
      lines: fc.array(
        fc.oneof(
          fc.string(),
          fc.constantFrom('', 'id: 1', 'data: {}', 'data: {"type":"done"}', ': heartbeat', 'event: x'),
        ),
        { maxLength: 12 },
      ),
      cuts: fc.array(fc.nat(60), { maxLength: 4 }),
    }),
    read({ lines, cuts }) {
      const parser = new StreamEventParser();
      let text = lines.join('\n');
      for (const cut of cuts) {
        for (const { data } of parser.push(text.slice(0, cut))) readEvent(data);
        text = text.slice(cut);
      }
      for (const { data } of parser.push(`${text}\n\n`)) readEvent(data);
    },
  },
  error: {
    arbitrary: fc.jsonValue({ maxDepth: 3 }),
    read: (value) => parseMessage(errorBodySchema, { error: value }, 'error'),
  },
};

function readEvent(data) {
  let value;
  try {
    value = JSON.parse(data);
  } catch {
    return;
  }
  parseMessage(jobEventSchema, value, 'job event');
}

/** The damage is made before the checksum is, so that it gets beyond it. */
function resealed(bytes, damages) {
  const body = damaged(bytes.subarray(0, -CHECKSUM_BYTES), damages);
  return Uint8Array.from([...body, ...checksum64(body)]);
}

/** What of a message reaches the scheme: a key and a ciphertext of a toy ring, read and brought into the memory of the kernels. */
function schemeReaders() {
  const params = createParameters(insecureClient(5, 3));
  const ring = selectBackend({ threads: 1 }).createRing({ logN: params.logN, primes: params.primes });
  const context = new RingContext(params, ring);
  const secret = SecretKey.generate(params);
  const level = params.freshLevel;
  const key = serializeEvaluationKey(new KeyGenerator(context, secret).rotation(3, level));
  const block = serializeSeededCiphertext(
    new Encryptor(context, secret).encryptSeeded(new Float64Array(params.n).fill(1), level),
  );
  const arbitrary = fc.record({
    damages: fc.array(damage, { minLength: 1, maxLength: 2 }),
    whole: fc.boolean(),
  });
  const sent = (bytes, { damages, whole }) => (whole ? damaged : resealed)(bytes, damages);
  return {
    evaluationKey: {
      arbitrary,
      read: (value) =>
        EvaluationKey.expand(context, deserializeEvaluationKey(params, sent(key, value))).release(),
    },
    ciphertext: {
      arbitrary,
      read: (value) =>
        expandCiphertext(context, deserializeSeededCiphertext(params, sent(block, value))).release(),
    },
  };
}

/**
 * Feeds every reader in turns until there were `cases` of them or the time is over.
 *
 * @param {{ cases: number, seconds: number, seed?: number }} options
 */
export function fuzzDecoders({ cases, seconds, seed = Date.now() % 2 ** 31 }) {
  const startMs = performance.now();
  const startBytes = residentBytes(process.pid);
  const all = Object.entries({ ...readers, ...schemeReaders() });
  const seen = { seed, cases: 0, refused: 0, crashes: [], slowestMs: 0, codes: {} };
  const batch = Math.max(100, Math.min(5_000, Math.ceil(cases / all.length / 4)));
  for (let round = 0; seen.cases < cases && performance.now() - startMs < 1000 * seconds; round++) {
    for (const [name, { arbitrary, read }] of all) {
      for (const value of fc.sample(arbitrary, { numRuns: batch, seed: seed + round })) {
        const caseMs = performance.now();
        seen.cases++;
        try {
          read(value);
        } catch (error) {
          if (!SottoError.is(error)) seen.crashes.push(`${name}: ${error}`);
          else {
            seen.refused++;
            seen.codes[error.code] = (seen.codes[error.code] ?? 0) + 1;
          }
        }
        seen.slowestMs = Math.max(seen.slowestMs, performance.now() - caseMs);
      }
    }
  }
  return {
    ...seen,
    crashes: seen.crashes.slice(0, 20),
    slowestMs: round(seen.slowestMs),
    seconds: round((performance.now() - startMs) / 1000),
    residentGrowthMB: round((residentBytes(process.pid) - startBytes) / 1e6),
  };
}
