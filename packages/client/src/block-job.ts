import { type ProgressListener, SottoError } from '@sotto/base';
import { decodeRows, encodeRows, errorFromBody, jobCreatedSchema, type SessionInfo } from '@sotto/protocol';
import { type Connection, frameBody } from './connection.js';
import type { PrivateSide } from './private-side.js';

/** Where blocks are run. */
export interface BlockJobContext {
  readonly connection: Connection;
  readonly privateSide: Pick<PrivateSide, 'encryptRows' | 'decryptRows' | 'refresh' | 'largestRefreshes'>;
  readonly session: Pick<SessionInfo, 'sessionId' | 'refresh'>;
  readonly onProgress?: ProgressListener | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Sends tokens as encrypted rows of one block, answers the refreshes that the server asks for and gives the block's hidden rows.
 *
 * @param position of the first token in the sequence.
 * @throws `REFRESH_LIMIT`, `REFRESH_REFUSED`, `RESULT_MISMATCH` and the server's errors.
 */
export async function runBlock(
  context: BlockJobContext,
  tokens: readonly number[],
  position: number,
): Promise<readonly Float64Array[]> {
  const { connection, privateSide, session, signal } = context;
  const ciphertexts = privateSide.encryptRows(tokens, position);
  const payload = encodeRows({ position, rows: tokens.length, ciphertexts });
  const { jobId } = await connection.json(jobCreatedSchema, 'job', {
    method: 'POST',
    path: `/v1/sessions/${session.sessionId}/blocks`,
    body: frameBody('block', position, payload),
    signal,
    repeatable: true,
    patient: true,
  });
  const stop = () => {
    // The question is given up: so that the server does not compute on for nobody.
    connection.empty({ method: 'DELETE', path: `/v1/jobs/${jobId}` }).catch(() => {});
  };
  signal?.addEventListener('abort', stop, { once: true });
  try {
    await follow(context, jobId);
  } finally {
    signal?.removeEventListener('abort', stop);
  }
  const result = await connection.frame('result', position, {
    method: 'GET',
    path: `/v1/jobs/${jobId}/result`,
    signal,
    repeatable: true,
    patient: true,
  });
  const rows = decodeRows(result);
  if (rows.position !== position || rows.rows !== tokens.length) {
    throw new SottoError('The result is for other rows than were sent.', {
      code: 'RESULT_MISMATCH',
      facts: { position: rows.position, rows: rows.rows, expected: tokens.length },
      fix: 'Open a new session.',
    });
  }
  return privateSide.decryptRows(rows.ciphertexts, rows.rows);
}

/** Passes on progress and answers refreshes until the job is done. */
async function follow(context: BlockJobContext, jobId: string): Promise<void> {
  const { connection, privateSide, onProgress, signal } = context;
  let refreshes = 0;
  for await (const event of connection.events(jobId, signal)) {
    if (event.type === 'progress') {
      const { remainingMs, ...rest } = event.progress;
      onProgress?.(remainingMs === undefined ? rest : { ...rest, remainingMs });
    } else if (event.type === 'refresh') {
      if (++refreshes > privateSide.largestRefreshes) {
        throw new SottoError('The server asked for more refreshes than the plan of the block has.', {
          code: 'REFRESH_LIMIT',
          facts: { limit: privateSide.largestRefreshes },
          fix: 'Do not trust this server; open a session with another one.',
        });
      }
      await answerRefresh(context, jobId, event.refreshId).catch((error) => {
        // A server that was restarted meanwhile asks again, under another number.
        if (!SottoError.is(error) || error.code !== 'REFRESH_UNKNOWN') throw error;
      });
    } else if (event.type === 'failed') {
      throw errorFromBody({ error: event.error });
    }
  }
}

async function answerRefresh(context: BlockJobContext, jobId: string, refreshId: number): Promise<void> {
  const { connection, privateSide, session, signal } = context;
  if (session.refresh !== 'client') {
    throw new SottoError('The server asked for a refresh that this session does not give.', {
      code: 'REFRESH_REFUSED',
      fix: 'Open the session with client refresh, or use another server.',
    });
  }
  const path = `/v1/jobs/${jobId}/refresh/${refreshId}`;
  const asked = await connection.frame('refreshRequest', refreshId, {
    method: 'GET',
    path,
    signal,
    repeatable: true,
    patient: true,
  });
  await connection.empty({
    method: 'PUT',
    path,
    body: frameBody('refreshReply', refreshId, privateSide.refresh(asked)),
    signal,
    repeatable: true,
    patient: true,
  });
}
