import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SottoError } from '@sotto/base';
import { rowsOfHalf } from '@sotto/model';
import {
  Ledger,
  MemoryStorage,
  ReplyMemo,
  readShippedTable,
  Sanitizer,
  type SanitizerOptions,
} from '@sotto/privacy';
import {
  continueText,
  describeModel,
  lineLogger,
  type RunningServer,
  type ServeOptions,
  type StartTextModel,
  serve,
} from '@sotto/server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LocalModel, loadLocalModel, Session } from '../index.js';
import type { SanitizedQuestion } from './question.js';
import { SanitizedSession, type SanitizedSummary } from './sanitized-session.js';
import { SanitizerState } from './sanitizer-state.js';

let model: LocalModel;
let tableBytes: Uint8Array;
let server: RunningServer;
const logLines: string[] = [];
/** Answers of the clear model that were asked to stop. */
let stopped = 0;

/** The text model of the server in the thread of the test, in turns with its event loop. */
const inThread: StartTextModel = async () => ({
  async answer(request, { tokens, signal }) {
    const made: number[] = [];
    const end = continueText(model.weights, request, {
      tokens: (batch) => made.push(...batch),
      stopIfCancelled() {},
    });
    for (const token of made) {
      await new Promise((resolve) => setImmediate(resolve));
      if (signal.aborted) {
        stopped++;
        throw signal.reason;
      }
      tokens([token]);
    }
    return end;
  },
  close: async () => {},
});

function start(more: Partial<ServeOptions> = {}) {
  return serve({
    model: describeModel(model.weights, {
      name: model.name,
      license: 'MIT',
      backend: { name: 'none', isa: 'none', threads: 1 },
    }),
    ...{ modelPath: model.path, backend: 'auto', threads: 1 },
    startTextModel: inThread,
    log: lineLogger((line) => logLines.push(line)),
    ...more,
  });
}

beforeAll(async () => {
  model = await loadLocalModel();
  tableBytes = await readShippedTable('neutral-1');
  server = await start();
});
afterAll(() => server.close());

function sanitizerOf(more: Partial<SanitizerOptions> = {}, budget = 1e6) {
  const ledger = new Ledger(new MemoryStorage());
  ledger.setBudget('ada', { epoch: budget, lifetime: budget, delta: 0 });
  const memo = new ReplyMemo(ReplyMemo.newKey(), 0);
  return new Sanitizer({ tableBytes, ledger, user: 'ada', memo, ...more });
}

const connect = (sanitizer = sanitizerOf(), url = server.url) => SanitizedSession.connect(url, { sanitizer });

async function answer(session: SanitizedSession, question: SanitizedQuestion) {
  const prepared = session.prepare(question);
  const stream = session.send(prepared);
  let text = '';
  for (;;) {
    const next = await stream.next();
    if (next.done) return { prepared, text, summary: next.value as SanitizedSummary };
    text += next.value.text;
  }
}

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'no error',
    (error) => (SottoError.is(error) ? error.code : String(error)),
  );
const codeIn = (work: () => unknown) => codeOf((async () => work())());

const question: SanitizedQuestion = {
  publicText: 'Once upon a time, there was',
  privateText: 'a little girl named Quentina with 4711 coins',
  maxTokens: 24,
};

describe('a session in mode sanitized', () => {
  it('sends sanitized text and gets what the clear model says about it', async () => {
    const session = await connect();
    const { prepared, summary, text } = await answer(session, question);
    expect(prepared.sent).toMatch(/^Once upon a time, there was \S+ /);
    expect(prepared.tokens).toEqual(model.tokenizer.encode(prepared.sent, { bos: true }));
    const expected: number[] = [];
    const request = {
      tokens: prepared.tokens,
      maxTokens: 24,
      endTokens: [...model.tokenizer.endTokens, model.tokenizer.bosToken],
    };
    const reason = continueText(model.weights, request, {
      tokens: (batch) => expected.push(...batch),
      stopIfCancelled() {},
    });
    expect(summary).toMatchObject({
      reason,
      answerTokens: expected.length,
      promptTokens: prepared.tokens.length,
    });
    const bytes = Buffer.concat(expected.map((token) => model.tokenizer.bytesOf(token)));
    expect(summary.answerAsSent).toBe(bytes.toString('utf8'));
    expect(text).not.toBe('');
    expect(summary.bytes.up).toBeGreaterThan(100);
    expect(prepared.receipt).toMatchObject({
      piecesReplaced: 8,
      draws: 5,
      epsilonPerWordExact: 'ln(1084483/398959)',
    });
    expect(prepared.receipt.blockBitsDocument).toBeGreaterThan(20);
  });

  it('puts words back that the answer uses, whatever the pieces of the stream', async () => {
    const sanitizer = sanitizerOf();
    const session = await connect(sanitizer);
    const { sent, substitutions } = session.prepare({ privateText: 'Quentina', maxTokens: 1, raw: true });
    expect(substitutions).toEqual([{ original: 'Quentina', substitute: sent, at: 0, wordsInFront: 0 }]);
    // The server of this test says the prompt back, byte by byte.
    const echo = await start({
      startTextModel: async () => ({
        async answer({ tokens: prompt }, hooks) {
          for (const token of prompt.slice(1)) hooks.tokens([token]);
          return 'end';
        },
        close: async () => {},
      }),
    });
    const { text, summary } = await answer(await connect(sanitizer, echo.url), {
      privateText: 'Quentina 🦄 秘密',
      maxTokens: 90,
    });
    expect(text.trim()).toBe('Quentina 🦄 秘密');
    expect(summary.answerAsSent).not.toMatch(/Quentina|🦄|秘密/u);
    await echo.close();
  });

  it('sends embeddings in place of tokens, which tell the same', async () => {
    const bodies: string[] = [];
    const recording: typeof fetch = (url, request) => {
      if (request?.body) bodies.push(Buffer.from(request.body as Uint8Array).toString());
      return fetch(url, request);
    };
    const sanitizer = sanitizerOf();
    const options = { sanitizer, wire: 'embeddings' as const, fetch: recording };
    const session = await SanitizedSession.connect(server.url, options);
    const { prepared, summary } = await answer(session, question);
    const { tokens, embeddings } = JSON.parse(bodies[0]!) as { tokens: number[]; embeddings: string };
    expect(tokens).toEqual([]);
    expect(summary.promptTokens).toBe(prepared.tokens.length);
    const { dim, vocabSize } = model.weights.config;
    const rows = rowsOfHalf(Buffer.from(embeddings, 'base64'), dim);
    const expected: number[] = [];
    const request = {
      tokens: [],
      rows,
      maxTokens: 24,
      endTokens: [...model.tokenizer.endTokens, model.tokenizer.bosToken],
    };
    continueText(model.weights, request, {
      tokens: (batch) => expected.push(...batch),
      stopIfCancelled() {},
    });
    const bytes = Buffer.concat(expected.map((token) => model.tokenizer.bytesOf(token)));
    expect(summary.answerAsSent).toBe(bytes.toString('utf8'));
    // Whoever has the public table reads every token off the wire.
    const nearest = rows.map((row) => {
      const distances = Float64Array.from({ length: vocabSize }, (_, token) =>
        row.reduce((sum, value, d) => sum + (value - model.weights.embedding[token * dim + d]!) ** 2, 0),
      );
      return distances.indexOf(Math.min(...distances));
    });
    expect(nearest).toEqual(prepared.tokens);
  });

  it('says the same thing to a repeated question, and pays once', async () => {
    const sanitizer = sanitizerOf();
    const session = await connect(sanitizer);
    const first = session.prepare(question);
    const second = session.prepare(question);
    expect(second.sent).toBe(first.sent);
    expect(first.receipt.newDraws).toBe(5);
    expect(second.receipt.newDraws).toBe(0);
    expect(session.prepare({ ...question, context: 'another' }).receipt.newDraws).toBe(5);
  });

  it('stops the work at the server when it is left', async () => {
    const session = await connect();
    const before = stopped;
    for await (const _ of session.send(session.prepare({ ...question, maxTokens: 90 }))) break;
    const controller = new AbortController();
    const reading = (async () => {
      for await (const _ of session.send(
        session.prepare({ ...question, maxTokens: 90 }),
        controller.signal,
      )) {
        controller.abort();
      }
    })();
    await expect(reading).rejects.toThrow(/abort/i);
    for (let i = 0; i < 200 && stopped < before + 2; i++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    expect(stopped).toBe(before + 2);
    expect((await answer(session, { ...question, maxTokens: 2 })).summary.answerTokens).toBe(2);
  });
});

describe('words of the user', () => {
  it('are in no byte that crosses the wire, in no log, no metric and no error', async () => {
    const canaries = [
      'Quentinella',
      'zyzzomatosis',
      '8675309',
      'eve@secret.example',
      'K9-ID77',
      '🦄',
      '秘密計画',
      '1999-12-31',
    ];
    const shows = (text: string) =>
      canaries.filter((canary) => text.toLowerCase().includes(canary.toLowerCase()));
    const privateText = canaries.join(' and ');
    const wire: string[] = [];
    const recording: typeof fetch = async (url, request) => {
      const { body, ...rest } = request ?? {};
      wire.push(
        String(url),
        JSON.stringify(rest),
        body === undefined ? '' : Buffer.from(body as Uint8Array).toString(),
      );
      const response = await fetch(url, request);
      const copy = response.clone();
      void copy.text().then(
        (text) => wire.push(text),
        () => {},
      );
      return response;
    };
    const tokensAsText = () =>
      wire
        .filter((part) => part.startsWith('{') && part.includes('"tokens":['))
        .map((part) => {
          const { tokens } = JSON.parse(part) as { tokens: number[] };
          return model.tokenizer.decode(tokens);
        });
    const logged: string[] = [];
    const watched = await start({ log: lineLogger((line) => logged.push(line)) });
    const failing = await start({
      log: lineLogger((line) => logged.push(line)),
      startTextModel: async () => ({
        answer: ({ tokens }) => Promise.reject(new Error(model.tokenizer.decode(tokens))),
        close: async () => {},
      }),
    });
    const ledger = new Ledger(new MemoryStorage());
    ledger.setBudget('ada', { epoch: 4, lifetime: 4, delta: 0 });
    const errors: unknown[] = [];
    const attempt = async (url: string, change: Partial<SanitizedQuestion>, sanitizer = sanitizerOf()) => {
      try {
        const session = await SanitizedSession.connect(url, { sanitizer, fetch: recording });
        const { text } = await answer(session, { privateText, maxTokens: 12, ...change });
        expect(text).not.toBe('');
      } catch (error) {
        errors.push(error);
      }
    };
    await attempt(watched.url, {});
    expect(errors).toEqual([]);
    await attempt(watched.url, { maxTokens: 5000 });
    await attempt(
      watched.url,
      { privateText: `${privateText} seven other words than those of before` },
      sanitizerOf({ ledger }),
    );
    await attempt(failing.url, {});
    await attempt('http://127.0.0.1:1', {});
    expect(errors).toHaveLength(4);
    const metrics = await (await fetch(`${watched.url}/metrics`)).text();
    expect(metrics).toContain('sotto_');
    expect(logged.length).toBeGreaterThan(0);
    // What the server reads is the sanitized text, and only that.
    const read = tokensAsText();
    expect(read.length).toBeGreaterThanOrEqual(2);
    for (const text of read) expect(text).toMatch(/user\d{5}@example\.org/);
    const shown = errors.map(
      (error) => `${(error as Error).stack} ${JSON.stringify(error)} ${String((error as Error).cause)}`,
    );
    for (const text of [...wire, ...read, ...logged, metrics, ...shown]) expect(shows(text)).toEqual([]);
    // The same search finds them where they are.
    expect(shows(privateText)).toEqual(canaries);
    await Promise.all([watched.close(), failing.close()]);
  });
});

describe('what cannot be asked', () => {
  it('is refused before it is paid for', async () => {
    const ledger = new Ledger(new MemoryStorage());
    ledger.setBudget('ada', { epoch: 9, lifetime: 9, delta: 0 });
    const session = await connect(sanitizerOf({ ledger }));
    const code = (change: Partial<SanitizedQuestion>) =>
      codeIn(() => session.prepare({ ...question, ...change }));
    expect(await code({ privateText: ' \n' })).toBe('PROMPT_PRIVATE_EMPTY');
    expect(await code({ maxTokens: 0 })).toBe('PROMPT_TOKENS');
    expect(await code({ maxTokens: 500 })).toBe('PROMPT_TOO_LONG');
    expect(await code({ privateText: 'word '.repeat(600) })).toBe('PROMPT_TOO_LONG');
    expect(await code({ privateText: 'one fox, two foxes; '.repeat(500_000) })).toBe('PROMPT_TOO_LONG');
    expect(ledger.statement('ada').draws).toBe(0);
    expect(await code({})).toBe('no error');
    expect(await code({ privateText: 'seven other words than those of before' })).toBe('BUDGET_SPENT');
  });

  it('is refused by servers of other modes, never answered in another one', async () => {
    const [clear, encrypted] = [await start({ modes: ['sanitized'] }), await start({ modes: ['fhe'] })];
    expect(await codeOf(Session.connect(clear.url, { model }))).toBe('MODE_UNSUPPORTED');
    expect(await codeOf(connect(sanitizerOf(), encrypted.url))).toBe('MODE_UNSUPPORTED');
    const post = async (path: string, url: string) => {
      const response = await fetch(`${url}${path}`, { method: 'POST', body: '{}' });
      return ((await response.json()) as { error: { code: string } }).error.code;
    };
    expect(await post('/v1/answers', encrypted.url)).toBe('MODE_UNSUPPORTED');
    await Promise.all([clear.close(), encrypted.close()]);
  });
});

describe('the server', () => {
  const post = async (change: object) => {
    const body = {
      ...{ protocol: 1, mode: 'sanitized', modelDigest: model.weights.digest },
      ...{ tokens: [1, 5], maxTokens: 3, endTokens: [] },
      ...change,
    };
    const response = await fetch(`${server.url}/v1/answers`, { method: 'POST', body: JSON.stringify(body) });
    const text = await response.text();
    return response.ok ? 'answered' : (JSON.parse(text) as { error: { code: string } }).error.code;
  };

  it('refuses what is not a prompt of its model', async () => {
    expect(await post({})).toBe('answered');
    expect(await post({ modelDigest: 'ab'.repeat(32) })).toBe('MODEL_MISMATCH');
    expect(await post({ tokens: [1, 512] })).toBe('TOKEN_UNKNOWN');
    expect(await post({ tokens: Array(513).fill(5) })).toBe('PROMPT_TOO_LONG');
    expect(await post({ maxTokens: 1000 })).toBe('PROMPT_TOO_LONG');
    for (const wrong of [
      { tokens: [] },
      { tokens: [-1] },
      { tokens: ['x'] },
      { maxTokens: 0 },
      { mode: 'plain' },
      { text: 'x' },
      { tokens: [] },
      { embeddings: 'AAAA' },
      { tokens: [], embeddings: 'no base64!' },
    ])
      expect(await post(wrong)).toBe('MESSAGE_INVALID');
    expect(await post({ tokens: Array(600_000).fill(12345) })).toBe('BODY_TOO_LARGE');
    const { dim } = model.weights.config;
    const rowsOf = (count: number, pattern = 0x3c00) =>
      Buffer.from(new Uint16Array(count * dim).fill(pattern).buffer).toString('base64');
    expect(await post({ tokens: [], embeddings: rowsOf(2) })).toBe('answered');
    expect(await post({ tokens: [], embeddings: rowsOf(513) })).toBe('PROMPT_TOO_LONG');
    // Infinity, not a number, and half a row.
    expect(await post({ tokens: [], embeddings: rowsOf(2, 0x7c00) })).toBe('EMBEDDINGS_INVALID');
    expect(await post({ tokens: [], embeddings: rowsOf(2, 0x7e00) })).toBe('EMBEDDINGS_INVALID');
    expect(await post({ tokens: [], embeddings: Buffer.alloc(dim).toString('base64') })).toBe(
      'EMBEDDINGS_INVALID',
    );
  });

  it('lets answers wait for their turn, and not too many', async () => {
    let release = () => {};
    const free = new Promise<void>((resolve) => {
      release = resolve;
    });
    const slow = await start({
      startTextModel: async () => ({
        async answer(_, { tokens }) {
          await free;
          tokens([5]);
          return 'length';
        },
        close: async () => {},
      }),
    });
    const session = await connect(sanitizerOf(), slow.url);
    const asked = Array.from({ length: 40 }, () => codeOf(answer(session, { ...question, maxTokens: 1 })));
    let refused = 0;
    for (const one of asked) void one.then((code) => code === 'SERVER_BUSY' && refused++);
    while (refused < 7) await new Promise((resolve) => setTimeout(resolve, 10));
    release();
    const codes = await Promise.all(asked);
    expect(codes.filter((code) => code === 'no error')).toHaveLength(33);
    expect(codes.filter((code) => code === 'SERVER_BUSY')).toHaveLength(7);
    await slow.close();
  });

  it('ends answers with a typed error when it stops or the model fails', async () => {
    const hanging = await start({
      startTextModel: async () => ({
        answer: (_, { signal }) =>
          new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
        close: async () => {},
      }),
    });
    const waiting = codeOf(answer(await connect(sanitizerOf(), hanging.url), question));
    await new Promise((resolve) => setTimeout(resolve, 100));
    await hanging.close();
    expect(await waiting).toBe('JOB_CANCELLED');
    const broken = await start({ startTextModel: () => Promise.reject(new TypeError('canary words')) });
    const failure = answer(await connect(sanitizerOf(), broken.url), question);
    await expect(failure).rejects.toThrow(/INTERNAL/);
    await expect(failure).rejects.not.toThrow(/canary/);
    expect(logLines.join('')).not.toContain('canary');
    await broken.close();
  });
});

describe('the state of a sanitizer', () => {
  it('keeps budget, spending and replies in a folder of its owner', () => {
    const folder = join(mkdtempSync(join(tmpdir(), 'sanitizer-')), 'state');
    const state = SanitizerState.open(folder, 60);
    expect(statSync(join(folder, 'memo.key')).mode & 0o777).toBe(0o600);
    expect(() => SanitizerState.open(folder)).toThrow(/LEDGER_LOCKED/);
    const text = 'the doctor met a student';
    const open = (from: SanitizerState) =>
      sanitizerOf({ ledger: from.ledger, user: from.user, memo: from.memo() });
    const first = open(state).sanitize(text);
    expect(first.receipt.newDraws).toBe(4);
    state.close();
    const again = SanitizerState.open(folder);
    const repeated = open(again).sanitize(text);
    expect(repeated.text).toBe(first.text);
    // Paid for by the process before.
    expect(repeated.receipt).toMatchObject({ draws: 4, newDraws: 0 });
    expect(again.ledger.statement(again.user)).toMatchObject({
      budget: { epoch: 60, lifetime: 300 },
      draws: 4,
    });
    again.ledger.rotate(again.user);
    const rotated = Array.from({ length: 10 }, (_, i) => open(again).sanitize(text, String(i)).text);
    expect(new Set(rotated).size).toBeGreaterThan(5);
    again.close();
    const raised = SanitizerState.open(folder, 500);
    expect(raised.ledger.statement(raised.user).budget).toMatchObject({ epoch: 500, lifetime: 500 });
    raised.close();
    chmodSync(join(folder, 'memo.key'), 0o644);
    expect(() => SanitizerState.open(folder)).toThrow(/MEMO_KEY_OPEN/);
    chmodSync(join(folder, 'memo.key'), 0o600);
    writeFileSync(join(folder, 'memo.key'), 'short');
    const short = SanitizerState.open(folder);
    expect(() => short.memo()).toThrow(/MEMO_KEY/);
    short.close();
    rmSync(folder, { recursive: true });
    writeFileSync(folder, 'a file');
    expect(() => SanitizerState.open(folder)).toThrow(/FILE_UNREADABLE/);
  });
});
