// The demo as a user runs it, in both refresh modes and on both backends. One JSON line for each run: that of `sotto demo --json`
// with the wall time of the whole command.
//   node bench/demo.mjs [--tokens 2] [--threads 2] [--models NAME,...] [--only bootstrap-native,client-wasm,...]
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    tokens: { type: 'string', default: '2' },
    threads: { type: 'string', default: '2' },
    models: { type: 'string', default: 'sotto-stories-2x128,stories260K' },
    only: { type: 'string', default: 'bootstrap-native,client-native,client-wasm,bootstrap-wasm' },
    public: { type: 'string', default: 'Once upon a time, there was' },
    private: { type: 'string', default: 'a little girl named Lily. She had a secret' },
  },
});
const cli = fileURLToPath(new URL('../packages/cli/dist/main.js', import.meta.url));

const runs = values.models
  .split(',')
  .flatMap((model) => values.only.split(',').map((run) => ({ model, run })));
for (const { model, run } of runs) {
  const [refresh, backend] = run.split('-');
  const startMs = performance.now();
  const args = [
    'demo',
    '--model',
    model,
    '--refresh',
    refresh,
    '--backend',
    backend,
    '--tokens',
    values.tokens,
    '--threads',
    values.threads,
  ];
  const { stdout, status } = spawnSync(
    process.execPath,
    [cli, ...args, '--public', values.public, '--private', values.private, '--json'],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 2 ** 26 },
  );
  const last = stdout.trim().split('\n').at(-1);
  const wallSeconds = Number(((performance.now() - startMs) / 1000).toFixed(1));
  console.log(
    status === 0
      ? JSON.stringify({ run, wallSeconds, ...JSON.parse(last) })
      : JSON.stringify({ run, model, wallSeconds, status, last }),
  );
}
