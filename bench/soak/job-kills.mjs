// Jobs whose server is killed at a random moment, and once more when the job is done: every job must end with the result that was
// recorded without kills, to the last bit.
import { randomInt } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KillableServer } from '../../tests/fixtures/killable-server.mjs';
import { tinyServerArgs, writeTinyFiles } from '../../tests/fixtures/tiny-files.mjs';
import { newToken, pause, record, uploadRecorded } from './recording.mjs';
import { Replay } from './replay.mjs';

/**
 * @param {{ kills: number, refreshes: readonly ('bootstrap' | 'client')[], layerCount: number, limitMs: number }} options as many
 *   kills of unfinished jobs, one a job, shared among the kinds of refreshes; a job that takes longer than `limitMs` counts as lost.
 */
export async function jobKills({ kills, refreshes, layerCount, limitMs }) {
  const folder = mkdtempSync(join(tmpdir(), 'sotto-soak-jobs-'));
  const files = writeTinyFiles(folder, layerCount);
  const server = new KillableServer(join(folder, 'server'), [...tinyServerArgs(files), '--sessions', '2']);
  await server.start();
  const seen = { kills: 0, identical: 0, different: 0, failed: [], keysSentAgain: 0, states: {} };
  try {
    for (const refresh of refreshes) {
      const recording = await record(server.url, files, refresh);
      const token = newToken();
      await uploadRecorded(server.url, token, recording);
      const replay = new Replay(() => server.url, recording, token);
      await replay.open();
      const startMs = performance.now();
      await replay.follow(await replay.submit());
      const jobMs = Math.ceil(performance.now() - startMs);
      for (let n = 0; n < kills / refreshes.length; ) {
        const jobId = await replay.submit();
        const following = replay.follow(jobId).catch((error) => error);
        await pause(randomInt(0, jobMs));
        const state = await replay.state(jobId);
        seen.states[state] = (seen.states[state] ?? 0) + 1;
        // A kill after the end is one more, it takes the place of none.
        if (state !== 'done') n++;
        await server.kill();
        seen.kills++;
        await server.start();
        const end = await Promise.race([following, pause(limitMs).then(() => new Error('LOST'))]);
        if (end instanceof Error) seen.failed.push(end.message);
        else if (end && (await replay.fetchAgain(jobId))) seen.identical++;
        else seen.different++;
        const again = await uploadRecorded(server.url, token, recording);
        seen.keysSentAgain += again.bytesUp;
      }
      await replay.close();
    }
  } finally {
    await server.kill();
    rmSync(folder, { recursive: true });
  }
  return { refreshes: refreshes.join(', '), ...seen };
}
