import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const data = `${root}../shared/data/models/smollm2-135m-instruct`;

test.skipIf(!existsSync(data))(
  'SmolLM2 answers like the clear model on the cleartext scheme (skipped without its file in shared/data)',
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'sotto-smollm2-'));
    const out = join(folder, 'result.json');
    const args = ['bench/smollm2.mjs', '--prompts', '2', '--scan', '8', '--out', out];
    const run = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' });
    expect(run.status, run.stderr).toBe(0);
    const { plan, scan, rows } = JSON.parse(readFileSync(out, 'utf8'));
    rmSync(folder, { recursive: true });
    expect(plan.layout).toMatchObject({ blockRows: 16, columns: 4, privateColumns: 2 });
    expect(plan.refreshes).toBe(124);
    expect(scan).toMatchObject({ prompts: 8, left: 0 });
    expect(rows).toMatchObject({ prompts: 2, escaped: 0, rows: 64 });
    expect(rows.agree).toBeGreaterThanOrEqual(62);
    expect(rows.rms).toBeLessThan(0.03);
  },
  1_200_000,
);
