import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SottoError } from '@sotto/base';
import { Ledger, MemoryStorage, ReplyMemo, readShippedTable, Sanitizer } from '@sotto/privacy';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { UpstreamSession, type UpstreamSummary } from './upstream-session.js';

const KEY = 'sk-canarykey-0123456789';
// None of them is in the vocabulary: a word of it may draw itself.
const CANARIES = ['Quentina', 'zyzzomatosis', '4711-99', 'canary@secret.example'];
const privateText = `My doctor in Lyon told Quentina (canary@secret.example, 4711-99) about her zyzzomatosis.`;

let tableBytes: Uint8Array;
let server: Server;
let url: string;
/** All that came in: request lines, headers, bodies. */
let captured = '';
let respond: (sent: string) => { status?: number; type?: string; parts: readonly (string | Buffer)[] };

const event = (content: string, reason: string | null = null) =>
  `data: ${JSON.stringify({ id: 'x', choices: [{ index: 0, delta: { content }, finish_reason: reason }] })}\n\n`;

beforeAll(async () => {
  tableBytes = await readShippedTable('neutral-1');
  server = createServer((request, response) => {
    captured += `${request.method} ${request.url}\n${JSON.stringify(request.headers)}\n`;
    let body = '';
    request.on('data', (data) => {
      body += data;
    });
    request.on('end', async () => {
      captured += `${body}\n`;
      const { messages } = JSON.parse(body) as { messages: { content: string }[] };
      const { status = 200, type = 'text/event-stream', parts } = respond(messages.at(-1)!.content);
      response.writeHead(status, { 'content-type': type, location: 'http://127.0.0.1:1/' });
      for (const part of parts) {
        response.write(part);
        await new Promise((resolve) => setImmediate(resolve));
      }
      response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
});
afterAll(() => server.close());

function sessionWith(budget = 1e6, key: string | undefined = KEY, to = url) {
  const ledger = new Ledger(new MemoryStorage());
  ledger.setBudget('ada', { epoch: budget, lifetime: budget, delta: 0 });
  const memo = new ReplyMemo(ReplyMemo.newKey(), 0);
  const sanitizer = new Sanitizer({ tableBytes, ledger, user: 'ada', memo });
  return new UpstreamSession(to, { sanitizer, model: 'some-model', ...(key === undefined ? {} : { key }) });
}

async function ask(session: UpstreamSession) {
  const prepared = session.prepare({
    publicText: 'Sum it up.',
    privateText,
    maxTokens: 50,
    system: 'Be brief.',
  });
  const stream = session.send(prepared);
  let text = '';
  for (;;) {
    const next = await stream.next();
    if (next.done) return { prepared, text, summary: next.value as UpstreamSummary };
    text += next.value.text;
  }
}

async function errorOf(work: () => unknown): Promise<SottoError> {
  try {
    await work();
  } catch (error) {
    if (SottoError.is(error)) return error;
    throw error;
  }
  throw new Error('no error');
}

describe('an upstream', () => {
  it('gets sanitized text only, and its answer comes back with the words of the user, however it is cut', async () => {
    captured = '';
    // Says the text back, byte by byte.
    respond = (sent) => ({
      parts: [
        ...Buffer.from(`${event(`You said: ${sent}`)}: alive\n\n${event('', 'stop')}data: [DONE]\n\n`),
      ].map((byte) => Buffer.of(byte)),
    });
    const { prepared, text, summary } = await ask(sessionWith());
    expect(text).toContain('You said: Sum it up.');
    for (const canary of CANARIES) {
      expect(captured).not.toContain(canary);
      expect(prepared.sent).not.toContain(canary);
      expect(summary.answerAsSent).not.toContain(canary);
    }
    // What is not in the vocabulary has a substitute of its own, so it is back for sure.
    for (const back of ['Quentina', 'canary@secret.example']) expect(text).toContain(back);
    expect(summary).toMatchObject({ reason: 'stop', answerAsSent: `You said: ${prepared.sent}` });
    expect(captured).toContain('POST /v1/chat/completions');
    expect(captured).toContain(`"authorization":"Bearer ${KEY}"`);
    expect(captured.split(KEY)).toHaveLength(2);
    expect(JSON.parse(captured.split('\n')[2]!)).toMatchObject({
      model: 'some-model',
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: prepared.sent },
      ],
      max_tokens: 50,
      stream: true,
    });
    expect(prepared.receipt.epsilonDocument).toBeGreaterThan(3);
  });

  it('may answer in one piece, end without [DONE], or tell the use of tokens', async () => {
    const whole = JSON.stringify({
      choices: [{ message: { content: 'all of it' }, finish_reason: 'length' }],
    });
    respond = () => ({ type: 'application/json', parts: [whole.slice(0, 9), whole.slice(9)] });
    expect(await ask(sessionWith())).toMatchObject({ text: 'all of it', summary: { reason: 'length' } });
    const usage = 'data: {"choices":[],"usage":{"total_tokens":3}}\r\n\r\n';
    respond = () => ({ parts: [event('done'), event('', 'stop'), usage] });
    expect(await ask(sessionWith(1e6, undefined))).toMatchObject({ text: 'done' });
  });

  it('that answers something else is an error that repeats nothing', async () => {
    const answers: { status?: number; type?: string; parts: string[]; code: string }[] = [
      { parts: [event('half of')], code: 'RESULT_MISMATCH' },
      { parts: ['data: not json\n\n'], code: 'RESULT_MISMATCH' },
      {
        parts: [`data: ${JSON.stringify({ error: { message: `canary ${KEY}` } })}\n\n`],
        code: 'RESULT_MISMATCH',
      },
      { parts: ['data: {"choices":[{"delta":{"content":7}}]}\n\n'], code: 'RESULT_MISMATCH' },
      { parts: [event('', 'canary '.repeat(20))], code: 'RESULT_MISMATCH' },
      { type: 'text/html', parts: ['<p>canary</p>'], code: 'RESULT_MISMATCH' },
      { status: 401, parts: [`{"error":"canary ${KEY}"}`], code: 'SERVER_REFUSED' },
      { status: 500, parts: ['canary'], code: 'SERVER_REFUSED' },
      // A redirection would take text and key elsewhere.
      { status: 307, parts: [], code: 'SERVER_UNREACHABLE' },
    ];
    for (const { code, ...answer } of answers) {
      respond = () => answer;
      const error = await errorOf(() => ask(sessionWith()));
      expect(error.code).toBe(code);
      const shown = `${error.stack} ${JSON.stringify(error)} ${String(error.cause)}`;
      expect(shown).not.toMatch(/canary|sk-|Quentina|zyzzo/);
    }
  });

  it('gets nothing that was not paid for, and no key over an open line', async () => {
    captured = '';
    expect((await errorOf(() => ask(sessionWith(2)))).code).toBe('BUDGET_SPENT');
    const session = sessionWith();
    expect((await errorOf(() => session.prepare({ privateText: ' ', maxTokens: 3 }))).code).toBe(
      'PROMPT_PRIVATE_EMPTY',
    );
    expect((await errorOf(() => session.prepare({ privateText, maxTokens: 0 }))).code).toBe('PROMPT_TOKENS');
    for (const wrong of [
      'http://api.example.com/v1',
      'ftp://127.0.0.1',
      'here',
      'https://me:pw@host/v1',
      'https://host/v1?key=1',
    ])
      expect((await errorOf(() => sessionWith(9, KEY, wrong))).code).toBe('UPSTREAM_ADDRESS');
    const broken = await errorOf(() => sessionWith(9, 'canary\nkey'));
    expect(broken.code).toBe('UPSTREAM_KEY');
    expect(String(broken)).not.toContain('canary');
    expect(captured).toBe('');
    expect((await errorOf(() => ask(sessionWith(99, KEY, 'http://127.0.0.1:1/v1')))).code).toBe(
      'SERVER_UNREACHABLE',
    );
  });
});
