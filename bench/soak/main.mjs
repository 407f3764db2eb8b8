// What a server survives: `npm run soak -- [--minutes N] [--only NAMES] [--docs]`. Each drill drives real processes on toy rings and
// a tiny model, and puts what it saw into bench/results/reliability.json; --docs writes docs/reliability.md from it.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { jobKills } from './job-kills.mjs';
import { longRun } from './long-run.mjs';
import { uploadKills } from './upload-kills.mjs';

const results = fileURLToPath(new URL('../results/reliability.json', import.meta.url));

const drills = {
  uploads: () => uploadKills({ kills: 50, serverKillsEvery: 2 }),
  jobs: () => jobKills({ kills: 20, refreshes: ['client', 'bootstrap'], layerCount: 3, limitMs: 600_000 }),
  clients: ({ minutes, share }) =>
    longRun({ minutes, share, uploaders: 50, owners: 7, greedy: 3, pauseMs: 15_000, answerMs: 1_500 }),
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
const names = values.only?.split(',') ?? Object.keys(drills);
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
process.exit(0);
