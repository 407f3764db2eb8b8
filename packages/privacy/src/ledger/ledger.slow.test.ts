import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { FileStorage } from './file.js';
import { Ledger, verifyLedger } from './ledger.js';

const folder = mkdtempSync(join(tmpdir(), 'ledger-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('Ledger file', () => {
  const built = fileURLToPath(new URL('../../dist/ledger/ledger.js', import.meta.url));
  it.skipIf(!existsSync(built))(
    'survives 100 kills of a spending process',
    { timeout: 120_000 },
    async () => {
      const path = join(folder, 'killed');
      const seed = new FileStorage(path);
      new Ledger(seed).setBudget('ada', { epoch: 1e9, lifetime: 1e9, delta: 0 });
      seed.close();
      // Spends one draw after the other and reports every one that was confirmed.
      const program = `
      import { writeSync } from 'node:fs';
      const { Ledger } = await import(${JSON.stringify(built)});
      const { FileStorage } = await import(${JSON.stringify(built.replace('ledger.js', 'file.js'))});
      const ledger = new Ledger(new FileStorage(${JSON.stringify(path)}));
      for (;;) {
        ledger.spend('ada', { table: 'x', ratio: { numerator: 2n, denominator: 1n }, count: 1 });
        writeSync(1, '.');
      }`;
      let confirmed = 0;
      let draws = 0;
      for (let kill = 0; kill < 100; kill++) {
        const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        const after = 1 + (kill % 7);
        let seen = 0;
        child.stdout.on('data', (data: Buffer) => {
          seen += data.length;
          if (seen >= after) child.kill('SIGKILL');
        });
        await new Promise((resolve) => child.on('close', resolve));
        confirmed += seen;
        const storage = new FileStorage(path);
        draws = new Ledger(storage).statement('ada').draws;
        storage.close();
        // Every confirmed draw is there; at most one a kill was written and not confirmed.
        expect(draws).toBeGreaterThanOrEqual(confirmed);
        expect(draws).toBeLessThanOrEqual(confirmed + kill + 1);
      }
      expect(verifyLedger(readFileSync(path)).tornBytes).toBe(0);
      expect(draws).toBeGreaterThan(100);
    },
  );
});
