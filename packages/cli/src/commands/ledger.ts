import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SottoError } from '@sotto/base';
import { SanitizerState } from '@sotto/client';
import { Ledger, MemoryStorage, type Statement, verifyLedger } from '@sotto/privacy';
import type { Command, Options } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import { epsilonBudgetOf, ledgerFolder, ledgerOption, sanitizedOptions } from '../sanitizer-options.js';

const actions = ['show', 'verify', 'rotate'];

/** The ledger as it is on disk; nothing is locked or changed. */
async function readLedger(options: Options): Promise<Uint8Array> {
  try {
    return new Uint8Array(await readFile(join(ledgerFolder(options), 'ledger')));
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? 'unknown';
    throw new SottoError('There is no privacy ledger that can be read.', {
      code: reason === 'ENOENT' ? 'LEDGER_ABSENT' : 'FILE_UNREADABLE',
      facts: { reason },
      fix: 'The first question in mode sanitized makes one; name its folder with --ledger.',
      cause: error,
    });
  }
}

function rows(statement: Statement): string {
  const { budget, epoch, spentEpoch, spentLifetime, draws, tables } = statement;
  const of = (limit: number | undefined) => (limit === undefined ? '' : ` of ${limit}`);
  const lines: [string, string][] = [
    ['account', statement.user],
    ['epoch', String(epoch)],
    ['spent', `epsilon ${spentEpoch.toFixed(4)}${of(budget?.epoch)} in this epoch`],
    ['for life', `epsilon ${spentLifetime.toFixed(4)}${of(budget?.lifetime)}`],
    ['draws', String(draws)],
    ['tables', tables.map((digest) => `${digest.slice(0, 16)}...`).join(', ') || 'none'],
  ];
  return lines.map(([name, value]) => `${name.padEnd(13)}${value}\n`).join('');
}

export const command: Command = {
  name: 'ledger',
  description:
    'The privacy ledger of mode sanitized: what was spent, in epsilon. show: accounts and budgets. verify: reads every record and\n' +
    'its checksum. rotate: begins an epoch with new substitutes; what was spent still counts for life.',
  example: 'sotto ledger show',
  positionals: ['show|verify|rotate'],
  options: { ...ledgerOption, 'epsilon-budget': sanitizedOptions['epsilon-budget']! },
  async run(options, output) {
    const [action = 'show', ...more] = options.positionals;
    if (!actions.includes(action) || more.length > 0) {
      throw new SottoError('The ledger command takes show, verify or rotate.', {
        code: 'USAGE_ACTION',
        fix: 'See `sotto ledger --help`.',
      });
    }
    const json = options.flag('json');
    if (action === 'rotate') {
      const state = SanitizerState.open(ledgerFolder(options), epsilonBudgetOf(options));
      try {
        const epoch = state.ledger.rotate(state.user);
        output.out(
          json ? `${JSON.stringify({ epoch })}\n` : `Epoch ${epoch} begins: substitutes are drawn anew.\n`,
        );
      } finally {
        state.close();
      }
      return exitCodes.ok;
    }
    const bytes = await readLedger(options);
    const { records, tornBytes } = verifyLedger(bytes);
    if (action === 'verify') {
      const torn =
        tornBytes === 0 ? '' : ` ${tornBytes} bytes of a last record that was never confirmed are left out.`;
      output.out(
        json
          ? `${JSON.stringify({ records, tornBytes, holds: true })}\n`
          : `${records} ${records === 1 ? 'record' : 'records'}, each with the right checksum of itself and of all before it.${torn}\n`,
      );
      return exitCodes.ok;
    }
    const ledger = new Ledger(new MemoryStorage(bytes));
    const accounts = ledger.users().map((user) => ledger.statement(user));
    output.out(json ? `${JSON.stringify({ accounts })}\n` : accounts.map(rows).join('\n'));
    return exitCodes.ok;
  },
};
