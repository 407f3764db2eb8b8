// Many clients upload while more jobs wait than run, for as long as asked; /health is asked all the while from a process that does
// nothing else, and so is a listener beside the server, which tells what of the latency is the machine's.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { pause } from './recording.mjs';
import { growth, round, spread } from './statistics.mjs';

const PROBE_MS = 250;
/** A share of the time, at most so long, in which caches fill. */
const WARM_UP_SHARE = 0.25;
const WARM_UP_MS = 15 * 60_000;

const agent = new Agent({ keepAlive: true });

/** Milliseconds until the whole answer is there. */
const latency = (url) =>
  new Promise((resolve, reject) => {
    const startMs = performance.now();
    get(url, { agent, timeout: 30_000 }, (response) => {
      response.on('end', () => resolve(performance.now() - startMs)).resume();
    })
      .on('timeout', (request) => request.destroy(new Error('no answer')))
      .on('error', reject);
  });

/**
 * Ends after `minutes`, or at SIGTERM.
 *
 * @param {{ minutes: number, uploaders: number, owners: number, greedy: number, pauseMs: number, answerMs: number, share?: number }} options
 *   `owners` have a session each, the first `greedy` of them; `pauseMs` lies between uploads, `answerMs` before a refresh is
 *   answered; `share` is the autogroup nice value of server and clients.
 */
export async function longRun({ minutes, share, ...load }) {
  const folder = join(tmpdir(), `sotto-soak-${process.pid}`);
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL('load.mjs', import.meta.url)), JSON.stringify({ folder, ...load })],
    { stdio: ['pipe', 'pipe', 'inherit'], detached: true },
  );
  process.once('exit', () => child.kill());
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error('the load ended early');
    return JSON.parse(value);
  };
  const { health, idle } = await next();
  if (share !== undefined) writeFileSync(`/proc/${child.pid}/autogroup`, String(share));
  const server = [];
  const listener = [];
  const own = [];
  let unanswered = 0;
  const startMs = performance.now();
  let stopped = false;
  process.once('SIGTERM', () => {
    stopped = true;
  });
  while (!stopped && performance.now() - startMs < minutes * 60_000) {
    const dueMs = performance.now() + PROBE_MS;
    await pause(PROBE_MS);
    own.push(Math.max(0, performance.now() - dueMs));
    try {
      server.push(await latency(health));
      listener.push(await latency(idle));
    } catch {
      unanswered++;
    }
  }
  if (share !== undefined) writeFileSync(`/proc/${child.pid}/autogroup`, '0');
  child.stdin.end();
  const { memory, ...seen } = await next();
  const warmUpMs = Math.min(WARM_UP_MS, WARM_UP_SHARE * 1000 * seen.seconds);
  const { first, last, percent } = growth(memory, warmUpMs);
  const megabytes = (bytes) => round(bytes / 1e6);
  return {
    minutes: round(seen.seconds / 60),
    ...seen,
    closedBytes: undefined,
    health: { ...spread(server), unanswered },
    idleListener: spread(listener),
    ownLag: spread(own),
    residentMB: {
      warmUpMinutes: round(warmUpMs / 60_000),
      ...{ first: megabytes(first), last: megabytes(last), growthPercent: percent },
      everyMinute: memory.filter((_, i) => i % 30 === 0).map(({ value }) => megabytes(value)),
      afterSessionsClosed: megabytes(seen.closedBytes),
    },
  };
}
