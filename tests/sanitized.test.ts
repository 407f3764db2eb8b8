// Mode sanitized as a user runs it: server and client as two processes, a proxy between them that keeps every byte.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readTokenizerFile, type Tokenizer } from '@sotto/model';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ServerProcess, startServerProcess } from '../packages/cli/dist/server-process.js';
import { processWith } from './fixtures/command-line.js';

const state = mkdtempSync(join(tmpdir(), 'sotto-sanitized-'));

const sotto = processWith({ XDG_STATE_HOME: state });

let server: ServerProcess;
let proxy: Server;
let proxyUrl: string;
const captured: Buffer[] = [];
let tokenizer: Tokenizer;

beforeAll(async () => {
  tokenizer = await readTokenizerFile({}, 512);
  server = await startServerProcess(['--mode', 'sanitized']);
  const port = Number(new URL(server.url).port);
  proxy = createServer((client) => {
    const upstream = connect(port, '127.0.0.1');
    client.on('data', (bytes) => captured.push(bytes));
    upstream.on('data', (bytes) => captured.push(bytes));
    client.pipe(upstream).pipe(client);
    client.on('error', () => upstream.destroy());
    upstream.on('error', () => client.destroy());
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  proxyUrl = `http://127.0.0.1:${(proxy.address() as { port: number }).port}`;
});
afterAll(async () => {
  proxy.close();
  await server.stop();
  rmSync(state, { recursive: true, force: true });
});

/** No dictionary has these, so that none can come out by lot. */
const canaries = [
  'Xyzzyqux',
  'plughword',
  '86753098',
  'eve@secretplace.example',
  'K9ID77',
  '秘密計画',
  '1987-11-23',
];
const privateText = `My friend ${canaries.join(' and ')} met the doctor 🦄`;

/** Every prompt that crossed the proxy, as text. */
function prompts(wire: string): string[] {
  return [...wire.matchAll(/"tokens":(\[[\d,]+\]),"maxTokens"/g)].map(([, tokens]) =>
    tokenizer.decode(JSON.parse(tokens!) as number[]),
  );
}

describe('sotto ask --mode sanitized', () => {
  it('lets no private word into the wire, the server log, metrics or what it keeps', async () => {
    const args = ['ask', '--mode', 'sanitized', '--server', proxyUrl, '--private', privateText];
    const first = await sotto(...args, '--public', 'Once upon a time', '--tokens', '24', '--json');
    expect(first.code, first.err).toBe(0);
    const report = JSON.parse(first.out);
    expect(report).toMatchObject({
      mode: 'sanitized',
      model: 'sotto-stories-2x128',
      table: 'neutral-1',
      notion: 'local differential privacy within a public block of words; which block is visible',
      epsilonPerToken: { exact: 'ln(1084483/398959)' },
      draws: 6,
      budget: { epoch: 0, ofEpoch: 200, ofLifetime: 1000 },
      reason: 'length',
      answerTokens: 24,
    });
    expect(report.epsilonPerToken.atMost).toBeLessThanOrEqual(1);
    expect(report.epsilonDocument).toBeCloseTo(6, 9);
    expect(report.blockBits.document).toBeGreaterThan(20);
    expect(report.wordsChanged).toBeGreaterThanOrEqual(canaries.length);
    expect(report.sanitizerShare).toBeGreaterThan(0);
    const wire = Buffer.concat(captured).toString('utf8');
    expect(wire.length).toBeGreaterThan(1000);
    // Token ids are text to whoever has the tokenizer: the whole of what left is what the report says.
    expect(prompts(wire)).toEqual([report.sent]);
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toMatch(/^sotto_answers 1$/m);
    expect(metrics).toMatch(/^sotto_answer_tokens 24$/m);
    const kept = readdirSync(join(state, 'sotto', 'sanitizer')).map((name) =>
      readFileSync(join(state, 'sotto', 'sanitizer', name), 'latin1'),
    );
    // Ledger, fixed replies, and their lock.
    expect(kept.length).toBe(3);
    const places = { wire, prompt: report.sent, log: server.log(), metrics, kept: kept.join('\n') };
    expect(server.log()).toContain('/v1/answers');
    for (const [place, text] of Object.entries(places)) {
      for (const canary of [...canaries, '🦄', 'secretplace']) {
        const found = text.toLowerCase().includes(canary.toLowerCase());
        expect(found, `${canary} in ${place}`).toBe(false);
      }
    }
  });

  it('says the same of the same text, epoch after epoch something else, and spends a budget', async () => {
    const say = async (text: string, ...more: string[]) => {
      const common = ['ask', '--mode', 'sanitized', '--server', server.url, '--tokens', '1', '--json'];
      const { out, code } = await sotto(
        ...common,
        '--private',
        text,
        '--ledger',
        join(state, 'other'),
        ...more,
      );
      const report = JSON.parse(out);
      return code === 0 ? (report.sent as string) : `${code} ${report.error.code}`;
    };
    const ask = (...more: string[]) => say(privateText, ...more);
    const first = await ask('--epsilon-budget', '13');
    // A reply that was paid for is free, however often it is given.
    for (let again = 0; again < 3; again++) expect(await ask()).toBe(first);
    expect(await say('the green river under the old bridge was cold')).not.toMatch(/^\d BUDGET/);
    expect(await say('a small horse ran across the wide field')).toBe('3 BUDGET_SPENT');
    expect(await ask()).toBe(first);
    const raised = await ask('--epsilon-budget', '100', '--table', 'neutral-3');
    expect(raised).not.toBe(first);
    expect(await ask('--table', 'canary')).toBe('3 TABLE_UNKNOWN');
    expect(await ask('--epsilon-budget', 'canary')).toBe('2 USAGE_NUMBER');
  });

  it('names no private word in its errors', async () => {
    const ask = (...args: string[]) =>
      sotto('ask', '--mode', 'sanitized', '--server', server.url, '--private', privateText, ...args);
    const errors = await Promise.all([
      ask('--tokens', '600'),
      ask('--ledger', '/dev/null/x'),
      ask('--table', '/nowhere.san'),
      ask('--tokenizer', '/nowhere'),
      ask('--epsilon-budget', '1', '--ledger', join(state, 'poor')),
      sotto('ask', '--mode', 'sanitized', '--server', 'http://127.0.0.1:9', '--private', privateText),
    ]);
    for (const { code, out, err } of errors) {
      expect([3, 5]).toContain(code);
      for (const canary of canaries) expect(out + err).not.toContain(canary);
    }
  }, 60_000);

  it('shows what leaves and what comes back', async () => {
    const { code, out, err } = await sotto('demo', '--mode', 'sanitized', '--tokens', '12');
    expect(code, err).toBe(0);
    expect(err).toMatch(/you write {4}Once upon a time, there was \[a little girl/);
    expect(err).toMatch(/leaves {7}Once upon a time, there was \S/);
    expect(err).toMatch(/comes back {3}\S[\s\S]*you read {5}\S/);
    expect(out).toMatch(/^mode +sanitized: the server read all that left/);
    expect(out).toMatch(/^epsilon +ln\(1084483\/398959\) = 1\.0000 a word, \d+\.00 this text$/m);
  });
});
