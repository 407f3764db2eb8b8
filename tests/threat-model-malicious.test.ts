// What a malicious server can try, held against THREAT-MODEL.md: the tests are named by the rows of its table of attacks.
import { SottoError } from '@sotto/base';
import { Session, type SessionOptions } from '@sotto/client';
import { CkksEvaluator, Encoder } from '@sotto/he/ckks';
import { selectBackend } from '@sotto/he/ring';
import {
  type Ciphertext,
  createParameters,
  deserializeCiphertext,
  deserializeSeededCiphertext,
  EvaluationKeySet,
  expandCiphertext,
  insecureClient,
  openEnvelope,
  RingContext,
  sealEnvelope,
  serializeCiphertext,
} from '@sotto/he/rlwe';
import { floodingLogBound } from '@sotto/he/secret';
import {
  decodeFrame,
  decodeRows,
  encodeFrame,
  encodeRows,
  encodeStreamEvent,
  StreamEventParser,
  streamHeartbeat,
} from '@sotto/protocol';
import { describeModel, type RunningServer, serve } from '@sotto/server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LocalModel, loadLocalModel } from '../packages/client/src/local-model.js';
import { FLOODED_BITS, Vault } from '../packages/client/src/vault.js';
import { clearPrivateSide, startClearEngine } from './fixtures/clear-engine.js';
import { Recorder, type Tamper } from './fixtures/watched-server.js';

const codeOf = async (work: () => unknown): Promise<string> => {
  try {
    await work();
  } catch (error) {
    return SottoError.is(error) ? error.code : String(error);
  }
  return 'no error';
};

describe('a ciphertext that a malicious server sends to be refreshed', () => {
  const backend = selectBackend({ name: 'wasm', threads: 1 });
  const params = createParameters(insecureClient(11, 4));
  const vault = new Vault(params, backend);
  const ring = backend.createRing({ logN: params.logN, primes: params.primes });
  const context = new RingContext(params, ring);
  const evaluator = new CkksEvaluator(context, new EvaluationKeySet(context));
  const encoder = new Encoder(ring);
  const slots = { re: Float64Array.from({ length: 16 }, (_, i) => Math.sin(i)), im: null };
  const fresh = (values: { re: Float64Array; im: null } = slots, owner = vault): Ciphertext =>
    expandCiphertext(context, deserializeSeededCiphertext(params, owner.encrypt(values)));
  const lowest = (a: Ciphertext) => serializeCiphertext(evaluator.toLevel(a, params.bottomLevel));
  const honest = lowest(fresh());
  const refreshed = (bytes: Uint8Array) => codeOf(() => vault.refresh(bytes));
  /** The body of an honest ciphertext with a change, behind a valid checksum. */
  const forged = (change: (body: DataView) => void) => {
    const reader = openEnvelope(honest, 'ciphertext', params.digest);
    const body = reader.bytes(reader.remaining).slice();
    change(new DataView(body.buffer));
    return sealEnvelope('ciphertext', params.digest, (writer) => writer.bytes(body));
  };

  it('B1: is refused at another level, or under the name of another', async () => {
    expect(await refreshed(honest)).toBe('no error');
    for (let level = params.bottomLevel + 1; level <= params.freshLevel; level++) {
      expect(await refreshed(serializeCiphertext(evaluator.toLevel(fresh(), level)))).toBe('REFRESH_LEVEL');
    }
    expect(await refreshed(forged((view) => view.setUint16(0, params.bottomLevel + 1, true)))).toBe(
      'DATA_TRUNCATED',
    );
    expect(await refreshed(forged((view) => view.setUint16(0, 999, true)))).toBe('DATA_VALUE');
  });

  it('B2: is refused with another scale, or one that is no number', async () => {
    const { scale } = context.level(params.bottomLevel);
    for (const other of [2 * scale, scale / 2, scale * (1 + 2 ** -30), 1]) {
      expect(await refreshed(forged((view) => view.setFloat64(2, other, true)))).toBe('REFRESH_LEVEL');
    }
    for (const other of [Number.NaN, Number.POSITIVE_INFINITY, -scale, 0, Number.MAX_VALUE]) {
      expect(await refreshed(forged((view) => view.setFloat64(2, other, true)))).toBe('DATA_VALUE');
    }
  });

  it('B3: is refused with values that no honest computation has, and with residues out of range', async () => {
    for (const size of [100, 1e4]) {
      const large = { re: slots.re.map((value) => size * value), im: null };
      expect(await refreshed(lowest(fresh(large)))).toBe('REFRESH_ESCAPED');
    }
    const noise = forged((view) => {
      for (let at = 10; at < view.byteLength - 4; at += 4) view.setUint32(at, (at * 2654435761) >>> 0, true);
    });
    expect(await refreshed(noise)).toMatch(/^(DATA_VALUE|REFRESH_ESCAPED)$/);
    expect(await refreshed(forged((view) => view.setUint32(10, 0xffffffff, true)))).toBe('DATA_VALUE');
  });

  it('B4: is refused when it is of another ring, another kind or under another key', async () => {
    const others = createParameters(insecureClient(11, 5));
    const foreign = new Vault(others, backend).encrypt(slots);
    expect(await refreshed(foreign)).toMatch(/^(DATA_TYPE|HE_PARAMETERS_MISMATCH)$/);
    const reader = openEnvelope(honest, 'ciphertext', params.digest);
    const body = reader.bytes(reader.remaining);
    const relabelled = sealEnvelope('ciphertext', others.digest, (writer) => writer.bytes(body));
    expect(await refreshed(relabelled)).toBe('HE_PARAMETERS_MISMATCH');
    expect(await refreshed(vault.encrypt(slots))).toBe('DATA_TYPE');
    const stranger = new Vault(params, backend);
    expect(await refreshed(lowest(fresh(slots, stranger)))).toBe('REFRESH_ESCAPED');
  });

  it('B5: is refused when it is cut, longer or damaged', async () => {
    for (const length of [0, 3, 40, honest.length >> 1, honest.length - 1]) {
      expect(await refreshed(honest.subarray(0, length))).toBe('DATA_TRUNCATED');
    }
    expect(await refreshed(Uint8Array.from([...honest, 0]))).toBe('DATA_TRAILING_BYTES');
    for (const at of [0, 5, 20, 200, honest.length - 3]) {
      const damaged = honest.map((byte, i) => (i === at ? byte ^ 4 : byte));
      expect(await refreshed(damaged)).toMatch(/^(DATA_|HE_PARAMETERS_MISMATCH)/);
    }
  });

  it('A5: comes back under fresh randomness and flooded by the stated noise', () => {
    const bottom = context.level(params.bottomLevel);
    const logBound = floodingLogBound(FLOODED_BITS, bottom.scale, params.n);
    expect(logBound).toBeGreaterThan(5);
    const level = params.bottomLevel;
    const coefficientsOf = (bytes: Uint8Array) => encoder.embed(vault.decrypt(bytes), bottom.scale);
    const before = coefficientsOf(honest);
    const noises = Array.from({ length: 8 }, () => {
      const reply = vault.refresh(honest, level);
      using back = expandCiphertext(context, deserializeSeededCiphertext(params, reply));
      return coefficientsOf(serializeCiphertext(back)).map((value, i) => value - before[i]!);
    });
    const replies = [vault.refresh(honest, level), vault.refresh(honest, level)];
    let equal = 0;
    for (let i = 200; i < replies[0]!.length; i++) equal += Number(replies[0]![i] === replies[1]![i]);
    expect(equal / replies[0]!.length).toBeLessThan(0.02);
    const all = noises.flatMap((noise) => [...noise]);
    const mean = all.reduce((sum, value) => sum + value, 0) / all.length;
    const variance = all.reduce((sum, value) => sum + (value - mean) ** 2, 0) / all.length;
    // Uniform below the bound, beside the error of a fresh encryption (3.2) and the rounding of the encoder.
    const stated = 4 ** logBound / 3;
    expect(variance / stated).toBeGreaterThan(0.97);
    expect(variance / stated).toBeLessThan(1.03);
    expect(Math.max(...all.map(Math.abs))).toBeLessThan(2 ** logBound + 60);
    expect(Math.abs(mean)).toBeLessThan((6 * 2 ** logBound) / Math.sqrt(all.length));
    // Two refreshes of one ciphertext have nothing in common.
    const [one, other] = [noises[0]!, noises[1]!];
    const correlation = one.reduce((sum, value, i) => sum + value * other[i]!, 0) / (one.length * stated);
    expect(Math.abs(correlation)).toBeLessThan(6 / Math.sqrt(one.length));
    // In slots: the stated bits, and no more is lost than that.
    const slotError = Math.sqrt((variance * params.n) / bottom.scale ** 2);
    expect(slotError).toBeLessThanOrEqual(2 ** -FLOODED_BITS * 1.02);
    expect(slotError).toBeGreaterThan(2 ** -(FLOODED_BITS + 1.1));
  });

  it('N1: is refreshed when it is well-formed and of honest size, whatever it was made of', () => {
    const shifted = evaluator.addConstNew(evaluator.toLevel(fresh(), params.bottomLevel), 0.125);
    const reply = vault.refresh(serializeCiphertext(shifted));
    using back = expandCiphertext(context, deserializeSeededCiphertext(params, reply));
    expect(back.level).toBe(params.freshLevel);
    const { re } = vault.decrypt(serializeCiphertext(back), 16);
    for (const [i, value] of re.entries()) expect(value).toBeCloseTo(Math.sin(i) + 0.125, 4);
    // A replay is such a ciphertext: its second answer is as good as the first.
    using again = deserializeCiphertext(context, serializeCiphertext(back));
    expect(again.level).toBe(params.freshLevel);
  });
});

describe('a session with a malicious server', () => {
  let model: LocalModel;
  let server: RunningServer;
  beforeAll(async () => {
    model = await loadLocalModel();
    server = await serve({
      model: describeModel(model.weights, {
        ...{ name: model.name, license: 'MIT' },
        backend: { name: 'none', isa: 'none', threads: 1 },
      }),
      ...{ modelPath: model.path, backend: 'auto', threads: 1, maxSessions: 100, requestsPerSecond: 1e6 },
      startEngine: startClearEngine(model.weights),
    });
  }, 120_000);
  afterAll(() => server.close());

  /** Routes that were called in the latest try. */
  let called: string[] = [];

  /** Asks with changed answers; the code of the error that the client ends with. */
  async function asked(lie: Tamper, options: SessionOptions = {}, repeat = 1): Promise<string> {
    const recorder = new Recorder();
    recorder.lie = lie;
    let session: Session | undefined;
    const code = await codeOf(async () => {
      session = await Session.connect(server.url, {
        ...{ model, createPrivateSide: clearPrivateSide(), refresh: 'client', fetch: recorder.fetch },
        ...options,
      });
      for (let i = 0; i < repeat; i++) {
        const question = { publicText: 'Once upon a time', privateText: 'a girl', maxTokens: 2 };
        for await (const _ of session.ask(question));
      }
    });
    called = recorder.messages.map(({ route }) => route);
    recorder.lie = undefined;
    await session?.close().catch(() => {});
    return code;
  }

  /** Lies in one route only; sees the JSON of its answer. */
  const inJson =
    (wanted: string, change: (message: Record<string, unknown>) => unknown): Tamper =>
    (route, body) =>
      route === wanted
        ? new TextEncoder().encode(JSON.stringify(change(JSON.parse(new TextDecoder().decode(body)))))
        : null;
  const refreshRoute = '/v1/jobs/*/refresh/*';
  const resultRoute = '/v1/jobs/*/result';

  it('B6: ends when it claims another model, parameters, plan or key list, and sends no prompt', async () => {
    expect(await asked(() => null)).toBe('no error');
    expect(called).toContain('/v1/sessions/*/blocks');
    const session = async (change: (message: Record<string, unknown>) => unknown) => {
      const code = await asked(inJson('/v1/sessions', change));
      expect(called).toEqual(['/v1/model', '/v1/sessions', '/v1/sessions/*']);
      return code;
    };
    expect(await asked(inJson('/v1/model', (info) => ({ ...info, digest: 'ab'.repeat(32) })))).toBe(
      'MODEL_MISMATCH',
    );
    expect(await session((info) => ({ ...info, parametersDigest: 'ab'.repeat(16) }))).toBe(
      'PARAMETERS_MISMATCH',
    );
    expect(await session((info) => ({ ...info, planDigest: 'ab'.repeat(16) }))).toBe('PLAN_MISMATCH');
    const keys = (change: (list: { index: number; id: string }[]) => unknown) =>
      session((info) => ({ ...info, keys: change(info.keys as { index: number; id: string }[]) }));
    expect(await keys((list) => [...list, { ...list[0]!, index: list.length, id: 'galois-9@9' }])).toBe(
      'PLAN_MISMATCH',
    );
    expect(await keys((list) => list.map((key) => ({ ...key, id: 'sparseToDense@0' })))).toBe(
      'PLAN_MISMATCH',
    );
  });

  it('B7: ends when a refresh or a result is of another request, cut, or damaged', async () => {
    let kept: Uint8Array | undefined;
    const replay =
      (wanted: string): Tamper =>
      (route, body) => {
        if (route !== wanted) return null;
        kept ??= body;
        return kept;
      };
    for (const route of [refreshRoute, resultRoute]) {
      kept = undefined;
      expect(await asked(replay(route))).toBe('FRAME_INDEX');
      const only =
        (change: (body: Uint8Array) => Uint8Array): Tamper =>
        (at, body) =>
          at === route ? change(body) : null;
      expect(await asked(only((body) => body.subarray(0, body.length - 1)))).toBe('DATA_TRUNCATED');
      expect(await asked(only((body) => body.map((byte, i) => (i === 30 ? byte ^ 1 : byte))))).toBe(
        'FRAME_CHECKSUM',
      );
      expect(await asked(only((body) => encodeFrame('key', 0, body)))).toBe('FRAME_KIND');
    }
  });

  it('B8: ends when a result is for other rows, of more ciphertexts or under another key', async () => {
    const result =
      (change: (rows: ReturnType<typeof decodeRows>) => ReturnType<typeof decodeRows>): Tamper =>
      (route, body) => {
        if (route !== resultRoute) return null;
        const { index, payload } = decodeFrame(body, 'result');
        return encodeFrame('result', index, encodeRows(change(decodeRows(payload))));
      };
    expect(await asked(result((rows) => ({ ...rows, position: rows.position + 1 })))).toBe('RESULT_MISMATCH');
    expect(await asked(result((rows) => ({ ...rows, rows: rows.rows + 1 })))).toBe('RESULT_MISMATCH');
    const foreign = (bytes: Uint8Array) => bytes.map((byte, i) => (i === 0 ? byte ^ 7 : byte));
    expect(await asked(result((rows) => ({ ...rows, ciphertexts: rows.ciphertexts.map(foreign) })))).toBe(
      'CIPHERTEXT_KEY',
    );
  });

  it('B9: ends when more refreshes are asked for than the plan has, or any in bootstrap mode', async () => {
    const limited = { createPrivateSide: clearPrivateSide(1, { largestRefreshes: 1 }) };
    expect(await asked(() => null, limited)).toBe('REFRESH_LIMIT');
    // The server runs a session with client refresh and tells the client that it bootstraps.
    const bootstraps = inJson('/v1/sessions', (info) => ({ ...info, refresh: 'bootstrap' }));
    expect(await asked(bootstraps)).toBe('REFRESH_REFUSED');
  });

  it('B10: ends when a message is no message, or would write to the terminal', async () => {
    const text = (wanted: string, body: string): Tamper => {
      return (route) => (route === wanted ? new TextEncoder().encode(body) : null);
    };
    for (const body of ['', 'nonsense', '[]', '{"jobId":7}', `{"jobId":"${'x'.repeat(9999)}"}`]) {
      expect(await asked(text('/v1/sessions/*/blocks', body))).toBe('MESSAGE_INVALID');
    }
    const named = inJson('/v1/model', (info) => ({ ...info, name: 'model\u001b[2J' }));
    expect(await asked(named)).toBe('MESSAGE_INVALID');
  });

  it('B11: ends when an answer or an event has no end', async () => {
    const endless = new Uint8Array(17 << 20).fill(0x20);
    for (const wanted of ['/v1/model', '/v1/sessions', '/v1/sessions/*/blocks']) {
      expect(await asked((route) => (route === wanted ? endless : null))).toBe('SERVER_ANSWER_TOO_LARGE');
    }
    const parser = new StreamEventParser();
    const forever = () => {
      for (let i = 0; i < 40; i++) parser.push(`data: ${'x'.repeat(1 << 19)}${i % 2 === 0 ? '' : '\n'}`);
    };
    expect(await codeOf(forever)).toBe('MESSAGE_INVALID');
    const patient = new StreamEventParser();
    for (let i = 0; i < 40; i++) {
      patient.push(streamHeartbeat);
      expect(patient.push(encodeStreamEvent(i, 'x'.repeat(1 << 19)))).toHaveLength(1);
    }
  });

  it('N2: does not tell a wrong answer from a right one', async () => {
    // The result of one question, given as that of another at the same position.
    let first: Uint8Array | undefined;
    const swap: Tamper = (route, body) => {
      if (route !== resultRoute) return null;
      first ??= body;
      return decodeFrame(body, 'result').index === decodeFrame(first, 'result').index ? first : null;
    };
    expect(await asked(swap, {}, 2)).toBe('no error');
  });
});
