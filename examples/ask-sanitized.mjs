// Asks a running server (`sotto serve`) in mode sanitized. Usage: node examples/ask-sanitized.mjs [URL]
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SanitizedSession, SanitizerState } from '@sotto/client';
import { readShippedTable, Sanitizer } from '@sotto/privacy';

// Keep the folder in earnest: it holds what you spent, and the key that makes repeated questions harmless.
const state = SanitizerState.open(mkdtempSync(join(tmpdir(), 'sanitizer-')));
const { ledger, user } = state;
const tableBytes = await readShippedTable('neutral');
const sanitizer = new Sanitizer({ tableBytes, ledger, user, memo: state.memo() });
const session = await SanitizedSession.connect(process.argv[2] ?? 'http://127.0.0.1:8417', { sanitizer });
const question = {
  publicText: 'Once upon a time, there was',
  privateText: 'a girl named Lily',
  maxTokens: 32,
};
const prepared = session.prepare(question);
state.close();
process.stderr.write(`Leaves this machine: ${prepared.sent}\n`);
for await (const { text } of session.send(prepared)) process.stdout.write(text);
process.stdout.write('\n');
