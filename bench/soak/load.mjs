// A process of its own: a server, the clients that keep it busy, and a listener that does nothing, to compare with. Prints one line
// of JSON when all are ready, one with what it saw when its standard input ends.
import { mkdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { KillableServer } from '../../tests/fixtures/killable-server.mjs';
import { tinyServerArgs, writeTinyFiles } from '../../tests/fixtures/tiny-files.mjs';
import { askers, uploader } from './clients.mjs';
import { overtakings } from './fairness.mjs';
import { cpuSeconds, openFiles, residentBytes } from './processes.mjs';
import { record } from './recording.mjs';
import { quantile, round } from './statistics.mjs';

const SAMPLE_MS = 2_000;

const options = JSON.parse(process.argv[2]);
const { folder, uploaders, owners, greedy, pauseMs, answerMs } = options;
let ended = false;
const stop = new Promise((resolve) => {
  process.stdin.on('end', resolve).resume();
});

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const files = writeTinyFiles(folder, 2);
const sessions = owners - 1 + greedy;
const server = new KillableServer(`${folder}/server`, [
  ...tinyServerArgs(files),
  ...['--sessions', String(sessions), '--jobs', '1', '--rate', '2000'],
]);
await server.start();
const listener = createServer((_, response) => response.end('ok'));
await new Promise((resolve) => listener.listen(0, '127.0.0.1', resolve));

const recording = await record(server.url, files, 'client');
const jobs = [];
const errors = [];
const counts = { uploads: 0, uploadedBytes: 0, dropped: 0, wrongKeys: 0 };
const asking = await askers(server.url, recording, {
  ...{ owners, greedy, ended: () => ended },
  answerMs: () => answerMs,
  onJob: (job) => jobs.push(job),
});
const startMs = performance.now();
const work = [asking.done];
for (let n = 0; n < uploaders; n++) work.push(uploader(server.url, { ended: () => ended, pauseMs, counts }));
for (const task of work) task.catch((error) => errors.push(String(error?.code ?? error)));

const memory = [];
const queued = [];
const files0 = openFiles(server.pid);
const cpu0 = cpuSeconds(server.pid);
const sampler = setInterval(async () => {
  const atMs = Math.round(performance.now() - startMs);
  memory.push({ atMs, value: residentBytes(server.pid) });
  const text = await fetch(`${server.url}/metrics`).then(
    (response) => response.text(),
    () => '',
  );
  queued.push(Number(/^sotto_jobs_queued (\d+)/m.exec(text)?.[1] ?? Number.NaN));
}, SAMPLE_MS);

console.log(
  JSON.stringify({ health: `${server.url}/health`, idle: `http://127.0.0.1:${listener.address().port}/` }),
);
await stop;
ended = true;
clearInterval(sampler);
const seconds = (performance.now() - startMs) / 1000;
const cpu = cpuSeconds(server.pid) - cpu0;
const openAtEnd = openFiles(server.pid);
await Promise.allSettled(work);
const closedBytes = residentBytes(server.pid);
const alive = server.alive;
await server.kill('SIGTERM');
listener.close();
rmSync(folder, { recursive: true, force: true });
const waits = jobs.map(({ submittedMs, startedMs }) => startedMs - submittedMs);
console.log(
  JSON.stringify({
    seconds: round(seconds),
    serverAlive: alive,
    serverCpuPercent: round((100 * cpu) / seconds),
    ...counts,
    jobs: jobs.length,
    wrongResults: jobs.filter(({ same }) => !same).length,
    overtakings: overtakings(jobs),
    waitSeconds: { median: round(quantile(waits, 0.5) / 1000), worst: round(quantile(waits, 1) / 1000) },
    queued: { least: Math.min(...queued), median: quantile(queued, 0.5), most: Math.max(...queued) },
    openFiles: { first: files0, last: openAtEnd },
    errors,
    memory,
    closedBytes,
  }),
);
process.exit(0);
