// Runs one benchmark by name: `npm run bench -- transformer --threads 2`.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const [name, ...rest] = process.argv.slice(2);
const script = fileURLToPath(new URL(`${name}.mjs`, import.meta.url));
if (!name || name === 'run' || !existsSync(script)) {
  console.error(
    'usage: npm run bench -- he|peers|counts|compare|ring|bootstrap|transformer|demo|context|agreement|sanitized|sst2|pii|forecast [options]; see bench/README.md',
  );
  process.exit(2);
}
process.exit(spawnSync(process.execPath, [script, ...rest], { stdio: 'inherit' }).status ?? 1);
