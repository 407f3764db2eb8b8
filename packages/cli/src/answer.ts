import type { AnswerToken, DraftCounts, Question, Session } from '@sotto/client';
import type { SessionStatus } from '@sotto/protocol';
import type { Output } from './command.js';
import { duration, type ProgressRenderer } from './progress-renderer.js';

/** An answer with everything that was measured on the way. */
export interface Answer {
  readonly tokens: readonly AnswerToken[];
  readonly text: string;
  readonly clearText: string;
  readonly maxAbsError: number;
  readonly rmsError: number;
  readonly status: SessionStatus;
  readonly drafts: DraftCounts;
}

export interface Asked extends Question {
  readonly publicText: string;
}

/**
 * Asks and prints the answer as it grows, next to the clear model's when the question says `compare`.
 *
 * @param tokens the answer so far; it grows, also when the session fails.
 */
export async function printAnswer(
  session: Session,
  question: Asked,
  output: Output,
  progress: ProgressRenderer,
  tokens: AnswerToken[] = [],
): Promise<Answer> {
  let text = tokens.map((token) => token.text).join('');
  let clearText = tokens.map(({ clear }) => clear?.text ?? '').join('');
  const first = tokens.length;
  const before = `${question.publicText} [${question.privateText}]`;
  for await (const token of session.ask({
    ...question,
    maxTokens: question.maxTokens - first,
    after: tokens.map(({ token }) => token),
    onProgress: progress.listener,
    signal: output.signal,
  })) {
    tokens.push(token);
    text += token.text;
    progress.clear();
    const error = token.clear ? `, logits off by at most ${token.clear.error.maxAbs.toExponential(1)}` : '';
    const time = token.seconds === 0 ? 'with the one before' : `in ${duration(1000 * token.seconds)}`;
    output.err(`token ${tokens.length} of ${question.maxTokens} ${time}${error}\n`);
    output.err(`  encrypted  ${before}${text}\n`);
    if (token.clear) {
      clearText += token.clear.text;
      output.err(`  clear      ${before}${clearText}\n`);
    }
  }
  const errors = tokens.flatMap(({ clear }) => (clear ? [clear.error] : []));
  return {
    tokens,
    text,
    clearText,
    maxAbsError: Math.max(0, ...errors.map(({ maxAbs }) => maxAbs)),
    rmsError: Math.sqrt(errors.reduce((sum, { rms }) => sum + rms * rms, 0) / Math.max(1, errors.length)),
    status: await session.status(),
    drafts: session.draftCounts,
  };
}
