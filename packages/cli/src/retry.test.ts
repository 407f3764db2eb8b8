import { SottoError } from '@sotto/base';
import type { AnswerToken, Question, Session } from '@sotto/client';
import type { RefreshMode } from '@sotto/protocol';
import { describe, expect, it } from 'vitest';
import { ProgressRenderer } from './progress-renderer.js';
import { askWithRetry } from './retry.js';

const escaped = () => new SottoError('void', { code: 'ENGINE_OUTPUT_ESCAPED', fix: 'none' });
const all = [11, 12, 13, 14, 15];

/** A session that gives `count` tokens and then fails. */
function fake(count: number, failure: SottoError | null, log: string[], name: string): Session {
  const session = {
    draftCounts: { passes: 1, drafted: 0, accepted: 0 },
    async *ask({ after = [], maxTokens }: Question): AsyncGenerator<AnswerToken> {
      log.push(`${name} asks for ${maxTokens} after ${after.join()}`);
      const rest = all.slice(after.length, after.length + maxTokens);
      for (const token of rest.slice(0, count)) {
        yield { token, text: `${token}.`, logits: new Float64Array(1), pass: 0, seconds: 1 };
      }
      if (count < rest.length && failure) throw failure;
    },
    status: async () => ({}),
    close: async () => void log.push(`${name} closes`),
  };
  return session as unknown as Session;
}

function ask(
  sessions: Record<RefreshMode, () => Session>,
  log: string[],
  retry = true,
  refresh: RefreshMode = 'bootstrap',
) {
  const question = { publicText: 'p', privateText: 'q', maxTokens: 5 };
  const output = { out: () => {}, err: () => {}, interactive: false, signal: new AbortController().signal };
  const connect = async (mode: RefreshMode) => {
    log.push(`connect ${mode}`);
    return sessions[mode]();
  };
  return askWithRetry(connect, { refresh, retry, question }, output, new ProgressRenderer(() => {}, false));
}

describe('an answer that leaves its ranges', () => {
  it('goes on with refresh by the client after the tokens so far', async () => {
    const log: string[] = [];
    const { answer, retried } = await ask(
      { bootstrap: () => fake(2, escaped(), log, 'first'), client: () => fake(9, null, log, 'second') },
      log,
    );
    expect(retried).toBe(true);
    expect(answer.tokens.map(({ token }) => token)).toEqual(all);
    expect(answer.text).toBe('11.12.13.14.15.');
    expect(log).toEqual([
      'connect bootstrap',
      'first asks for 5 after ',
      'first closes',
      'connect client',
      'second asks for 3 after 11,12',
    ]);
  });

  it.each([
    ['that nobody wants repeated', false, 'bootstrap'],
    ['with refresh by the client', true, 'client'],
  ] as const)('is an error %s', async (_, retry, refresh) => {
    const log: string[] = [];
    const sessions = () => fake(2, escaped(), log, 'only');
    await expect(ask({ bootstrap: sessions, client: sessions }, log, retry, refresh)).rejects.toThrow(
      /ENGINE_OUTPUT_ESCAPED/,
    );
    expect(log).toEqual([`connect ${refresh}`, 'only asks for 5 after ', 'only closes']);
  });

  it('is an error when the second session leaves them too, and other errors are never repeated', async () => {
    const log: string[] = [];
    const twice = {
      bootstrap: () => fake(2, escaped(), log, 'a'),
      client: () => fake(1, escaped(), log, 'b'),
    };
    await expect(ask(twice, log)).rejects.toThrow(/ENGINE_OUTPUT_ESCAPED/);
    expect(log.at(-1)).toBe('b closes');
    const lost = new SottoError('gone', { code: 'WORKER_LOST', fix: 'none' });
    const other: string[] = [];
    const failing = () => fake(2, lost, other, 'a');
    await expect(ask({ bootstrap: failing, client: failing }, other)).rejects.toThrow(/WORKER_LOST/);
    expect(other).not.toContain('connect client');
  });

  it('without an escape is the first session alone', async () => {
    const log: string[] = [];
    const fine = () => fake(9, null, log, 'only');
    const { retried, answer } = await ask({ bootstrap: fine, client: fine }, log);
    expect([retried, answer.tokens.length]).toEqual([false, 5]);
    expect(log).toEqual(['connect bootstrap', 'only asks for 5 after ']);
  });
});
