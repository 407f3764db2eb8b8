import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { SanitizerState } from '@sotto/client';
import { decodeTable, encodeTable } from '@sotto/privacy';
import { afterAll, describe, expect, it } from 'vitest';
import { withinTest } from '../../../tests/fixtures/command-line.js';
import { run } from './run.js';

const folder = mkdtempSync(join(tmpdir(), 'sotto-sanitizer-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const sotto = withinTest(run);

/** Made-up vectors in the text format of GloVe. */
function writeVectors(path: string): void {
  const lines = ['9999 3'];
  for (let i = 0; i < 200; i++) {
    const name = `w${String.fromCharCode(97 + (i % 26), 97 + Math.floor(i / 26))}`;
    lines.push(`${name} ${Math.sin(i)} ${Math.cos(1.7 * i)} ${Math.sin(3.1 * i + 1)}`, `4711 1 2 3`);
  }
  writeFileSync(path, `${lines.join('\n')}\n`);
}

describe('sotto sanitizer', () => {
  it('lists and checks what comes along', async () => {
    const list = JSON.parse((await sotto('sanitizer', '--json')).out);
    expect(list.tables).toHaveLength(5);
    const { code, out } = await sotto('sanitizer', 'check', '--table', 'neutral', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      name: 'neutral-1',
      claimed: 'ln(1084483/398959)',
      worst: 'ln(1084483/398959)',
      holds: true,
      inequalities: 7_600_000,
    });
  });

  it('shows what becomes of a word', async () => {
    const { out } = await sotto('sanitizer', 'show', '--table', 'neutral-3', '--word', 'Doctor', '--json');
    const { substitutes } = JSON.parse(out) as { substitutes: { word: string; probability: number }[] };
    expect(substitutes).toHaveLength(20);
    expect(substitutes.reduce((sum, { probability }) => sum + probability, 0)).toBeCloseTo(1, 12);
    expect(substitutes.slice(0, 4).map(({ word }) => word)).toContain('doctor');
    const unknown = await sotto('sanitizer', 'show', '--word', 'canaryword');
    expect(unknown.code).toBe(3);
    expect(unknown.err).toContain('Code: WORD_UNKNOWN');
    expect(unknown.err).not.toContain('canaryword');
  });

  it('builds a table, and refuses a damaged or lying one', async () => {
    const [vectors, out] = [join(folder, 'vectors.txt'), join(folder, 'mine.san.gz')];
    writeVectors(vectors);
    const args = [
      '--vectors',
      vectors,
      '--out',
      out,
      '--name',
      'mine',
      '--epsilon',
      '2',
      '--k',
      '10',
      '--m',
      '3',
    ];
    const built = await sotto('sanitizer', 'build', ...args, '--json');
    expect(built.code, built.err).toBe(0);
    expect(JSON.parse(built.out)).toMatchObject({ name: 'mine', words: 200, blocks: 20, holds: true });
    const checked = JSON.parse((await sotto('sanitizer', 'check', '--table', out, '--json')).out);
    expect(checked.epsilon).toBeGreaterThan(1.99);
    expect(checked.epsilon).toBeLessThanOrEqual(2);
    const bytes = gunzipSync(readFileSync(out));
    const damaged = join(folder, 'damaged.san');
    for (const at of [0, 40, bytes.length >> 1, bytes.length - 1]) {
      const copy = Uint8Array.from(bytes);
      copy[at]! ^= 4;
      writeFileSync(damaged, copy);
      expect((await sotto('sanitizer', 'check', '--table', damaged)).err).toContain('Code: TABLE_CORRUPT');
    }
    writeFileSync(damaged, bytes.subarray(0, 500));
    expect((await sotto('sanitizer', 'check', '--table', damaged)).err).toContain('Code: TABLE_CORRUPT');
    expect((await sotto('sanitizer', 'build', '--vectors', damaged)).code).toBe(3);
    expect((await sotto('sanitizer', 'build', '--vectors', '/nowhere')).err).toContain('FILE_UNREADABLE');
    expect((await sotto('sanitizer', 'build')).err).toContain('USAGE_MISSING');
    expect((await sotto('sanitizer', 'sell')).err).toContain('USAGE_ACTION');
  });
});

describe('sotto ledger', () => {
  it('shows what was spent, checks it, and begins epochs', async () => {
    const ledger = join(folder, 'ledger');
    expect((await sotto('ledger', 'show', '--ledger', ledger)).err).toContain('LEDGER_ABSENT');
    const state = SanitizerState.open(ledger, 30);
    state.ledger.spend(state.user, {
      table: 'ab'.repeat(32),
      ratio: { numerator: 3n, denominator: 1n },
      count: 7,
    });
    // Looking does not wait for who spends.
    const { out } = await sotto('ledger', 'show', '--ledger', ledger);
    expect(out).toMatch(/spent +epsilon 7\.6903 of 30 in this epoch/);
    expect(out).toMatch(/for life +epsilon 7\.6903 of 150/);
    expect((await sotto('ledger', 'rotate', '--ledger', ledger)).err).toContain('LEDGER_LOCKED');
    state.close();
    expect(JSON.parse((await sotto('ledger', 'rotate', '--ledger', ledger, '--json')).out)).toEqual({
      epoch: 1,
    });
    const after = JSON.parse((await sotto('ledger', '--ledger', ledger, '--json')).out);
    expect(after.accounts).toMatchObject([{ epoch: 1, spentEpoch: 0, draws: 7 }]);
    expect(after.accounts[0].spentLifetime).toBeCloseTo(7.6903, 4);
    expect((await sotto('ledger', 'verify', '--ledger', ledger)).out).toMatch(/^3 records/);
    const path = join(ledger, 'ledger');
    const bytes = readFileSync(path);
    bytes[bytes.length - 50]! ^= 1;
    writeFileSync(path, bytes);
    const broken = await sotto('ledger', 'verify', '--ledger', ledger);
    expect(broken.code).toBe(3);
    expect(broken.err).toContain('LEDGER_CORRUPT');
    expect((await sotto('ledger', 'forget')).err).toContain('USAGE_ACTION');
  });
});

describe('sotto ask --upstream', () => {
  it('asks in mode sanitized only, with a key that no output shows', async () => {
    const seen: string[] = [];
    const upstream = createServer((request, response) => {
      let body = '';
      request.on('data', (data) => {
        body += data;
      });
      request.on('end', () => {
        seen.push(`${request.headers.authorization} ${body}`);
        const { messages } = JSON.parse(body) as { messages: { content: string }[] };
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        const choices = [{ delta: { content: `Dear ${messages[0]!.content}` }, finish_reason: 'stop' }];
        response.end(`data: ${JSON.stringify({ choices })}\n\ndata: [DONE]\n\n`);
      });
    });
    await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}/v1`;
    const question = ['--private', 'Quentina from Xyzzyville', '--ledger', join(folder, 'upstream')];
    const args = ['ask', '--upstream', url, '--upstream-model', 'some', ...question];
    process.env.SOTTO_UPSTREAM_KEY = 'sk-canary-77';
    try {
      expect((await sotto(...args)).err).toContain('Code: USAGE_MODE');
      expect(seen).toEqual([]);
      const { code, out, err } = await sotto(...args, '--mode', 'sanitized', '--json');
      expect(code, err).toBe(0);
      expect(seen[0]).toContain('Bearer sk-canary-77');
      expect(seen[0]).not.toMatch(/Quentina|Xyzzyville/);
      const report = JSON.parse(out);
      // Both may have been given the same replacement by lot.
      expect(report.answer).toMatch(/^Dear (Quentina|Xyzzyville) \S+ (Quentina|Xyzzyville)$/);
      expect(report).toMatchObject({
        table: 'neutral-1',
        draws: 1,
        epsilonPerToken: { exact: 'ln(1084483/398959)' },
      });
      expect(out + err).not.toContain('sk-canary');
      // Another process sanitizes just now: this one waits for its turn. The question was paid for above.
      const other = SanitizerState.open(join(folder, 'upstream'));
      const waiting = sotto(...args, '--mode', 'sanitized', '--json');
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect(seen).toHaveLength(1);
      other.close();
      const again = await waiting;
      expect(again.code, again.err).toBe(0);
      expect(JSON.parse(again.out)).toMatchObject({ sent: report.sent, draws: 1, newDraws: 0 });
      process.env.SOTTO_UPSTREAM_KEY = 'sk-canary 78';
      const refused = await sotto(...args, '--mode', 'sanitized');
      expect(refused.err).toContain('UPSTREAM_KEY');
      expect(refused.err).not.toContain('canary');
    } finally {
      delete process.env.SOTTO_UPSTREAM_KEY;
      upstream.close();
    }
  });
});

describe('sotto audit', () => {
  it('fails on a table whose weights and draws say more than it claims', async () => {
    const [vectors, path] = [join(folder, 'few.txt'), join(folder, 'lying.san')];
    writeVectors(vectors);
    const built = ['--name', 'mine', '--epsilon', '3', '--k', '20', '--m', '2'];
    const honest = join(folder, 'honest.san.gz');
    expect((await sotto('sanitizer', 'build', '--vectors', vectors, '--out', honest, ...built)).code).toBe(0);
    const table = decodeTable(gunzipSync(readFileSync(honest)));
    writeFileSync(path, encodeTable({ ...table, claimed: { numerator: 2n, denominator: 1n } }));
    const args = ['--draws', '200000', '--no-context', '--no-rivals', '--json'];
    expect((await sotto('audit', '--table', honest, ...args)).code).toBe(0);
    const { code, out } = await sotto('audit', '--table', path, ...args);
    expect(code).toBe(6);
    const report = JSON.parse(out);
    expect(report).toMatchObject({ holds: false, context: null, certificate: { holds: false } });
    // Draws alone, without a look at the weights, are above the claim of ln 2.
    expect(report.drawn.epsilonAtLeast).toBeGreaterThan(2);
    expect((await sotto('ask', '--mode', 'sanitized', '--table', path, '--private', 'wa')).err).toContain(
      'TABLE_UNCERTIFIED',
    );
  });

  it('attacks a table and shows what published methods keep', async () => {
    const models = ['--model', 'stories260K', '--attacker', 'sotto-stories-2x128'];
    const few = ['--texts', '2', '--words', '12', ...models];
    const { code, out } = await sotto('audit', '--table', 'neutral', '--draws', '50000', ...few, '--json');
    expect(code).toBe(0);
    const report = JSON.parse(out);
    expect(report).toMatchObject({ table: 'neutral-1', holds: true, certificate: { holds: true } });
    expect(report.drawn.epsilonAtLeast).toBeLessThanOrEqual(report.certificate.epsilon);
    const { context } = report;
    expect(context).toMatchObject({ texts: 2, words: 24, learntFrom: 48, servedModel: 'stories260K' });
    expect(context.attacker).toContain('sotto-stories');
    // Together, words of a text say more than each by itself; vectors instead of tokens hide nothing.
    expect(context.model.reconstruction.rate).toBeGreaterThan(context.kept.rate);
    expect(context.embeddingWire.rate).toBe(1);
    expect(report.inversion.guesses).toEqual([1, 5, 10]);
    const twice = await sotto('audit', '--no-context', '--attacker', 'stories260K');
    expect(twice.err).toContain('USAGE_TWICE');
    expect(report.rivals.length).toBe(16);
    expect(report.rivals.filter(({ found }: { found: number | null }) => found === null).length).toBe(8);
  });
});
