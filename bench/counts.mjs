// Counts the kernel work of bootstrapping and of a transformer block and compares it with bench/counts.json; --accept writes the file.
//   npm run bench -- counts [--accept]
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { allCounts } from './he/counts.mjs';

const { values } = parseArgs({ options: { accept: { type: 'boolean', default: false } } });
const path = new URL('counts.json', import.meta.url);
const now = await allCounts();
if (values.accept) {
  writeFileSync(path, `${JSON.stringify(now, null, 2)}\n`);
} else {
  const accepted = JSON.parse(readFileSync(path, 'utf8'));
  for (const [circuit, counts] of Object.entries(now)) {
    for (const [count, value] of Object.entries(counts)) {
      const before = accepted[circuit]?.[count];
      const grown = before === undefined || value > before;
      console.log(JSON.stringify({ circuit, count, accepted: before ?? null, now: value, grown }));
      if (grown) process.exitCode = 1;
    }
  }
}
