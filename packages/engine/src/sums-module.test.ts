import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const compiler = spawnSync('clang-19', ['--version']).status === 0;

test.skipIf(!compiler)(
  'the kernel of feature products is what its source gives (skipped without clang-19)',
  () => {
    const script = fileURLToPath(new URL('../kernels/build.mjs', import.meta.url));
    const run = spawnSync(process.execPath, [script, '--check'], { encoding: 'utf8' });
    expect(run.stderr).toBe('');
    expect(run.status).toBe(0);
  },
);
