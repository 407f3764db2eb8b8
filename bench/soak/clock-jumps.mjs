// The wall clock of a server jumps far ahead and back, while it runs and over a restart: nothing that is in use is lost.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Connection, KeySets } from '@sotto/client';
import { completeJob } from './disk-faults.mjs';
import { call, openUser, startStandIn } from './stand-in.mjs';

const DAY_MS = 24 * 3600_000;
const DATA = [4, 5, 6];

/** @param {{ days?: readonly number[] }} [options] jumps, each from the true time. */
export async function clockJumps({ days = [400, -400] } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'sotto-clock-'));
  const options = { folder, maxSessions: 4, maxJobs: 4, idleTimeoutMs: 60_000 };
  const seen = [];
  try {
    for (const day of days) {
      const server = await startStandIn(options);
      const running = await openUser(server.url, DATA);
      const suspended = await openUser(server.url, DATA);
      await server.moveClock(day * DAY_MS);
      const jump = {
        days: day,
        sessionStays: (await call(server.url, 'GET', running.at, running.session.token)).ok,
        jobFinished: await completeJob(server.url, running, DATA),
        newSessionWorks: await openUser(server.url, DATA).then((user) => completeJob(server.url, user, DATA)),
      };
      await server.stop();
      const again = await startStandIn({ ...options, clockMs: day * DAY_MS });
      const [set] = await new KeySets(new Connection(again.url), suspended.token).list();
      seen.push({
        ...jump,
        keysKeptOverRestart: set?.missing.length === 0,
        jobFinishedAfterRestart: await completeJob(again.url, suspended, DATA).catch(() => false),
      });
      await again.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return { jumps: seen };
}
