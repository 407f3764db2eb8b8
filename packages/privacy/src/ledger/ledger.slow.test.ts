import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { ReplyMemo } from '../memo.js';
import { Sanitizer } from '../sanitizer.js';
import { readShippedTable } from '../shipped.js';
import { FileStorage } from './file.js';
import { Ledger, verifyLedger } from './ledger.js';

const folder = mkdtempSync(join(tmpdir(), 'ledger-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const built = (name: string) => fileURLToPath(new URL(`../../dist/${name}`, import.meta.url));
const start = (program: string) =>
  spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });

describe.skipIf(!existsSync(built('ledger/lock.js')))('Ledger file', () => {
  it('survives 100 kills at random: nothing confirmed is lost, nothing is paid twice', {
    timeout: 600_000,
  }, async () => {
    const path = join(folder, 'killed');
    const key = new Uint8Array(32).fill(9);
    const seed = new FileStorage(path);
    new Ledger(seed).setBudget('ada', { epoch: 1e9, lifetime: 1e9, delta: 0 });
    seed.close();
    // Sanitizes one text after the other and reports every one that it could have sent. Two words a text, each text a context.
    const program = (first: number) => `
      import { writeSync } from 'node:fs';
      const { FileStorage, Ledger, ReplyMemo } = await import(${JSON.stringify(built('index.js'))});
      const ledger = new Ledger(new FileStorage(${JSON.stringify(path)}));
      const memo = new ReplyMemo(new Uint8Array(32).fill(9), 0);
      for (let text = ${first}; ; text++) {
        const replies = memo.context('table', String(text));
        const tags = [1, 2].map((word) => replies.word(word).tag).filter((tag) => !ledger.isPaid('ada', tag));
        ledger.spend('ada', { table: 'table', ratio: { numerator: 2n, denominator: 1n }, count: tags.length }, tags);
        writeSync(1, text + '\\n');
      }`;
    const memo = new ReplyMemo(key, 0);
    const tagsOf = (text: number) => [1, 2].map((word) => memo.context('table', String(text)).word(word).tag);
    let confirmed = -1;
    for (let kill = 0; kill < 100; kill++) {
      const child = start(program(confirmed + 1));
      const delayMs = 12 * Math.random();
      let seen = '';
      child.stdout.on('data', (data: Buffer) => {
        if (seen === '') setTimeout(() => child.kill('SIGKILL'), delayMs);
        seen += data;
      });
      await new Promise((resolve) => child.on('close', resolve));
      confirmed = Math.max(confirmed, ...seen.split('\n').slice(0, -1).map(Number));
      const storage = new FileStorage(path);
      const ledger = new Ledger(storage);
      for (let text = 0; text <= confirmed; text++) {
        for (const tag of tagsOf(text)) expect(ledger.isPaid('ada', tag)).toBe(true);
      }
      // Every draw counts once: what is paid is what has a tag, of confirmed texts and of at most one more.
      const last = tagsOf(confirmed + 1).filter((tag) => ledger.isPaid('ada', tag)).length;
      const later = tagsOf(confirmed + 2).filter((tag) => ledger.isPaid('ada', tag)).length;
      expect(later).toBe(0);
      expect(ledger.statement('ada').draws).toBe(2 * (confirmed + 1) + last);
      storage.close();
    }
    expect(verifyLedger(readFileSync(path)).tornBytes).toBe(0);
    // Every process confirmed one text at least before it was killed; what it paid for beyond is asked again by the next one.
    expect(confirmed).toBeGreaterThanOrEqual(99);
  });

  it('is exact with six processes at once, some of which are killed', { timeout: 600_000 }, async () => {
    const path = join(folder, 'shared');
    const tableBytes = await readShippedTable('neutral-1');
    const open = () => {
      const storage = new FileStorage(path);
      return { storage, ledger: new Ledger(storage) };
    };
    const seed = open();
    seed.ledger.setBudget('ada', { epoch: 1e9, lifetime: 1e9, delta: 0 });
    seed.storage.close();
    // All ask the same 60 questions, each opening the ledger for itself.
    const program = `
      const { FileStorage, Ledger, ReplyMemo, Sanitizer, readShippedTable } = await import(${JSON.stringify(built('index.js'))});
      const tableBytes = await readShippedTable('neutral-1');
      const memo = new ReplyMemo(new Uint8Array(32).fill(9), 0);
      for (let text = 0; text < 60; ) {
        let storage;
        try {
          storage = new FileStorage(${JSON.stringify(path)});
        } catch (error) {
          if (error.code !== 'LEDGER_LOCKED') throw error;
          await new Promise((resolve) => setTimeout(resolve, 4 * Math.random()));
          continue;
        }
        const ledger = new Ledger(storage);
        globalThis.sanitizer ??= new Sanitizer({ tableBytes, ledger, user: 'ada', memo });
        const replies = memo.context(globalThis.sanitizer.digest, String(text));
        const tags = [11, 12, 13].map((word) => replies.word(word).tag).filter((tag) => !ledger.isPaid('ada', tag));
        ledger.spend('ada', { table: 'x', ratio: { numerator: 2n, denominator: 1n }, count: tags.length }, tags);
        storage.close();
        process.stdout.write('.');
        text++;
      }`;
    const run = async (killAfter: number) => {
      const child = start(program);
      let seen = 0;
      child.stdout.on('data', (data: Buffer) => {
        seen += data.length;
        if (seen >= killAfter) child.kill('SIGKILL');
      });
      const code = await new Promise((resolve) => child.on('close', resolve));
      if (killAfter === Number.POSITIVE_INFINITY) expect([seen, code]).toEqual([60, 0]);
    };
    await Promise.all(
      [7, 20, 33, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY].map(run),
    );
    const { storage, ledger } = open();
    expect(ledger.statement('ada').draws).toBe(3 * 60);
    const memo = new ReplyMemo(new Uint8Array(32).fill(9), 0);
    const sanitizer = new Sanitizer({ tableBytes, ledger, user: 'ada', memo });
    // The words with these ids, asked for in a context that all have paid for.
    const words = [11, 12, 13].map((id) => sanitizer.table.words[id]!);
    expect(words.every((word) => /^[a-z]+$/.test(word))).toBe(true);
    expect(sanitizer.sanitize(words.join(' '), '5').receipt).toMatchObject({ draws: 3, newDraws: 0 });
    storage.close();
  });
});
