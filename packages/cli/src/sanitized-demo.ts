import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Options, Output } from './command.js';
import { exitCodes } from './exit-codes.js';
import { modelFilesOf } from './options.js';
import { promptTextsOf } from './prompt-options.js';
import { askSanitized, sanitizedReport, sanitizedSummary } from './sanitized-answer.js';
import { startServerProcess } from './server-process.js';

const DEFAULT_PUBLIC = 'Once upon a time, there was';
const DEFAULT_PRIVATE = 'a little girl named Lily. Her mom was very ill. Lily called the doctor and';

/**
 * Mode `sanitized` on this machine: a server process, one question, what left, the answer before and after words were put back. Ledger
 * and memo are thrown away afterwards: a demonstration spends nothing of the user's budget, and each run draws anew.
 */
export async function sanitizedDemo(options: Options, output: Output): Promise<number> {
  const texts = await promptTextsOf(options, { publicText: DEFAULT_PUBLIC, privateText: DEFAULT_PRIVATE });
  const files = modelFilesOf(options);
  const folder = mkdtempSync(join(tmpdir(), 'sotto-demo-'));
  const server = await startServerProcess([
    '--mode',
    'sanitized',
    ...(files.model === undefined ? [] : ['--model', files.model]),
  ]);
  try {
    output.err(`Server at ${server.url}, process of its own.\n`);
    output.err(`you write    ${texts.publicText} [${texts.privateText}]\n`);
    const result = await askSanitized(options, output, {
      url: server.url,
      files,
      texts,
      maxTokens: options.integer('tokens', 1, 4096) ?? 48,
      ledgerFolder: options.text('ledger') ?? folder,
      onPrepared: ({ sent }) => output.err(`leaves       ${sent}\n`),
      onText: () => {},
    });
    const report = sanitizedReport(result);
    output.err(`comes back   ${report.answerAsSent.trim()}\nyou read     ${report.answer.trim()}\n\n`);
    if (options.flag('json')) {
      output.err(sanitizedSummary(report));
      output.out(`${JSON.stringify(report)}\n`);
    } else {
      output.out(`${sanitizedSummary(report)}`);
    }
    return exitCodes.ok;
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}
