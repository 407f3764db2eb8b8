// Two files of rows beside each other, each time in units of the reference kernel of its own run. Ends with 1 when one of our rows in the
// second became slower than the tolerance.
//   npm run bench -- compare BEFORE.jsonl AFTER.jsonl [--tolerance 1.15]
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { mergePasses } from './peers/report.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { tolerance: { type: 'string', default: '1.15' } },
});
if (positionals.length !== 2) {
  console.error('usage: npm run bench -- compare BEFORE.jsonl AFTER.jsonl [--tolerance 1.15]');
  process.exit(2);
}

/** Rows by name, with their time over that of the reference kernel. */
function read(path) {
  const lines = readFileSync(path, 'utf8').split('\n').filter(Boolean);
  const rows = lines.map((line) => JSON.parse(line)).filter((row) => row.referenceMs !== undefined);
  // Scaled before passes are merged: each pass has its own reference.
  const scaled = rows.map((row) => ({
    ...row,
    ms: row.ms / row.referenceMs,
    cpuMs: row.cpuMs / row.referenceMs,
  }));
  return new Map(
    mergePasses(scaled.map(({ part: _, ...row }) => row)).map((row) => [
      [row.peer, row.backend, row.op, row.params, row.threads].join(' | '),
      row.threads === 1 ? row.cpuMs : row.ms,
    ]),
  );
}

const [before, after] = positionals.map(read);
for (const [name, time] of after) {
  const earlier = before.get(name);
  if (earlier === undefined) continue;
  const ratio = time / earlier;
  const slower = name.startsWith('sotto') && ratio > Number(values.tolerance);
  console.log(JSON.stringify({ row: name, ratio: Number(ratio.toFixed(3)), slower }));
  if (slower) process.exitCode = 1;
}
