// Server and client as two processes on toy rings: the built command line, the real engine, real ciphertexts.
import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SottoError } from '@sotto/base';
import { Session, type SessionOptions } from '@sotto/client';
import { tinyTestModel } from '@sotto/engine';
import { writeLlama2c } from '@sotto/model';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ServerProcess, startServerProcess } from '../packages/cli/dist/server-process.js';
import { mainPath as main, processWith } from './fixtures/command-line.js';

/** Runs the command line as a process of its own. */
const sotto = processWith();

const fields = [
  'mode',
  'refresh',
  'model',
  'modelDigest',
  'ring',
  'answer',
  'clearAnswer',
  'tokens',
  'clearTokens',
  'logitsMaxAbsError',
  'logitsRmsError',
  'bootstraps',
  'passes',
  'drafted',
  'accepted',
  'tokensPerPass',
  'seconds',
  'bytes',
  'peakMB',
  'backend',
  'threads',
];

describe('sotto demo', () => {
  it.each([
    { refresh: 'client', privateText: 'a little girl named Lily', tokens: 2, answer: '. She' },
    { refresh: 'bootstrap', privateText: 'a little', tokens: 1, answer: ' g' },
  ])(
    'answers as the clear model does, refreshed by $refresh',
    async ({ refresh, privateText, tokens, answer }) => {
      const { code, out, err } = await sotto(
        ...['demo', '--params', 'insecure-toy', '--refresh', refresh, '--tokens', String(tokens), '--json'],
        ...['--public', 'Once upon a time, there was', '--private', privateText],
      );
      expect(code, err).toBe(0);
      const report = JSON.parse(out.trim().split('\n').at(-1)!);
      expect(Object.keys(report)).toEqual(fields);
      expect(report).toMatchObject({
        mode: 'fhe',
        refresh,
        model: 'sotto-stories-2x128',
        answer,
        clearAnswer: answer,
      });
      expect(report.tokens).toEqual(report.clearTokens);
      expect(report.logitsRmsError).toBeGreaterThan(0);
      expect(report.logitsRmsError).toBeLessThan(0.05);
      expect(report.ring.securityBits).toBeLessThan(128);
      expect(report.bootstraps > 0).toBe(refresh === 'bootstrap');
      expect(report.seconds.perToken).toHaveLength(tokens - 1);
      expect(report.bytes.keysUp).toBeGreaterThan(1e6);
      expect(err).toContain(`encrypted  Once upon a time, there was [${privateText}]${answer}`);
      expect(err).toMatch(/server saw/);
      expect(err).toMatch(/layer \d/);
    },
  );

  it('runs any model in llama2.c format with its own tokenizer', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sotto-model-'));
    const [model, tokenizer] = [join(folder, 'tiny.bin'), join(folder, 'tiny-tokens.bin')];
    writeFileSync(model, writeLlama2c(tinyTestModel(5).model));
    const pieces = ['<unk>', '<s>', '</s>', ' ', ...'abcdefghijklmnopqrst'].map((text) => Buffer.from(text));
    const parts = pieces.flatMap((piece) => [
      Buffer.from(Float32Array.of(0).buffer),
      Buffer.from(Int32Array.of(piece.length).buffer),
      piece,
    ]);
    writeFileSync(tokenizer, Buffer.concat([Buffer.from(Int32Array.of(5).buffer), ...parts]));
    const { code, out, err } = await sotto(
      ...['demo', '--params', 'insecure-toy', '--refresh', 'client', '--tokens', '2', '--json'],
      ...['--model', model, '--tokenizer', tokenizer, '--public', 'ab', '--private', 'hat'],
    );
    rmSync(folder, { recursive: true });
    expect(code, err).toBe(0);
    const report = JSON.parse(out.trim().split('\n').at(-1)!);
    expect(report.model).toBe('tiny');
    expect(report.logitsRmsError).toBeLessThan(0.05);
  });

  it('leaves no server behind when it is killed', async () => {
    const child = spawn(process.execPath, [main, 'demo', '--params', 'insecure-toy', '--private', 'Lily']);
    const url = await new Promise<string>((resolve) => {
      let err = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        err += text;
        const match = /at (http:\/\/[\d.:]+)/.exec(err);
        if (match) resolve(match[1]!);
      });
    });
    const answers = () =>
      fetch(`${url}/health`).then(
        (response) => response.ok,
        () => false,
      );
    expect(await answers()).toBe(true);
    child.kill('SIGKILL');
    for (let tries = 0; tries < 100 && (await answers()); tries++) {
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    expect(await answers()).toBe(false);
  });

  it('stops with typed errors on prompts that cannot be asked', async () => {
    const ask = (...args: string[]) =>
      sotto('demo', '--params', 'insecure-toy', '--refresh', 'client', ...args);
    const empty = await ask('--private', ' ');
    expect(empty.code).toBe(3);
    expect(empty.err).toContain('PROMPT_PRIVATE_EMPTY');
    const long = await ask('--private', 'word '.repeat(300));
    expect(long.code).toBe(3);
    expect(long.err).toContain('PROMPT_TOO_LONG');
  });
});

describe('a client of a server process', () => {
  let server: ServerProcess;
  beforeAll(async () => {
    server = await startServerProcess(['--allow-insecure', '--threads', '1']);
  });
  afterAll(() => server.stop());

  const connect = (options: SessionOptions = {}) =>
    Session.connect(server.url, { refresh: 'client', parameters: 'insecure-toy', ...options });

  async function answer(session: Session, privateText: string): Promise<string> {
    let text = '';
    for await (const token of session.ask({ publicText: 'Once upon a time', privateText, maxTokens: 1 })) {
      text += token.text;
    }
    return text;
  }

  it('sends no private word and no private token, and the server logs none', async () => {
    const sent: Buffer[] = [];
    const recording: typeof fetch = async (input, init) => {
      sent.push(Buffer.from(`${String(input)}\n${JSON.stringify(init?.headers ?? {})}\n`));
      if (init?.body) sent.push(Buffer.from(init.body as Uint8Array));
      return fetch(input, init);
    };
    const session = await connect({ fetch: recording });
    await answer(session, 'Zanzibar pineapple');
    await session.close();
    const bytes = Buffer.concat(sent);
    expect(bytes.length).toBeGreaterThan(1e6);
    const tokens = session.model.tokenizer.encode('Zanzibar pineapple', { bos: false });
    for (const canary of [
      Buffer.from('Zanzibar'),
      Buffer.from('pineapple'),
      Buffer.from(tokens.slice(0, 4).join(',')),
      Buffer.from(Uint32Array.from(tokens.slice(0, 4)).buffer),
      Buffer.from(session.model.weights.embedding.slice(64 * tokens[0]!, 64 * tokens[0]! + 4).buffer),
    ]) {
      expect(bytes.includes(canary)).toBe(false);
      expect(Buffer.from(server.log()).includes(canary)).toBe(false);
    }
    expect(server.log()).toContain('"event":"request"');
  });

  it('can be the command line', async () => {
    const { code, out, err } = await sotto(
      ...[
        'ask',
        '--server',
        server.url,
        '--params',
        'insecure-toy',
        '--refresh',
        'client',
        '--tokens',
        '1',
        '--json',
      ],
      ...['--public', 'Once upon a time, there was', '--private', 'a little'],
    );
    expect(code, err).toBe(0);
    const report = JSON.parse(out.trim().split('\n').at(-1)!);
    expect(report).toMatchObject({ answer: ' g', clearAnswer: null, logitsRmsError: null });
    expect(report.serverSaw).toMatchObject({ publicTokens: 8, privateRows: 2 });
  });

  it('keeps its keys at a server that keeps them, over a restart, and shows and removes them', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sotto-keys-'));
    const key = join(folder, 'my.key');
    const start = () =>
      startServerProcess(['--allow-insecure', '--threads', '1', '--keys', join(folder, 'store')]);
    const ask = (url: string) =>
      sotto(
        ...['ask', '--server', url, '--key', key, '--params', 'insecure-toy', '--refresh', 'client'],
        ...['--tokens', '1', '--json', '--public', 'Once upon a time, there was', '--private', 'a little'],
      );
    const bytesOf = (out: string) => JSON.parse(out.trim().split('\n').at(-1)!).bytes.keysUp;
    let keeping = await start();
    try {
      const first = await ask(keeping.url);
      expect(first.code, first.err).toBe(0);
      expect(bytesOf(first.out)).toBeGreaterThan(1e6);
      await keeping.stop();
      keeping = await start();
      const second = await ask(keeping.url);
      expect(second.code, second.err).toBe(0);
      expect(bytesOf(second.out)).toBe(0);
      expect(JSON.parse(second.out.trim().split('\n').at(-1)!).answer).toBe(' g');
      const manage = (...args: string[]) => sotto('keys', ...args, '--server', keeping.url, '--key', key);
      const list = await manage('list', '--json');
      const [set] = JSON.parse(list.out).keySets;
      expect(set).toMatchObject({ missing: [], canDecrypt: false });
      expect((await manage('show', set.id)).out).toMatch(/can decrypt +no/);
      const copy = join(folder, 'set.keys');
      const exported = await manage('export', set.id, copy);
      expect(exported.out).toMatch(/Can decrypt: no/);
      expect(statSync(copy).size).toBeGreaterThan(set.sizeBytes);
      expect(statSync(copy).mode & 0o077).toBe(0);
      expect((await manage('export', set.id, join(folder, 'nowhere', 'x'))).err).toContain(
        'KEYS_EXPORT_FILE',
      );
      expect((await manage('rm', set.id)).code).toBe(0);
      expect((await manage('list')).out).toContain('keeps no keys');
      chmodSync(key, 0o644);
      const open = await ask(keeping.url);
      expect(open.code).toBe(3);
      expect(open.err).toContain('KEY_FILE_OPEN');
    } finally {
      await keeping.stop();
      rmSync(folder, { recursive: true });
    }
  });

  it('is refused when a key was damaged or is for other parameters', async () => {
    const damage = (change: (body: Uint8Array) => Uint8Array): typeof fetch => {
      return async (input, init) => {
        const isKey = init?.method === 'PUT' && String(input).includes('/keys/1');
        return fetch(
          input,
          isKey ? { ...init, body: change(init.body as Uint8Array) as Uint8Array<ArrayBuffer> } : init,
        );
      };
    };
    const codeOf = async (change: (body: Uint8Array) => Uint8Array) => {
      const session = await connect({ fetch: damage(change) }).catch((error) => error);
      return SottoError.is(session) ? session.code : 'no error';
    };
    expect(await codeOf((body) => body.slice(0, body.length - 5))).toBe('DATA_TRUNCATED');
    expect(await codeOf((body) => body.map((byte, i) => (i === 5000 ? byte ^ 16 : byte)))).toBe(
      'FRAME_CHECKSUM',
    );
  });

  it('cannot ask for insecure parameters unless the server was started for tests', async () => {
    const strict = await startServerProcess([]);
    try {
      const refused = await Session.connect(strict.url, {
        refresh: 'client',
        parameters: 'insecure-toy',
      }).catch((error) => error);
      expect(SottoError.is(refused) && refused.code).toBe('PARAMETERS_INSECURE');
    } finally {
      await strict.stop();
    }
  });
});
