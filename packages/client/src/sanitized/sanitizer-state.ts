import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SottoError } from '@sotto/base';
import { type Budget, FileStorage, Ledger, ReplyMemo } from '@sotto/privacy';

/** The account of the person whose folder it is. */
const USER = 'owner';
/** Budgets until others are set: of an epoch and for life. */
const DEFAULT_EPOCH = 200;
const LIFETIME_EPOCHS = 5;

/**
 * What the sanitizer of one person keeps in a folder: `ledger` (what was spent) and `memo.key` (the secret behind fixed replies). While
 * it is open no other process can spend.
 */
export class SanitizerState {
  readonly ledger: Ledger;
  readonly user = USER;
  readonly #key: Uint8Array;

  private constructor(ledger: Ledger, key: Uint8Array) {
    this.ledger = ledger;
    this.#key = key;
  }

  /**
   * Opens or makes the folder (mode 0700).
   *
   * @param epochBudget largest epsilon of an epoch from now on; the one that was set before, or 200, when absent. The budget for life is
   *   five times the first one and grows to this one where it is less.
   * @throws `LEDGER_LOCKED`, `LEDGER_CORRUPT`, `LEDGER_ABSENT`, `BUDGET_INVALID`, `MEMO_KEY`, `MEMO_KEY_OPEN`, `FILE_UNREADABLE`
   */
  static open(folder: string, epochBudget?: number): SanitizerState {
    const keyPath = join(folder, 'memo.key');
    const ledger = openLedger(folder, existsSync(keyPath));
    try {
      const { budget } = ledger.statement(USER);
      // A budget is written before the key: a key without one has lost its ledger.
      if (budget === null && existsSync(keyPath)) throw ledgerLost();
      const epoch = epochBudget ?? budget?.epoch ?? DEFAULT_EPOCH;
      if (budget === null || budget.epoch !== epoch) ledger.setBudget(USER, budgetOf(epoch, budget));
      return new SanitizerState(ledger, readOrMakeKey(keyPath));
    } catch (error) {
      ledger.close();
      throw error;
    }
  }

  /** Fixed replies of the current epoch. */
  memo(): ReplyMemo {
    return new ReplyMemo(this.#key, this.ledger.epoch(USER));
  }

  /** Lets other processes spend. */
  close(): void {
    this.ledger.close();
  }
}

function budgetOf(epoch: number, before: Budget | null): Budget {
  const lifetime = before?.lifetime ?? LIFETIME_EPOCHS * epoch;
  return { epoch, lifetime: Math.max(lifetime, epoch), delta: before?.delta ?? 0 };
}

function ledgerLost(): SottoError {
  return new SottoError('The privacy ledger is gone, and with it what was spent.', {
    code: 'LEDGER_ABSENT',
    fix: 'Restore the file `ledger` from a copy. To begin anew, forgetting what was spent, remove memo.key beside it too.',
  });
}

function openLedger(folder: string, used: boolean): Ledger {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const path = join(folder, 'ledger');
    if (used && !existsSync(path)) throw ledgerLost();
    const storage = new FileStorage(path);
    try {
      return new Ledger(storage);
    } catch (error) {
      storage.close();
      throw error;
    }
  } catch (error) {
    throw unreadable(error);
  }
}

function readOrMakeKey(path: string): Uint8Array {
  try {
    writeFileSync(path, ReplyMemo.newKey(), { flag: 'wx', mode: 0o600 });
    chmodSync(path, 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw unreadable(error);
  }
  try {
    if (process.platform !== 'win32' && (statSync(path).mode & 0o077) !== 0) {
      throw new SottoError('Others on this machine can read the key of the sanitizer.', {
        code: 'MEMO_KEY_OPEN',
        fix: 'Run chmod 600 on memo.key, then `sotto ledger rotate`.',
      });
    }
    return new Uint8Array(readFileSync(path));
  } catch (error) {
    throw unreadable(error);
  }
}

/** Errors of the file system as typed ones, without the path of a person's folder. */
function unreadable(error: unknown): unknown {
  if (SottoError.is(error) || typeof (error as NodeJS.ErrnoException).code !== 'string') return error;
  return new SottoError('The folder of the sanitizer cannot be used.', {
    code: 'FILE_UNREADABLE',
    facts: { reason: (error as NodeJS.ErrnoException).code },
    fix: 'Check that it is a folder of yours and can be written.',
    cause: error,
  });
}
