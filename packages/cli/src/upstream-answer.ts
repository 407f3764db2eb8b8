import { SottoError } from '@sotto/base';
import { UpstreamSession } from '@sotto/client';
import type { OptionSpecs, Options, Output } from './command.js';
import { exitCodes } from './exit-codes.js';
import { promptTextsOf } from './prompt-options.js';
import {
  percent,
  protectionReport,
  protectionRows,
  restoredText,
  round,
  rowsText,
} from './sanitized-answer.js';
import { openSanitizer } from './sanitizer-options.js';

/** Environment variable with the key of an upstream: arguments are visible to others on the machine. */
const KEY_VARIABLE = 'SOTTO_UPSTREAM_KEY';

export const upstreamOptions: OptionSpecs = {
  upstream: {
    value: 'URL',
    help: `Mode sanitized: ask an OpenAI-compatible server instead, e.g. https://api.example.com/v1; its key comes from ${KEY_VARIABLE}.`,
  },
  'upstream-model': { value: 'NAME', help: 'Model of that server.' },
};

/** @throws `USAGE_MODE` when an upstream is given in another mode: text must not leave by mistake. */
export function requireSanitizedMode(options: Options): void {
  if (options.text('upstream') === undefined || options.required('mode') === 'sanitized') return;
  throw new SottoError('--upstream belongs to mode sanitized.', {
    code: 'USAGE_MODE',
    fix: 'Add --mode sanitized, or leave --upstream out.',
  });
}

/** Asks an upstream: sanitizes, sends, puts the user's words back, prints a receipt. */
export async function askUpstream(options: Options, output: Output): Promise<number> {
  const json = options.flag('json');
  const texts = await promptTextsOf(options);
  const maxTokens = options.integer('tokens', 1, 1 << 20) ?? 256;
  const model = options.required('upstream-model');
  const key = process.env[KEY_VARIABLE];
  const { sanitizer, state, startMs } = await openSanitizer(options);
  const prepare = () => {
    const session = new UpstreamSession(options.required('upstream'), {
      sanitizer,
      model,
      ...(key ? { key } : {}),
    });
    const prepared = session.prepare({ ...texts, maxTokens, context: options.required('context') });
    return { session, prepared, statement: state.ledger.statement(state.user) };
  };
  let ready: ReturnType<typeof prepare>;
  try {
    ready = prepare();
  } finally {
    // Paid for: other processes need not wait for the answer.
    state.close();
  }
  const { session, prepared, statement } = ready;
  output.err(`Leaves this machine: ${prepared.sent}\n`);
  const stream = session.send(prepared, output.signal);
  let answer = '';
  let next = await stream.next();
  for (; !next.done; next = await stream.next()) {
    answer += next.value.text;
    if (!json) output.out(next.value.text);
  }
  const { seconds, reason, answerAsSent, restored, bytes } = next.value;
  const whole = seconds.sanitize + seconds.ledger + seconds.total;
  const report = {
    mode: 'sanitized',
    upstreamModel: model,
    ...protectionReport(prepared.receipt, statement),
    sent: prepared.sent,
    answer,
    answerAsSent,
    reason,
    restored,
    seconds: {
      table: round(startMs / 1000, 4),
      ...Object.fromEntries(Object.entries(seconds).map(([name, value]) => [name, round(value, 6)])),
    },
    sanitizerShare: round((seconds.sanitize + seconds.restore) / whole, 6),
    ledgerShare: round(seconds.ledger / whole, 6),
    bytes,
  };
  const rows = rowsText([
    ['mode', 'sanitized: the upstream read all that left, and its answer; this is not encryption'],
    ['model', `${model}, by a server that is not Sotto's`],
    ...protectionRows(report),
    ['put back', restoredText(restored)],
    [
      'time',
      `first text ${seconds.firstText.toFixed(2)} s, all ${seconds.total.toFixed(2)} s; sanitizer ${percent(report.sanitizerShare)}, ledger ${percent(report.ledgerShare)}`,
    ],
    ['it saw', 'the text above, your account and address there, and when you asked'],
  ]);
  output.err(`\n${rows}`);
  output.out(json ? `${JSON.stringify(report)}\n` : '\n');
  return exitCodes.ok;
}
