import { SottoError } from '@sotto/base';
import { addExpense, type Expense, epsilonAt, nothing, type Total } from './composition.js';
import { decodeRecords, encodeRecord } from './records.js';
import type { LedgerStorage } from './storage.js';

/** What a user may spend. */
export interface Budget {
  /** Within one epoch. */
  readonly epoch: number;
  /** Over all epochs: a rotation starts a new epoch but forgives nothing. */
  readonly lifetime: number;
  /** 0 for pure epsilon; above 0 the budget is an (epsilon, delta) one and draws compose as zCDP where that is better. */
  readonly delta: number;
}

interface Account {
  budget: Budget | null;
  epoch: number;
  spent: Total;
  lifetime: Total;
  draws: number;
  tables: Set<string>;
  /** Tags of the fixed replies that were paid for in the current epoch. */
  paid: Set<string>;
}

/** What a ledger says about one user. */
export interface Statement {
  readonly user: string;
  readonly budget: Budget | null;
  readonly epoch: number;
  /** Epsilon at the budget's delta, of the current epoch and of all. */
  readonly spentEpoch: number;
  readonly spentLifetime: number;
  readonly draws: number;
  /** Digests of the tables that were drawn from. */
  readonly tables: readonly string[];
}

type Entry =
  | { readonly type: 'budget'; readonly user: string; readonly budget: Budget }
  | { readonly type: 'rotate'; readonly user: string; readonly epoch: number }
  | {
      readonly type: 'spend';
      readonly user: string;
      readonly epoch: number;
      readonly table: string;
      readonly count: number;
      readonly ratio: readonly [string, string];
      readonly range?: readonly [string, string];
      /** Tags of the draws, one behind the other. */
      readonly paid?: string;
    };

/** Characters of a tag: 72 bits in base64. */
const TAG_LENGTH = 12;
/** Tags of one record; more are spread over several, which are written together. */
const TAGS_OF_RECORD = 256;

/**
 * Who has spent how much privacy. Append-only: every entry is durable before {@link spend} returns, so text may leave only afterwards;
 * what a crash cuts off was never confirmed. It holds counts, table digests and tags, no words.
 *
 * A tag stands for one fixed reply: a keyed hash that says nothing without the key. A reply whose tag is here was paid for, by whichever
 * process, and repeating it shows nothing new; so nothing is paid for twice.
 *
 * Not defended: somebody who replaces the file by an older copy of itself.
 */
export class Ledger {
  readonly #storage: LedgerStorage;
  readonly #accounts = new Map<string, Account>();
  #head: Uint8Array;
  /** Set when an append failed half-way: what is on disk is unknown, so nothing more is spent. */
  #broken = false;

  /** Reads the storage, dropping a cut-off last record. @throws `LEDGER_CORRUPT` */
  constructor(storage: LedgerStorage) {
    const chain = decodeRecords(storage.read());
    for (const payload of chain.payloads) this.#apply(JSON.parse(payload) as Entry);
    if (chain.tornBytes > 0) storage.truncate(chain.wholeBytes);
    this.#head = chain.head;
    this.#storage = storage;
  }

  /** @throws `BUDGET_INVALID` */
  setBudget(user: string, budget: Budget): void {
    const { epoch, lifetime, delta } = budget;
    if (!(epoch > 0 && lifetime >= epoch && Number.isFinite(lifetime) && delta >= 0 && delta < 1e-3)) {
      throw new SottoError('The privacy budget makes no sense.', {
        code: 'BUDGET_INVALID',
        facts: { epoch, lifetime, delta },
        fix: 'Give 0 < epoch <= lifetime and 0 <= delta < 0.001.',
      });
    }
    this.#append({ type: 'budget', user, budget });
  }

  /** Starts a new epoch, in which replies are drawn anew; returns its number. What was spent still counts towards the lifetime. */
  rotate(user: string): number {
    const epoch = this.#account(user).epoch + 1;
    this.#append({ type: 'rotate', user, epoch });
    return epoch;
  }

  epoch(user: string): number {
    return this.#account(user).epoch;
  }

  /** Whether a fixed reply was paid for in the current epoch. */
  isPaid(user: string, tag: string): boolean {
    return this.#account(user).paid.has(tag);
  }

  /**
   * Pays for draws, durably; call it before anything drawn leaves the machine. One write and one wait for the disk, however many draws.
   * @param tags of fixed replies, each of 12 characters, one a draw; {@link isPaid} knows them afterwards
   * @throws `BUDGET_MISSING`, `BUDGET_SPENT` (nothing is written then), `LEDGER_BROKEN`
   */
  spend(user: string, expense: Expense, tags: readonly string[] = []): void {
    const account = this.#account(user);
    const budget = account.budget;
    if (budget === null) {
      throw new SottoError('No privacy budget is set.', {
        code: 'BUDGET_MISSING',
        fix: 'Set one with setBudget.',
      });
    }
    const tagged = tags.length === 0 || tags.length === expense.count;
    const known = new Set(tags);
    if (
      !Number.isSafeInteger(expense.count) ||
      expense.count < 0 ||
      !tagged ||
      known.size !== tags.length ||
      tags.some((tag) => tag.length !== TAG_LENGTH || account.paid.has(tag))
    ) {
      throw new SottoError('The number of draws must be a whole number, with a new tag for each or none.', {
        code: 'BUDGET_INVALID',
        facts: { count: expense.count, tags: tags.length },
      });
    }
    if (expense.count === 0) return;
    const epoch = epsilonAt(addExpense(account.spent, expense), budget.delta);
    const lifetime = epsilonAt(addExpense(account.lifetime, expense), budget.delta);
    if (!(epoch <= budget.epoch && lifetime <= budget.lifetime)) {
      throw new SottoError('The privacy budget is spent.', {
        code: 'BUDGET_SPENT',
        facts: {
          wouldBeEpoch: epoch,
          budgetEpoch: budget.epoch,
          wouldBeLifetime: lifetime,
          budgetLifetime: budget.lifetime,
        },
        fix: 'Send less, choose a smaller epsilon, start a new epoch, or raise the budget knowingly.',
      });
    }
    const { table, count, ratio, range } = expense;
    const shared = {
      type: 'spend' as const,
      user,
      epoch: account.epoch,
      table,
      ratio: [String(ratio.numerator), String(ratio.denominator)] as const,
      ...(range === undefined
        ? {}
        : { range: [String(range.numerator), String(range.denominator)] as const }),
    };
    if (tags.length === 0) this.#append({ ...shared, count });
    else {
      const parts: Entry[] = [];
      for (let from = 0; from < tags.length; from += TAGS_OF_RECORD) {
        const part = tags.slice(from, from + TAGS_OF_RECORD);
        parts.push({ ...shared, count: part.length, paid: part.join('') });
      }
      this.#append(...parts);
    }
  }

  statement(user: string): Statement {
    const { budget, epoch, spent, lifetime, draws, tables } = this.#account(user);
    const delta = budget?.delta ?? 0;
    return {
      user,
      budget,
      epoch,
      spentEpoch: epsilonAt(spent, delta),
      spentLifetime: epsilonAt(lifetime, delta),
      draws,
      tables: [...tables],
    };
  }

  users(): string[] {
    return [...this.#accounts.keys()];
  }

  close(): void {
    this.#storage.close();
  }

  #append(...entries: readonly Entry[]): void {
    if (this.#broken) {
      throw new SottoError('The privacy ledger could not be written before.', {
        code: 'LEDGER_BROKEN',
        fix: 'Check the disk and open the ledger again.',
      });
    }
    let head = this.#head;
    const records = entries.map((entry) => {
      const record = encodeRecord(head, JSON.stringify(entry));
      head = record.head;
      return record.bytes;
    });
    this.#broken = true;
    this.#storage.append(concatenated(records));
    this.#broken = false;
    this.#head = head;
    for (const entry of entries) this.#apply(entry);
  }

  #account(user: string): Account {
    return (
      this.#accounts.get(user) ?? {
        budget: null,
        epoch: 0,
        spent: nothing,
        lifetime: nothing,
        draws: 0,
        tables: new Set(),
        paid: new Set(),
      }
    );
  }

  #apply(entry: Entry): void {
    const account = this.#account(entry.user);
    this.#accounts.set(entry.user, account);
    if (entry.type === 'budget') account.budget = entry.budget;
    else if (entry.type === 'rotate') {
      account.epoch = entry.epoch;
      account.spent = nothing;
      account.paid = new Set();
    } else {
      const expense: Expense = {
        table: entry.table,
        count: entry.count,
        ratio: { numerator: BigInt(entry.ratio[0]), denominator: BigInt(entry.ratio[1]) },
        ...(entry.range === undefined
          ? {}
          : { range: { numerator: BigInt(entry.range[0]), denominator: BigInt(entry.range[1]) } }),
      };
      account.spent = addExpense(account.spent, expense);
      account.lifetime = addExpense(account.lifetime, expense);
      account.draws += entry.count;
      account.tables.add(entry.table);
      const paid = entry.paid ?? '';
      for (let at = 0; at < paid.length; at += TAG_LENGTH) account.paid.add(paid.slice(at, at + TAG_LENGTH));
    }
  }
}

function concatenated(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Checks a ledger file without changing it. @throws `LEDGER_CORRUPT` */
export function verifyLedger(bytes: Uint8Array): { records: number; tornBytes: number } {
  const { payloads, tornBytes } = decodeRecords(bytes);
  return { records: payloads.length, tornBytes };
}
