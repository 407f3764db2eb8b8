import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SottoError } from '@sotto/base';
import { ChatTemplate, type Tokenizer } from '@sotto/model';
import { describeModel, lineLogger, type RunningServer, serve } from '@sotto/server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clearPrivateSide, startClearEngine } from '../../../tests/fixtures/clear-engine.js';
import {
  type Drafter,
  type LocalModel,
  loadLocalModel,
  modelDrafter,
  ngramDrafter,
  type Question,
  Session,
  type SessionOptions,
} from './index.js';

let model: LocalModel;
let server: RunningServer;
const logLines: string[] = [];

beforeAll(async () => {
  model = await loadLocalModel();
  const info = describeModel(model.weights, {
    name: model.name,
    license: 'MIT',
    backend: { name: 'none', isa: 'none', threads: 1 },
  });
  server = await serve({
    model: info,
    modelPath: model.path,
    backend: 'auto',
    threads: 1,
    log: lineLogger((line) => logLines.push(line)),
    startEngine: startClearEngine(model.weights),
  });
});
afterAll(() => server.close());

const connect = (options: SessionOptions = {}) =>
  Session.connect(server.url, { model, createPrivateSide: clearPrivateSide(), ...options });

async function answer(session: Session, question: Question) {
  const tokens = [];
  for await (const token of session.ask(question)) tokens.push(token);
  return tokens;
}

/** The tokenizer of a chat model. */
const withTemplate = (tokenizer: Tokenizer, chatTemplate: ChatTemplate): Tokenizer =>
  new Proxy(tokenizer, {
    get: (target, key) => {
      const value = key === 'chatTemplate' ? chatTemplate : Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'no error',
    (error) => (SottoError.is(error) ? error.code : String(error)),
  );

const question = {
  publicText: 'Once upon a time, there was',
  privateText: 'a little girl named Lily',
  maxTokens: 6,
};

describe('a session', () => {
  it('answers as the clear model does, question after question', async () => {
    const progress: string[] = [];
    const session = await connect({ onProgress: (event) => progress.push(`${event.phase} ${event.done}`) });
    expect(progress.at(-1)).toBe('keys 250000');
    for (let repeat = 0; repeat < 2; repeat++) {
      const tokens = await answer(session, { ...question, compare: true });
      expect(tokens).toHaveLength(6);
      for (const { token, text, clear } of tokens) {
        expect(clear).toMatchObject({ token, text, error: { maxAbs: 0, rms: 0, sameChoice: true } });
      }
      expect(tokens.map((token) => token.text).join('')).toMatch(/^\. She lo/);
    }
    const { serverSaw, positions } = await session.status();
    expect(positions).toBeGreaterThan(12);
    expect(serverSaw.keyBytes).toBe(250_000);
    const { bytes } = session.costs;
    expect(bytes.keysUp).toBe(250_000 + 5 * 20);
    expect(bytes.up).toBeGreaterThan(2 * 8 * 64 * 8);
    await session.close();
    expect(await codeOf(session.status())).toBe('SESSION_UNKNOWN');
  });

  it('says which block of the prompt it is at', async () => {
    const labels: string[] = [];
    const session = await connect();
    const privateText = 'a little girl named Lily who had a big red ball';
    const { length } = model.tokenizer.encode(privateText, { bos: false });
    await answer(session, {
      ...{ publicText: 'Once', privateText, maxTokens: 2 },
      onProgress: ({ label }) => labels.push(label.replace(/(block \d+\/\d+)?.*/, '$1')),
    });
    const blocks = Math.ceil(length / 4);
    const named = Array.from({ length: blocks }, (_, i) => `block ${i + 1}/${blocks}`);
    expect([...new Set(labels)]).toEqual([...named, '']);
    await session.close();
  });

  it('writes a conversation as the chat template of the model says', async () => {
    const chatTemplate = new ChatTemplate(
      '{% for m in messages %}{{ m.content }} said Tom.{% endfor %} The answer was',
    );
    const chat = { ...model, tokenizer: withTemplate(model.tokenizer, chatTemplate) };
    const session = await connect({ model: chat });
    const asked = { system: 'Be kind!', publicText: 'We saw', privateText: 'a big dog', maxTokens: 2 };
    const [first] = await answer(session, { ...asked, compare: true });
    expect(first!.clear!.error.maxAbs).toBe(0);
    const { publicTokens, privateRows } = (await session.status()).serverSaw;
    const count = (text: string) => model.tokenizer.encode(text, { bos: false }).length;
    expect(publicTokens).toBe(1 + count('Be kind!') + count(' said Tom.') + count('We saw'));
    expect(privateRows).toBe(count('a big dog') + count(' said Tom. The answer was') + 1);
    await session.close();
  });

  it('gives the same answer with drafts, in fewer passes', async () => {
    const session = await connect();
    const plain = await answer(session, { ...question, maxTokens: 12 });
    expect(plain.map(({ pass }) => pass)).toEqual(plain.map((_, i) => plain[0]!.pass + i));
    const before = (await session.status()).serverSaw;
    const clear = modelDrafter(model.weights, 512);
    // Every third guess is wrong.
    let guesses = 0;
    const drafter: Drafter = {
      name: 'unreliable',
      draft: (text, count) => clear.draft(text, count).map((token) => (++guesses % 3 === 0 ? 300 : token)),
    };
    const tokens = await answer(session, {
      ...question,
      maxTokens: 12,
      compare: true,
      drafting: { drafter },
    });
    expect(tokens.map(({ token }) => token)).toEqual(plain.map(({ token }) => token));
    expect(tokens.every(({ clear }) => clear?.error.maxAbs === 0)).toBe(true);
    expect(tokens.map(({ text }) => text).join('')).toBe(plain.map(({ text }) => text).join(''));
    const { passes, drafted, accepted } = session.draftCounts;
    expect(passes).toBeLessThan(9);
    expect(accepted).toBeGreaterThan(5);
    expect(drafted).toBeGreaterThan(accepted);
    const after = (await session.status()).serverSaw;
    expect(before.droppedRows).toBe(0);
    // The last pass may have guesses that nobody needs.
    expect(drafted - accepted - after.droppedRows).toBeGreaterThanOrEqual(0);
    expect(after.droppedRows).toBeGreaterThan(0);
    await session.close();
  });

  it('shows the server the same number of rows in every pass when that is asked for', async () => {
    const rows: number[] = [];
    const session = await connect({
      createPrivateSide: async (options) => {
        const side = await clearPrivateSide()(options);
        return {
          ...side,
          encryptRows: (tokens, position) => {
            rows.push(tokens.length);
            return side.encryptRows(tokens, position);
          },
        };
      },
    });
    const drafting = { drafter: ngramDrafter(), rows: 3, fixed: true };
    const tokens = await answer(session, { ...question, drafting });
    const text = tokens.map((token) => token.text).join('');
    expect(text).toMatch(/^\. She lo/);
    const answerRows = rows.slice(
      Math.ceil(model.tokenizer.encode(` ${question.privateText}`, { bos: false }).length / 4),
    );
    expect(new Set(answerRows)).toEqual(new Set([3]));
    await session.close();
  });

  it('repeats a pass without guesses when a guess leaves the calibrated ranges', async () => {
    let broken = 0;
    const session = await connect({
      createPrivateSide: async (options) => {
        const side = await clearPrivateSide()(options);
        let strange = false;
        return {
          ...side,
          encryptRows: (tokens, position) => {
            strange = tokens.includes(300);
            return side.encryptRows(tokens, position);
          },
          decryptRows: (ciphertexts, count) => {
            if (!strange) return side.decryptRows(ciphertexts, count);
            broken++;
            throw new SottoError('void', { code: 'ENGINE_OUTPUT_ESCAPED', fix: 'none' });
          },
        };
      },
    });
    const drafter: Drafter = { name: 'bad', draft: (_, count) => Array(count).fill(300) };
    const tokens = await answer(session, { ...question, drafting: { drafter } });
    expect(tokens.map((token) => token.text).join('')).toMatch(/^\. She lo/);
    expect(broken).toBeGreaterThan(2);
    await session.close();
  });

  it('goes on after tokens that are already known', async () => {
    const session = await connect();
    const all = await answer(session, question);
    const after = all.slice(0, 3).map(({ token }) => token);
    const rest = await answer(session, { ...question, after, maxTokens: 3 });
    expect(rest.map(({ token }) => token)).toEqual(all.slice(3).map(({ token }) => token));
    await session.close();
  });

  it('gives the same answer with client refresh', async () => {
    const session = await connect({ refresh: 'client' });
    const tokens = await answer(session, { ...question, maxTokens: 2, compare: true });
    expect(tokens.map(({ clear }) => clear?.error.maxAbs)).toEqual([0, 0]);
    expect((await session.status()).clientRefreshes).toBeGreaterThanOrEqual(6);
    await session.close();
  });

  it('keeps private words out of every request and every log line', async () => {
    const sent: string[] = [];
    const recording: typeof fetch = async (input, init) => {
      const body = init?.body === undefined ? '' : Buffer.from(init.body as Uint8Array).toString('latin1');
      sent.push(`${String(input)} ${JSON.stringify(init?.headers)} ${body}`);
      return fetch(input, init);
    };
    const session = await connect({ fetch: recording });
    await answer(session, { publicText: 'Hello', privateText: 'Zanzibar pineapple', maxTokens: 2 });
    await session.close();
    const all = sent.join('\n') + logLines.join('');
    expect(sent.length).toBeGreaterThan(8);
    expect(logLines.length).toBeGreaterThan(8);
    for (const word of [
      'Zanzibar',
      'pineapple',
      String(model.tokenizer.encode('Zanzibar', { bos: false })),
    ]) {
      expect(all.toLowerCase()).not.toContain(word.toLowerCase());
    }
  });

  it('survives lost connections where a call may be repeated', async () => {
    let lost = 0;
    const unreliable: typeof fetch = async (input, init) => {
      const drops = /keys\/2|\/result|\/events|\/blocks/.test(String(input));
      const response = await fetch(input, init);
      if (!drops || lost++ % 2 === 1) return response;
      await response.arrayBuffer();
      throw new TypeError('fetch failed');
    };
    const session = await connect({ fetch: unreliable });
    const tokens = await answer(session, { ...question, maxTokens: 2, compare: true });
    expect(tokens.map(({ clear }) => clear?.error.maxAbs)).toEqual([0, 0]);
    expect(lost).toBeGreaterThan(3);
    await session.close();
  });

  it('survives connections that are lost within an answer', async () => {
    const cut = new Set<string>();
    const unreliable: typeof fetch = async (input, init) => {
      const response = await fetch(input, init);
      const path = /keys\/2|\/result|\/blocks|\/public/.exec(String(input))?.[0];
      if (path === undefined || cut.has(path)) return response;
      cut.add(path);
      const [first = 0] = new Uint8Array(await response.arrayBuffer());
      let sent = false;
      const body = new ReadableStream({
        pull: (to) => {
          if (sent) to.error(new TypeError('terminated'));
          else to.enqueue(Uint8Array.of(first));
          sent = true;
        },
      });
      return new Response(body, response);
    };
    const session = await connect({ fetch: unreliable });
    const tokens = await answer(session, { ...question, maxTokens: 2, compare: true });
    expect(tokens.map(({ clear }) => clear?.error.maxAbs)).toEqual([0, 0]);
    expect(cut.size).toBe(4);
    await session.close();
  });

  it('stops when it is told to', async () => {
    const controller = new AbortController();
    const session = await connect({ refresh: 'client' });
    const asking = answer(session, {
      ...question,
      signal: controller.signal,
      onProgress: () => controller.abort(),
    });
    await expect(asking).rejects.toThrow(/abort/i);
    await session.close();
  });
});

describe('a session with a lasting key', () => {
  let stored: RunningServer;
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sotto-session-'));
    const backend = { name: 'none', isa: 'none', threads: 1 };
    stored = await serve({
      model: describeModel(model.weights, { name: model.name, license: 'MIT', backend }),
      ...{ modelPath: model.path, backend: 'auto', threads: 1, keysFolder: folder },
      startEngine: startClearEngine(model.weights),
    });
  });
  afterAll(async () => {
    await stored.close();
    rmSync(folder, { recursive: true });
  });

  it('refuses a first question that cannot be asked before a key is made', async () => {
    const made: number[] = [];
    const refused = (maxTokens: number, known = true) =>
      Session.connect(stored.url, {
        model,
        createPrivateSide: clearPrivateSide(1, {
          makeKey: (index) => new Uint8Array(made.push(index)),
          requireKnown: () => {
            if (!known) throw new SottoError('x', { code: 'ENGINE_TOKEN_UNCALIBRATED', fix: 'x' });
          },
        }),
        key: { token: 'b2'.repeat(32), keep: async () => void made.push(-1) },
        firstQuestion: { ...question, maxTokens },
      });
    expect(await codeOf(refused(4000))).toBe('PROMPT_TOO_LONG');
    expect(await codeOf(refused(0))).toBe('PROMPT_TOKENS');
    expect(await codeOf(refused(1, false))).toBe('ENGINE_TOKEN_UNCALIBRATED');
    expect(made).toEqual([]);
  });

  it('makes and sends keys once, and again only what was damaged', async () => {
    const token = 'a1'.repeat(32);
    let kept: Uint8Array | undefined;
    const made: number[] = [];
    const open = (secret?: Uint8Array) =>
      Session.connect(stored.url, {
        model,
        createPrivateSide: async (options) => ({
          ...(await clearPrivateSide()(options)),
          makeKey: (index) => {
            made.push(index);
            return new Uint8Array(50_000).fill(1).fill(index, 40_000);
          },
        }),
        key: {
          token,
          ...(secret === undefined ? {} : { secret }),
          keep: async (bytes) => {
            expect(made).toEqual([]);
            kept = bytes;
          },
        },
      });
    const first = await open();
    expect(made).toEqual([0, 1, 2, 3, 4]);
    expect(first.costs.bytes.keysUp).toBe(250_000);
    const [token1] = await answer(first, { ...question, maxTokens: 1, compare: true });
    expect(token1!.clear?.error.maxAbs).toBe(0);
    await first.close();

    made.length = 0;
    const second = await open(kept);
    expect(made).toEqual([]);
    expect(second.costs.bytes.keysUp).toBe(0);
    expect((await answer(second, { ...question, maxTokens: 1 }))[0]!.token).toBe(token1!.token);
    await second.close();

    const owner = join(folder, readdirSync(folder)[0]!);
    const parts = join(owner, readdirSync(owner)[0]!, 'parts');
    for (const name of readdirSync(parts).slice(0, 2)) {
      const bytes = readFileSync(join(parts, name));
      bytes[30_000]! ^= 1;
      writeFileSync(join(parts, name), bytes);
    }
    const third = await open(kept);
    expect(made).toHaveLength(2);
    expect((await answer(third, { ...question, maxTokens: 1 }))[0]!.token).toBe(token1!.token);
    await third.close();
  });

  it('stops the job at the server when its question is given up', async () => {
    const controller = new AbortController();
    const jobs: string[] = [];
    const watching: typeof fetch = async (input, init) => {
      if (init?.method === 'DELETE') jobs.push(String(input));
      return fetch(input, init);
    };
    const session = await Session.connect(stored.url, {
      model,
      refresh: 'client',
      createPrivateSide: clearPrivateSide(),
      fetch: watching,
    });
    const abort = () => controller.abort();
    const asking = answer(session, { ...question, signal: controller.signal, onProgress: abort });
    await expect(asking).rejects.toThrow(/abort/i);
    expect(jobs[0]).toMatch(/\/v1\/jobs\/[0-9a-f]{32}$/);
    // The session lives on: the next question resets it as soon as the job has stopped.
    for (let tries = 0; ; tries++) {
      const code = await codeOf(answer(session, { ...question, maxTokens: 1 }));
      if (code === 'no error') break;
      expect(code).toBe('JOB_RUNNING');
      expect(tries).toBeLessThan(100);
    }
    await session.close();
  });
});

describe('bad input', () => {
  it('in a question', async () => {
    const session = await connect();
    const ask = (change: Partial<Question>) => codeOf(answer(session, { ...question, ...change }));
    expect(await ask({ privateText: '  ' })).toBe('PROMPT_PRIVATE_EMPTY');
    expect(await ask({ maxTokens: 0 })).toBe('PROMPT_TOKENS');
    expect(await ask({ maxTokens: 100 })).toBe('PROMPT_TOO_LONG');
    expect(await ask({ publicText: 'word '.repeat(60) })).toBe('PROMPT_TOO_LONG');
    await session.close();
  });

  it('of another model, parameters, plan, key list or key', async () => {
    const other = { ...model, weights: { ...model.weights, digest: 'ab'.repeat(32) } };
    expect(await codeOf(connect({ model: other }))).toBe('MODEL_MISMATCH');
    const side = (overrides: object) => connect({ createPrivateSide: clearPrivateSide(1, overrides) });
    expect(await codeOf(side({ parametersDigest: 'ff'.repeat(16) }))).toBe('PARAMETERS_MISMATCH');
    expect(await codeOf(side({ planDigest: 'ff'.repeat(16) }))).toBe('PLAN_MISMATCH');
    expect(await codeOf(side({ keys: [] }))).toBe('PLAN_MISMATCH');
    expect(await codeOf(side({ makeKey: () => new Uint8Array(10) }))).toBe('KEY_SIZE');
    const wrongKey = await side({ makeKey: () => new Uint8Array(50_000).fill(9) });
    expect(await codeOf(answer(wrongKey, question))).toBe('CIPHERTEXT_KEY');
    await wrongKey.close();
    expect(await codeOf(connect({ parameters: 'insecure-toy' }))).toBe('PARAMETERS_INSECURE');
  });

  it('of an address without a Sotto server', async () => {
    expect(await codeOf(Session.connect('http://127.0.0.1:9', { model }))).toBe('SERVER_UNREACHABLE');
    expect(await codeOf(Session.connect(`${server.url}/elsewhere`, { model }))).toBe('ROUTE_UNKNOWN');
  }, 20_000);
});
