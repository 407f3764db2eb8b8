import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { addExpense, epsilonAt, nothing } from './composition.js';
import { FileStorage } from './file.js';
import { Ledger, verifyLedger } from './ledger.js';
import { MemoryStorage } from './storage.js';

const e = { numerator: 2718281828n, denominator: 1000000000n };
const expense = (count: number) => ({ table: 'ab'.repeat(32), ratio: e, count });
const folder = mkdtempSync(join(tmpdir(), 'ledger-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('composition', () => {
  it('adds pure epsilons, and uses zCDP where that is better', () => {
    const total = addExpense(nothing, expense(20));
    expect(epsilonAt(total, 0)).toBeCloseTo(20, 6);
    // 20 draws of an exponential mechanism at epsilon 1: rho 2.5, (14.26, 1e-6).
    const ranged = addExpense(nothing, { ...expense(20), range: e });
    expect(ranged.rho).toBeCloseTo(2.5, 6);
    expect(epsilonAt(ranged, 1e-6)).toBeCloseTo(14.254, 3);
    expect(epsilonAt(total, 1e-6)).toBeCloseTo(20, 6);
    const many = addExpense(nothing, { ...expense(10_000), ratio: { numerator: 101n, denominator: 100n } });
    expect(epsilonAt(many, 1e-6)).toBeLessThan(0.1 * epsilonAt(many, 0));
  });
});

describe('Ledger', () => {
  const open = (bytes?: Uint8Array) => {
    const storage = new MemoryStorage(bytes);
    return { storage, ledger: new Ledger(storage) };
  };

  it('refuses to spend without a budget, beyond an epoch, and beyond a lifetime', () => {
    const { storage, ledger } = open();
    expect(() => ledger.spend('ada', expense(1))).toThrow(/BUDGET_MISSING/);
    ledger.setBudget('ada', { epoch: 10.1, lifetime: 15, delta: 0 });
    ledger.spend('ada', expense(10));
    const before = storage.bytes.length;
    expect(() => ledger.spend('ada', expense(1))).toThrow(/BUDGET_SPENT/);
    expect(() => ledger.spend('ada', expense(-1))).toThrow(/BUDGET_INVALID/);
    expect(storage.bytes.length).toBe(before);
    expect(ledger.rotate('ada')).toBe(1);
    ledger.spend('ada', expense(4));
    expect(() => ledger.spend('ada', expense(2))).toThrow(/BUDGET_SPENT/);
    expect(() => ledger.spend('bob', expense(1))).toThrow(/BUDGET_MISSING/);
    expect(ledger.statement('ada')).toMatchObject({ epoch: 1, draws: 14, tables: ['ab'.repeat(32)] });
    expect(open(storage.bytes).ledger.statement('ada')).toEqual(ledger.statement('ada'));
  });

  it('refuses every flipped bit and tells a cut-off record apart', () => {
    const { storage, ledger } = open();
    ledger.setBudget('ada', { epoch: 100, lifetime: 100, delta: 0 });
    ledger.spend('ada', expense(3));
    ledger.spend('ada', expense(4));
    const whole = storage.bytes;
    for (let at = 0; at < whole.length; at++) {
      const damaged = whole.slice();
      damaged[at]! ^= 1 << (at & 7);
      expect(() => new Ledger(new MemoryStorage(damaged))).toThrow(/LEDGER_CORRUPT/);
    }
    let draws = 0;
    for (let length = 0; length <= whole.length; length++) {
      const again = open(whole.slice(0, length));
      const found = again.ledger.statement('ada').draws;
      expect(found).toBeGreaterThanOrEqual(draws);
      draws = found;
      expect(verifyLedger(again.storage.bytes).tornBytes).toBe(0);
    }
    expect(draws).toBe(7);
    expect(verifyLedger(whole.slice(0, -1)).tornBytes).toBeGreaterThan(0);
    const padded = new Uint8Array(whole.length + 300);
    padded.set(whole);
    expect(open(padded).ledger.statement('ada').draws).toBe(7);
  });

  it('survives a crash at every byte: nothing confirmed is lost, nothing unconfirmed counts twice', () => {
    const reference = open();
    reference.ledger.setBudget('ada', { epoch: 1000, lifetime: 1000, delta: 0 });
    for (let i = 1; i <= 4; i++) reference.ledger.spend('ada', expense(i));
    const total = reference.storage.bytes.length;
    for (let limit = 0; limit <= total; limit++) {
      class Failing extends MemoryStorage {
        override append(bytes: Uint8Array): void {
          super.append(bytes.subarray(0, Math.max(0, limit - this.bytes.length)));
          if (this.bytes.length >= limit && this.bytes.length < total) throw new Error('power cut');
        }
      }
      const storage = new Failing();
      const ledger = new Ledger(storage);
      let confirmed = 0;
      let tried = 0;
      try {
        ledger.setBudget('ada', { epoch: 1000, lifetime: 1000, delta: 0 });
        for (let i = 1; i <= 4; i++) {
          tried = i;
          ledger.spend('ada', expense(i));
          confirmed += i;
        }
        tried = 0;
      } catch {
        expect(() => ledger.spend('ada', expense(1))).toThrow(/LEDGER_BROKEN|BUDGET_MISSING/);
      }
      const after = new Ledger(new MemoryStorage(storage.bytes)).statement('ada').draws;
      expect([confirmed, confirmed + tried]).toContain(after);
    }
  });

  it('counts a tagged reply once, whoever asks, and again in a new epoch', () => {
    const tag = (i: number) => String(i).padStart(12, 't');
    const tags = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => tag(from + i));
    const { storage, ledger } = open();
    ledger.setBudget('ada', { epoch: 1e4, lifetime: 1e4, delta: 0 });
    let writes = 0;
    const append = storage.append.bind(storage);
    storage.append = (bytes) => {
      writes++;
      append(bytes);
    };
    ledger.spend('ada', expense(1000), tags(0, 1000));
    // However many records: one write, one wait for the disk.
    expect(writes).toBe(1);
    const again = open(storage.bytes).ledger;
    expect(again.isPaid('ada', tag(0)) && again.isPaid('ada', tag(999))).toBe(true);
    expect(again.isPaid('ada', tag(1000)) || again.isPaid('bob', tag(0))).toBe(false);
    for (const wrong of [tags(999, 1001), [tag(2000), tag(2000)], [tag(2000)], ['short', 'tags']])
      expect(() => again.spend('ada', expense(2), wrong)).toThrow(/BUDGET_INVALID/);
    again.spend('ada', expense(1), [tag(1000)]);
    expect(again.statement('ada').draws).toBe(1001);
    again.rotate('ada');
    expect(again.isPaid('ada', tag(0))).toBe(false);
    // Cut anywhere, draws and tags go together.
    for (let length = 0; length <= storage.bytes.length; length += 61) {
      const cut = open(storage.bytes.slice(0, length)).ledger;
      const paid = tags(0, 1000).filter((one) => cut.isPaid('ada', one)).length;
      expect(cut.statement('ada').draws).toBe(paid);
    }
  });

  it('lets one process at a time use a file', () => {
    const path = join(folder, 'locked');
    const first = new FileStorage(path);
    expect(() => new FileStorage(path)).toThrow(/LEDGER_LOCKED/);
    first.close();
    first.close();
    const second = new FileStorage(path);
    second.close();
    // A lock of a process that is gone, and of one whose number another process has by now.
    const gone = new FileStorage(join(folder, 'gone', 'ledger'));
    rmSync(join(folder, 'gone'), { recursive: true });
    gone.close();
    for (const dead of ['999999999', `${process.pid} 1`]) {
      const top = Math.max(
        ...readdirSync(folder).map((name) => Number(/^locked\.lock\.(\d+)$/.exec(name)?.[1] ?? -1)),
      );
      writeFileSync(`${path}.lock.${top + 1}`, dead);
      new FileStorage(path).close();
      expect(readdirSync(folder).filter((name) => name.startsWith('locked.lock'))).toHaveLength(1);
    }
  });
});
