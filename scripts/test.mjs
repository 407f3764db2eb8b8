// Runs the checks, Biome and vitest (`fast` or `slow`), and ends with one line: `N passed, N failed`. A check counts as a test.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const mode = process.argv[2] ?? 'fast';
if (mode !== 'fast' && mode !== 'slow') {
  console.error('usage: node scripts/test.mjs fast|slow');
  process.exit(2);
}

const run = (script, args) =>
  spawnSync(process.execPath, [script, ...args], { cwd: root, stdio: 'inherit' }).status === 0;

let passed = 0;
let failed = 0;
const count = (ok) => (ok ? passed++ : failed++);

for (const check of ['check-layers', 'check-secret-wall', 'check-size'])
  count(run(`scripts/${check}.mjs`, []));
count(run('node_modules/@biomejs/biome/bin/biome', ['check', '.']));

const folder = mkdtempSync(join(tmpdir(), 'sotto-test-'));
const json = join(folder, 'results.json');
const config = mode === 'slow' ? ['-c', 'vitest.slow.config.ts'] : [];
const ok = run('node_modules/vitest/vitest.mjs', [
  'run',
  ...config,
  '--reporter=default',
  '--reporter=json',
  `--outputFile.json=${json}`,
]);
const failedBefore = failed;
try {
  const results = JSON.parse(readFileSync(json, 'utf8'));
  passed += results.numPassedTests;
  failed += results.numFailedTests;
  // A file that cannot be loaded has no tests to fail.
  failed += results.testResults.filter(
    (file) => file.status === 'failed' && file.assertionResults.length === 0,
  ).length;
  const skipped = results.numPendingTests + results.numTodoTests;
  if (skipped > 0) console.log(`${skipped} skipped`);
  if (results.numPassedTests === 0) failed++;
} catch {
  failed++;
}
if (!ok && failed === failedBefore) failed++;
rmSync(folder, { recursive: true });

console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
