// What a server survives: `npm run soak -- [--minutes N] [--only NAMES] [--docs]`. Each drill drives real processes on toy rings and
// a tiny model, and puts what it saw into bench/results/reliability.json; --docs writes docs/reliability.md from it. --minutes bounds
// the drills that go on as long as they may; --share lowers the processor share of the long run (autogroup nice value).
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { clockJumps } from './clock-jumps.mjs';
import { halfOpen, slowClients } from './connections.mjs';
import { fullDisk, readOnlyDisk } from './disk-faults.mjs';
import { writeDocs } from './docs.mjs';
import { fuzzDecoders } from './fuzz-decoders.mjs';
import { fuzzHttp } from './fuzz-http.mjs';
import { jobKills } from './job-kills.mjs';
import { longRun } from './long-run.mjs';
import { uploadKills } from './upload-kills.mjs';

const results = fileURLToPath(new URL('../results/reliability.json', import.meta.url));

const manyClients = { uploaders: 50, owners: 7, greedy: 3, pauseMs: 15_000, answerMs: 1_500 };

/** In the order of time they take. */
const drills = {
  fullDisk,
  readOnlyDisk,
  clock: () => clockJumps(),
  slowClients: () => slowClients({ seconds: 60, clients: 8 }),
  halfOpen: () => halfOpen({ each: 50, seconds: 180 }),
  uploads: () => uploadKills({ kills: 50, serverKillsEvery: 2 }),
  jobs: () => jobKills({ kills: 20, refreshes: ['client', 'bootstrap'], layerCount: 2, limitMs: 600_000 }),
  decoders: ({ minutes }) => fuzzDecoders({ cases: 1_000_000, seconds: 60 * minutes }),
  requests: ({ minutes }) => fuzzHttp({ cases: 100_000, seconds: 60 * minutes }),
  // For a machine that does nothing else: only then does the time of /health say something.
  clientsAlone: () => longRun({ minutes: 5, ...manyClients }),
  clients: ({ minutes, share }) => longRun({ minutes, share, ...manyClients }),
};

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    only: { type: 'string' },
    share: { type: 'string' },
    docs: { type: 'boolean' },
    out: { type: 'string', default: results },
  },
});
const names = values.only?.split(',') ?? (values.docs ? [] : Object.keys(drills));
const unknown = names.find((name) => !(name in drills));
const minutes = Number(values.minutes);
if (unknown !== undefined || !(minutes > 0)) {
  console.error(`usage: npm run soak -- [--minutes N] [--only ${Object.keys(drills).join(',')}] [--docs]`);
  process.exit(2);
}

const revision = () => {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
};

for (const name of names) {
  const startedAt = new Date().toISOString();
  const source = revision();
  const seen = await drills[name]({ minutes, ...(values.share ? { share: Number(values.share) } : {}) });
  const machine = `${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} cores`;
  const all = existsSync(values.out) ? JSON.parse(readFileSync(values.out, 'utf8')) : {};
  all[name] = { startedAt, revision: source, machine, node: process.version, ...seen };
  writeFileSync(values.out, `${JSON.stringify(all, null, 1)}\n`);
  console.log(JSON.stringify({ drill: name, ...all[name] }));
}
if (values.docs) writeDocs(JSON.parse(readFileSync(values.out, 'utf8')));
process.exit(0);
