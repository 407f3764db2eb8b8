import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { SottoError } from '@sotto/base';
import { SanitizerState } from '@sotto/client';
import { type Policy, readShippedTable, Sanitizer } from '@sotto/privacy';
import type { OptionSpecs, Options } from './command.js';
import { stateFolder } from './options.js';

export const modeOption: OptionSpecs = {
  mode: {
    choices: ['fhe', 'sanitized'],
    value: 'NAME',
    default: 'fhe',
    help: 'fhe encrypts the private part and the answer; sanitized replaces words of it by lot, the rest is in clear.',
  },
};

export const tableOption: OptionSpecs = {
  table: {
    value: 'NAME',
    default: 'neutral',
    help: 'Sanitizer table: neutral, lexicon or whole, with -1, -3 or -10 for its epsilon, or a file (.san, .san.gz).',
  },
};

export const ledgerOption: OptionSpecs = {
  ledger: {
    value: 'DIR',
    help: 'Folder of privacy ledger and reply memo; in the state folder of the user when absent.',
  },
};

/** Options that only mode `sanitized` has. */
export const sanitizedOptions: OptionSpecs = {
  ...tableOption,
  'epsilon-budget': {
    value: 'N',
    help: 'Largest epsilon of an epoch, all questions together, from now on; 200 until one is set.',
  },
  words: {
    choices: ['all', 'sensitive'],
    value: 'WHICH',
    default: 'all',
    help: 'Words to replace; sensitive leaves common words of the table in clear, but for names, numbers, delicate topics and your list: a weaker promise.',
  },
  'sensitive-list': {
    value: 'FILE',
    help: 'With --words sensitive: words of yours that never stay, separated by spaces or lines.',
  },
  wire: {
    choices: ['tokens', 'embeddings'],
    value: 'WHAT',
    default: 'tokens',
    help: 'What travels; embeddings of tokens tell the same as tokens and take more room.',
  },
  context: { value: 'NAME', default: '', help: 'Conversation: replies to equal words repeat within it.' },
  ...ledgerOption,
};

const MOST_TABLE_BYTES = 64 << 20;
const MOST_BUDGET = 1e6;

/** Folder of the user's ledger. */
export const ledgerFolder = (options: Options) => options.text('ledger') ?? join(stateFolder(), 'sanitizer');

/** A table by name, or from a file. @throws `TABLE_UNKNOWN`, `TABLE_CORRUPT`, `FILE_UNREADABLE`. */
export async function tableBytesOf(name: string): Promise<Uint8Array> {
  const isFile = /\.san(\.gz)?$/.test(name) || /[\\/]/.test(name);
  if (!isFile) return await readShippedTable(name);
  try {
    const bytes = await readFile(name);
    return new Uint8Array(
      name.endsWith('.gz') ? gunzipSync(bytes, { maxOutputLength: MOST_TABLE_BYTES }) : bytes,
    );
  } catch (error) {
    throw new SottoError('The table file cannot be read.', {
      code: 'FILE_UNREADABLE',
      facts: { path: name, reason: (error as NodeJS.ErrnoException).code ?? 'unknown' },
      fix: 'Check the path, or name a table of `sotto sanitizer list`.',
      cause: error,
    });
  }
}

/** @throws `USAGE_NUMBER` */
export function epsilonBudgetOf(options: Options): number | undefined {
  const text = options.text('epsilon-budget');
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && value > 0 && value <= MOST_BUDGET) return value;
  throw new SottoError('--epsilon-budget is not a number that can be used.', {
    code: 'USAGE_NUMBER',
    facts: { above: 0, largest: MOST_BUDGET },
    fix: 'Give the sum of epsilons that an epoch may cost, e.g. 200.',
  });
}

/** @throws `FILE_UNREADABLE`, `USAGE_TWICE`: a list that would not be followed is an error. */
async function policyOf(options: Options): Promise<Policy> {
  const path = options.text('sensitive-list');
  if (options.required('words') === 'all') {
    if (path === undefined) return { scope: 'every-word' };
    throw new SottoError('--sensitive-list belongs to --words sensitive.', {
      code: 'USAGE_TWICE',
      fix: 'Leave the list out: every word is replaced.',
    });
  }
  if (path === undefined) return { scope: 'sensitive-words' };
  try {
    const userWords = (await readFile(path, 'utf8')).split(/\s+/).filter((word) => word !== '');
    return { scope: 'sensitive-words', userWords };
  } catch (error) {
    throw new SottoError('The list of sensitive words cannot be read.', {
      code: 'FILE_UNREADABLE',
      facts: { reason: (error as NodeJS.ErrnoException).code ?? 'unknown' },
      fix: 'Check the path and its permissions.',
      cause: error,
    });
  }
}

/** Another question of the same person holds the ledger while it sanitizes and connects, not while it waits for its answer. */
const PATIENCE_MS = 10_000;
const PAUSE_MS = 25;

async function openState(folder: string, epochBudget: number | undefined): Promise<SanitizerState> {
  const untilMs = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      return SanitizerState.open(folder, epochBudget);
    } catch (error) {
      const busy = SottoError.is(error) && error.code === 'LEDGER_LOCKED';
      if (!busy || performance.now() > untilMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}

export interface OpenSanitizer {
  readonly sanitizer: Sanitizer;
  readonly state: SanitizerState;
  /** Reading and certifying the table. */
  readonly startMs: number;
}

/** Table, ledger and memo of a command. Close the state as soon as nothing more is to be sanitized: others wait for it. */
export async function openSanitizer(
  options: Options,
  folder: string = ledgerFolder(options),
): Promise<OpenSanitizer> {
  const tableBytes = await tableBytesOf(options.required('table'));
  const policy = await policyOf(options);
  const state = await openState(folder, epsilonBudgetOf(options));
  try {
    const startMs = performance.now();
    const sanitizer = new Sanitizer({
      tableBytes,
      ledger: state.ledger,
      user: state.user,
      memo: state.memo(),
      policy,
    });
    return { sanitizer, state, startMs: performance.now() - startMs };
  } catch (error) {
    state.close();
    throw error;
  }
}
