import { SottoError } from '@sotto/base';
import type { AnswerToken, Session } from '@sotto/client';
import type { RefreshMode } from '@sotto/protocol';
import { type Answer, type Asked, printAnswer } from './answer.js';
import type { OptionSpecs, Options, Output } from './command.js';
import type { ProgressRenderer } from './progress-renderer.js';

export const retryOption: OptionSpecs = {
  retry: {
    choices: ['none', 'client'],
    value: 'HOW',
    default: 'none',
    help: 'When a bootstrapped answer leaves the calibrated ranges: give the error, or go on with refresh by this client, which makes and sends other keys.',
  },
};

export const retryOf = (options: Options): boolean => options.required('retry') === 'client';

/** The code of an answer that is void: nothing of it is shown. */
const ESCAPED = 'ENGINE_OUTPUT_ESCAPED';

export interface Retried {
  /** The session that gave the last token; the caller closes it. */
  readonly session: Session;
  readonly answer: Answer;
  /** The answer went on with refresh by the client. */
  readonly retried: boolean;
}

/**
 * Asks; when the encrypted computation leaves its ranges and that is wanted, goes on after the tokens so far in a second session
 * with refresh by the client. The first session is closed before: a server may hold only one.
 *
 * @param connect opens a session.
 * @throws what the sessions throw; the escape too when it happens with refresh by the client, or is not to be retried.
 */
export async function askWithRetry(
  connect: (refresh: RefreshMode) => Promise<Session>,
  ask: { readonly refresh: RefreshMode; readonly retry: boolean; readonly question: Asked },
  output: Output,
  progress: ProgressRenderer,
): Promise<Retried> {
  const { refresh, retry, question } = ask;
  const tokens: AnswerToken[] = [];
  const first = await connect(refresh);
  try {
    return {
      session: first,
      answer: await printAnswer(first, question, output, progress, tokens),
      retried: false,
    };
  } catch (error) {
    await first.close().catch(() => {});
    const escaped = SottoError.is(error) && error.code === ESCAPED;
    if (!escaped || !retry || refresh === 'client') throw error;
  }
  progress.clear();
  output.err(
    'A value left its range and the result is void. Going on with refresh by this client: other keys.\n',
  );
  const second = await connect('client');
  try {
    return {
      session: second,
      answer: await printAnswer(second, question, output, progress, tokens),
      retried: true,
    };
  } catch (error) {
    await second.close().catch(() => {});
    throw error;
  }
}
