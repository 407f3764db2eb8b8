// What a server can see, held against THREAT-MODEL.md: the tests are named by the rows of its table of attacks.
import { SanitizedSession, Session } from '@sotto/client';
import { embedTokens } from '@sotto/model';
import { Ledger, MemoryStorage, ReplyMemo, readShippedTable, Sanitizer } from '@sotto/privacy';
import { describeModel, serve } from '@sotto/server';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadLocalModel } from '../packages/client/src/local-model.js';
import { canariesOf, findCanaries } from './fixtures/canaries.js';
import { askWatched, compareTranscripts, publicText } from './fixtures/transcripts.js';
import { Recorder, startWatched, type Watched } from './fixtures/watched-server.js';

/** Seconds on a machine of one's own; the tests make keys and compute on them. */
const timeoutMs = 600_000;

let watched: Watched;
beforeAll(async () => {
  watched = await startWatched();
}, timeoutMs);
afterAll(() => watched.close());

it(
  'A1: is the same transcript for private texts of equal length, refreshed by the client',
  async () => {
    const recorder = new Recorder();
    const session = await Session.connect(watched.server.url, watched.connectOptions(recorder));
    const one = await compareTranscripts(session, recorder, { longest: 14, numRuns: 2, maxTokens: 1 });
    const long = await askWatched(session, recorder, 'abcdefghijklmnopqrst', 1);
    // What is told: how many blocks of rows the text needs.
    expect(long.shape.length).toBeGreaterThan(one.length);
    await session.close();
  },
  timeoutMs,
);

it(
  'A3: has no private word, token, embedding or hidden row in it; neither have log and disk of the server',
  async () => {
    const recorder = new Recorder();
    const privateText = 'smoothkangarootrack';
    const token = 'ab'.repeat(32);
    const session = await Session.connect(watched.server.url, {
      ...watched.connectOptions(recorder),
      key: { token },
    });
    const answers: { token: number; logits: Float64Array }[] = [];
    for await (const answer of session.ask({ publicText, privateText, maxTokens: 1 })) answers.push(answer);
    const { tokenizer, weights } = session.model;
    const tokens = tokenizer.encode(privateText, { bos: false });
    const rows = [...embedTokens(weights, tokens.slice(0, 3)), ...answers.map(({ logits }) => logits)];
    const canaries = canariesOf([privateText, 'kangaroo', 'smooth'], tokens.slice(0, 8), rows);
    expect(canaries.length).toBeGreaterThan(20);
    const wire = recorder.bytes();
    const log = Buffer.from(watched.log.join('\n'));
    const disk = watched.disk();
    expect(wire.length).toBeGreaterThan(1e6);
    expect(log.toString()).toContain('"event":"request"');
    expect(disk.length).toBeGreaterThan(1e6);
    for (const [place, bytes] of Object.entries({ wire, log, disk })) {
      expect(findCanaries(bytes, canaries), place).toEqual([]);
    }
    // The search itself: a canary of each kind and form is found where it is.
    for (const { what, bytes } of canaries) {
      const hex = Buffer.from(Buffer.from(bytes).toString('hex').toUpperCase());
      const planted = [bytes, hex, Buffer.from(Buffer.concat([Buffer.from('x'), bytes]).toString('base64'))];
      for (const [form, hidden] of planted.entries()) {
        if (form === 2 && bytes.length < 9) continue;
        const haystack = Buffer.concat([wire.subarray(0, 1000), hidden, wire.subarray(1000, 2000)]);
        expect(findCanaries(haystack, canaries).join(), `${what}, form ${form}`).toContain(what);
      }
    }
    await session.close();
  },
  timeoutMs,
);

it(
  'A4: repeats nothing when the same question is asked again, and links no two sessions',
  async () => {
    const recorder = new Recorder();
    const bodies = async (session: Session) => {
      const { shape } = await askWatched(session, recorder, 'kangaroo', 1);
      const sent = recorder.messages.filter(({ sent }) => sent.length > 1000).map(({ sent }) => sent);
      return { shape, sent };
    };
    const options = watched.connectOptions(recorder);
    const session = await Session.connect(watched.server.url, options);
    const keys = recorder.messages.filter(({ route }) => route.endsWith('/keys/*')).map(({ sent }) => sent);
    const first = await bodies(session);
    const second = await bodies(session);
    expect(second.shape).toEqual(first.shape);
    recorder.messages = [];
    const other = await Session.connect(watched.server.url, options);
    const otherKeys = recorder.messages
      .filter(({ route }) => route.endsWith('/keys/*'))
      .map(({ sent }) => sent);
    expect(first.sent.length).toBeGreaterThan(3);
    expect(keys.length).toBeGreaterThan(3);
    for (const [one, again] of [
      [first.sent, second.sent],
      [keys, otherKeys],
    ] as const) {
      for (const [i, body] of one.entries()) expect(equalShare(body, again[i]!)).toBeLessThan(0.02);
    }
    await Promise.all([session.close(), other.close()]);
  },
  timeoutMs,
);
it('A6: depends in mode sanitized on the sanitized text alone', async () => {
  const tableBytes = await readShippedTable('neutral-1');
  const model = await loadLocalModel();
  const server = await serve({
    model: describeModel(model.weights, {
      ...{ name: model.name, license: 'MIT' },
      backend: { name: 'none', isa: 'none', threads: 1 },
    }),
    ...{ modelPath: model.path, backend: 'auto', threads: 1, modes: ['sanitized'] },
    startTextModel: async () => ({
      async answer(_, { tokens }) {
        tokens([300, 301]);
        return 'length';
      },
      close: async () => {},
    }),
  });
  const recorder = new Recorder();
  /** Sends `sent` as what was left of a private text. */
  const ask = async (privateText: string) => {
    const ledger = new Ledger(new MemoryStorage());
    ledger.setBudget('ada', { epoch: 1e6, lifetime: 1e6, delta: 0 });
    const memo = new ReplyMemo(ReplyMemo.newKey(), 0);
    const sanitizer = new Sanitizer({ tableBytes, ledger, user: 'ada', memo });
    const session = await SanitizedSession.connect(server.url, { sanitizer, fetch: recorder.fetch });
    const prepared = session.prepare({ publicText: 'She said:', privateText, maxTokens: 2 });
    return { session, prepared };
  };
  const wire = async ({ session, prepared }: Awaited<ReturnType<typeof ask>>) => {
    recorder.messages = [];
    for await (const _ of session.send(prepared));
    return recorder.messages.map(({ method, head, sent }) => [method, head, Buffer.from(sent).toString()]);
  };
  const one = await ask('my friend Quentina has diabetes and 4711 coins');
  const sent = await wire(one);
  expect(sent).toHaveLength(1);
  const { tokens } = one.prepared;
  expect(JSON.parse(sent[0]![2]!)).toMatchObject({ tokens: [...tokens], maxTokens: 2 });
  expect(sent.join()).not.toMatch(/Quentina|4711/);
  // Another person, other words, another key, the same sanitized text: the same bytes.
  const other = await ask('his brother Maximilian eats 90210 apples');
  const same = { ...other.prepared, sent: one.prepared.sent, tokens };
  expect(await wire({ session: other.session, prepared: same })).toEqual(sent);
  await server.close();
});

/** Share of equal bytes, headers left out; unrelated bytes have 1/256, packed residues a little more. */
function equalShare(a: Uint8Array, b: Uint8Array): number {
  expect(b.length).toBe(a.length);
  let equal = 0;
  for (let i = 200; i < a.length; i++) equal += Number(a[i] === b[i]);
  return equal / (a.length - 200);
}
