import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SottoError } from '@sotto/base';
import {
  decodeTable,
  encodeTable,
  findSensitive,
  Ledger,
  MemoryStorage,
  ReplyMemo,
  readShippedTable,
  Sanitizer,
  type SanitizerOptions,
} from '@sotto/privacy';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SanitizerState } from './sanitizer-state.js';
import { UpstreamSession } from './upstream-session.js';

const folder = mkdtempSync(join(tmpdir(), 'fail-closed-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const secret = 'Quentina has zyzzomatosis';
let tableBytes: Uint8Array;
beforeAll(async () => {
  tableBytes = await readShippedTable('neutral-1');
});

/** Everything that would have left. */
const sent: string[] = [];
const wire: typeof fetch = async (_url, request) => {
  sent.push(String(request?.body));
  return new Response(JSON.stringify({ choices: [{ message: { content: 'yes' }, finish_reason: 'stop' }] }));
};

/** The way of a question from its sanitizer to the wire. */
async function ask(make: () => Partial<SanitizerOptions>): Promise<string> {
  try {
    const sanitizer = new Sanitizer({ tableBytes, ledger: ledgerWith(99), user: 'ada', ...make() });
    const session = new UpstreamSession('https://upstream.example/v1', {
      sanitizer,
      model: 'm',
      fetch: wire,
    });
    for await (const _ of session.send(session.prepare({ privateText: secret, maxTokens: 9 })));
    return 'sent';
  } catch (error) {
    const shown = `${(error as Error).stack} ${JSON.stringify(error)} ${String((error as Error).cause)}`;
    expect(shown).not.toMatch(/Quentina|zyzzo/);
    return SottoError.is(error) ? error.code : 'another error';
  }
}

function ledgerWith(epoch: number, storage = new MemoryStorage()): Ledger {
  const ledger = new Ledger(storage);
  ledger.setBudget('ada', { epoch, lifetime: epoch, delta: 0 });
  return ledger;
}

describe('mode sanitized fails closed', () => {
  it('and sends when nothing is broken', async () => {
    expect(await ask(() => ({}))).toBe('sent');
    expect(sent.splice(0)).toHaveLength(1);
  });

  it('on a table that is damaged, cut off, or claims less than its weights show', async () => {
    const flipped = tableBytes.slice();
    flipped[5000]! ^= 1;
    expect(await ask(() => ({ tableBytes: flipped }))).toBe('TABLE_CORRUPT');
    expect(await ask(() => ({ tableBytes: tableBytes.subarray(0, 4000) }))).toBe('TABLE_CORRUPT');
    const lying = encodeTable({ ...decodeTable(tableBytes), claimed: { numerator: 5n, denominator: 2n } });
    expect(await ask(() => ({ tableBytes: lying }))).toBe('TABLE_UNCERTIFIED');
    expect(sent).toEqual([]);
  });

  it('on a ledger that is spent, without a budget, not writable, damaged, or held by another process', async () => {
    expect(await ask(() => ({ ledger: ledgerWith(0.5) }))).toBe('BUDGET_SPENT');
    expect(await ask(() => ({ ledger: new Ledger(new MemoryStorage()) }))).toBe('BUDGET_MISSING');
    class FullDisk extends MemoryStorage {
      full = false;
      override append(bytes: Uint8Array): void {
        if (this.full) throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' });
        super.append(bytes);
      }
    }
    const storage = new FullDisk();
    const ledger = ledgerWith(99, storage);
    storage.full = true;
    expect(await ask(() => ({ ledger }))).toBe('another error');
    // What is on disk is unknown, so it stays closed when the disk has room again.
    storage.full = false;
    expect(await ask(() => ({ ledger }))).toBe('LEDGER_BROKEN');
    const path = join(folder, 'state');
    const state = SanitizerState.open(path, 99);
    expect(await ask(() => ({ ledger: SanitizerState.open(path).ledger }))).toBe('LEDGER_LOCKED');
    state.close();
    const bytes = readFileSync(join(path, 'ledger'));
    bytes[30]! ^= 1;
    writeFileSync(join(path, 'ledger'), bytes);
    expect(await ask(() => ({ ledger: SanitizerState.open(path).ledger }))).toBe('LEDGER_CORRUPT');
    expect(sent).toEqual([]);
  });

  it('on a ledger that is gone or empty, a key that is cut off or open to others, and a folder that is none', async () => {
    const path = join(folder, 'lost');
    const open = (at = path) =>
      ask(() => {
        const state = SanitizerState.open(at, 99);
        try {
          return { ledger: state.ledger, user: state.user, memo: state.memo() };
        } finally {
          state.close();
        }
      });
    SanitizerState.open(path, 99).close();
    const ledger = readFileSync(join(path, 'ledger'));
    rmSync(join(path, 'ledger'));
    expect(await open()).toBe('LEDGER_ABSENT');
    writeFileSync(join(path, 'ledger'), '');
    expect(await open()).toBe('LEDGER_ABSENT');
    writeFileSync(join(path, 'ledger'), ledger);
    const key = readFileSync(join(path, 'memo.key'));
    writeFileSync(join(path, 'memo.key'), key.subarray(0, 31));
    expect(await open()).toBe('MEMO_KEY');
    writeFileSync(join(path, 'memo.key'), key);
    chmodSync(join(path, 'memo.key'), 0o644);
    expect(await open()).toBe('MEMO_KEY_OPEN');
    chmodSync(join(path, 'memo.key'), 0o600);
    expect(await open(join(path, 'memo.key'))).toBe('FILE_UNREADABLE');
    // A memo of another epoch than the ledger's would answer with what was never paid for.
    expect(await ask(() => ({ ledger: ledgerWith(99), memo: new ReplyMemo(key, 1) }))).toBe('MEMO_EPOCH');
    expect(sent).toEqual([]);
  });

  it('on a detector that finds nothing or fails', async () => {
    const policy = (detect: typeof findSensitive) => () => ({
      policy: { scope: 'sensitive-words' as const, detect },
    });
    expect(await ask(policy(() => []))).toBe('DETECTOR_BROKEN');
    const failing = (text: string) => {
      if (text.includes('Quentina')) throw new Error(text);
      return findSensitive(text);
    };
    expect(await ask(policy(failing))).toBe('DETECTOR_BROKEN');
    expect(sent).toEqual([]);
    expect(await ask(policy(findSensitive))).toBe('sent');
    expect(sent.splice(0)[0]).not.toMatch(/Quentina|zyzzo/);
  });
});
