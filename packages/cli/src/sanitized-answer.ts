import {
  type PreparedQuestion,
  type PromptTexts,
  SanitizedSession,
  type SanitizedSummary,
} from '@sotto/client';
import type { ModelFiles } from '@sotto/model';
import type { Receipt, Statement } from '@sotto/privacy';
import type { Options, Output } from './command.js';
import { openSanitizer } from './sanitizer-options.js';

/** An answer in mode `sanitized` with everything that it cost. */
export interface SanitizedResult {
  readonly session: SanitizedSession;
  readonly prepared: PreparedQuestion;
  readonly statement: Statement;
  readonly summary: SanitizedSummary;
  /** With the user's words. */
  readonly answer: string;
  /** Reading and certifying the table, once a process. */
  readonly startMs: number;
}

export interface SanitizedAsk {
  readonly url: string;
  readonly files: ModelFiles;
  readonly texts: PromptTexts;
  readonly maxTokens: number;
  /** Where ledger and memo are; the user's own folder when absent. */
  readonly ledgerFolder?: string;
  /** Called with what will leave, before it leaves. */
  onPrepared(prepared: PreparedQuestion): void;
  /** Called with each part of the answer. */
  onText(text: string): void;
}

/** Sanitizes, asks, and puts the user's words back into the answer. */
export async function askSanitized(
  options: Options,
  output: Output,
  ask: SanitizedAsk,
): Promise<SanitizedResult> {
  const { sanitizer, state, startMs } = await openSanitizer(options, ask.ledgerFolder);
  const { signal } = output;
  let session: SanitizedSession;
  let prepared: PreparedQuestion;
  let statement: Statement;
  try {
    session = await SanitizedSession.connect(ask.url, {
      sanitizer,
      files: ask.files,
      signal,
      wire: options.required('wire') as 'tokens' | 'embeddings',
    });
    prepared = session.prepare({
      ...ask.texts,
      maxTokens: ask.maxTokens,
      context: options.required('context'),
    });
    statement = state.ledger.statement(state.user);
  } finally {
    // Paid for: other processes need not wait for the answer.
    state.close();
  }
  ask.onPrepared(prepared);
  const stream = session.send(prepared, signal);
  let answer = '';
  for (;;) {
    const next = await stream.next();
    if (next.done) return { session, prepared, statement, summary: next.value, answer, startMs };
    answer += next.value.text;
    ask.onText(next.value.text);
  }
}

export const round = (value: number, digits: number) => Number(value.toFixed(digits));

/** What a text was protected by, and what that cost. */
export function protectionReport(receipt: Receipt, statement: Statement) {
  return {
    table: receipt.tableName,
    tableDigest: receipt.tableDigest,
    notion: receipt.notion,
    epsilonPerToken: { exact: receipt.epsilonPerWordExact, atMost: receipt.epsilonPerWord },
    epsilonDocument: receipt.epsilonDocument,
    draws: receipt.draws,
    newDraws: receipt.newDraws,
    blockBits: { perWord: round(receipt.blockBits, 3), document: round(receipt.blockBitsDocument, 1) },
    piecesReplaced: receipt.piecesReplaced,
    wordsChanged: receipt.piecesChanged,
    wordsInClear: receipt.wordsInClear,
    caveats: receipt.caveats,
    budget: {
      epoch: statement.epoch,
      spentEpoch: statement.spentEpoch,
      ofEpoch: statement.budget?.epoch ?? null,
      spentLifetime: statement.spentLifetime,
      ofLifetime: statement.budget?.lifetime ?? null,
    },
  };
}

/** The object that `--json` prints. */
export function sanitizedReport({ session, prepared, statement, summary, answer, startMs }: SanitizedResult) {
  const { receipt } = prepared;
  const { seconds } = summary;
  const whole = seconds.sanitize + seconds.ledger + seconds.total;
  return {
    mode: 'sanitized',
    model: session.server.name,
    modelDigest: session.server.digest,
    ...protectionReport(receipt, statement),
    sent: prepared.sent,
    answer,
    answerAsSent: summary.answerAsSent,
    reason: summary.reason,
    promptTokens: summary.promptTokens,
    answerTokens: summary.answerTokens,
    seconds: {
      table: round(startMs / 1000, 4),
      sanitize: round(seconds.sanitize, 6),
      ledger: round(seconds.ledger, 6),
      restore: round(seconds.restore, 6),
      firstToken: round(seconds.firstToken, 4),
      queue: round(seconds.queue, 4),
      model: round(seconds.model, 4),
      total: round(seconds.total, 4),
    },
    /** Replacing words and putting them back, of the whole; writing the ledger durably comes on top. */
    sanitizerShare: round((seconds.sanitize + seconds.restore) / whole, 6),
    ledgerShare: round(seconds.ledger / whole, 6),
    bytes: summary.bytes,
    restored: summary.restored,
    serverSaw: { promptTokensInClear: summary.promptTokens, answerTokensInClear: summary.answerTokens },
  };
}

export type SanitizedReport = ReturnType<typeof sanitizedReport>;

export const percent = (share: number) => `${(100 * share).toFixed(3)} %`;

type Rows = [string, string][];

export const rowsText = (rows: Rows) => rows.map(([name, value]) => `${name.padEnd(12)}${value}\n`).join('');

/** What a text was protected by, for people. */
export function protectionRows(report: ReturnType<typeof protectionReport>): Rows {
  const { epsilonPerToken, blockBits, budget } = report;
  return [
    ['table', `${report.table} ${report.tableDigest.slice(0, 8)}...`],
    ['notion', report.notion],
    [
      'epsilon',
      `${epsilonPerToken.exact} = ${epsilonPerToken.atMost.toFixed(4)} a word, ${report.epsilonDocument.toFixed(2)} this text`,
    ],
    ['draws', `${report.draws}, of which ${report.newDraws} new`],
    [
      'replaced',
      `${report.piecesReplaced} words and numbers, of which ${report.piecesReplaced - report.wordsChanged} drew themselves and left as they are; ${report.wordsInClear} common words in clear`,
    ],
    [
      'blocks',
      blockBits.perWord === 0
        ? 'not visible'
        : `${blockBits.perWord.toFixed(1)} bits a word visible, ${blockBits.document.toFixed(0)} bits this text, at any epsilon`,
    ],
    ['caveats', report.caveats.join('; ')],
    [
      'budget',
      `epoch ${budget.epoch}: ${budget.spentEpoch.toFixed(2)} of ${budget.ofEpoch}; for life ${budget.spentLifetime.toFixed(2)} of ${budget.ofLifetime}`,
    ],
  ];
}

/** How much of an answer was put back, for people. */
export function restoredText({ words, chosenByPlace }: SanitizedSummary['restored']): string {
  const several =
    chosenByPlace === 0
      ? ''
      : `; in ${chosenByPlace} places a substitute stood for several words, and what is in front of it decided: it may be the wrong one`;
  return `${words} ${words === 1 ? 'word' : 'words'} of yours${several}`;
}

/** The same for people, as a receipt. */
export function sanitizedSummary(report: SanitizedReport): string {
  const { seconds } = report;
  return rowsText([
    ['mode', 'sanitized: the server read all that left, and its answer; this is not encryption'],
    ['model', `${report.model} (${report.modelDigest.slice(0, 16)}...)`],
    ...protectionRows(report),
    ['put back', restoredText(report.restored)],
    [
      'time',
      `first token ${seconds.firstToken.toFixed(2)} s, all ${seconds.total.toFixed(2)} s; sanitizer ${percent(report.sanitizerShare)}, ledger ${percent(report.ledgerShare)}`,
    ],
    ['server saw', `${report.promptTokens} prompt tokens and ${report.answerTokens} answer tokens in clear`],
  ]);
}
