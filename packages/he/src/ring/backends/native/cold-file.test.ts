import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { Backend } from '../../backend.js';
import { primesBelow } from '../../index.js';
import { createNativeBackend } from './backend.js';

const LOG_N = 12;
let backend: Backend | null = null;
try {
  backend = createNativeBackend({ threads: 1 });
} catch {
  console.log('cold files are not tested: there are no native kernels here');
}
const runs = backend !== null && process.platform === 'linux';

it.runIf(runs)('computes the same with keys in a file as in memory, and leaves no file behind', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sotto-cold-'));
  const primes = findPrimes(LOG_N + 1, 4);
  const rows = primes.length;
  const words = Uint32Array.from({ length: rows * 2 ** LOG_N }, (_, i) => (i * 2654435761) % 1000);
  const results = [undefined, folder].map((coldFolder) => {
    const ring = backend!.createRing({ logN: LOG_N, primes, ...(coldFolder ? { coldFolder } : {}) });
    const basis = ring.basis(primes.map((_, i) => i));
    const [x, out] = [ring.alloc(rows), ring.alloc(rows)];
    ring.write(x, words);
    // Freed ranges are used again, as file and as memory.
    for (let round = 0; round < 3; round++) {
      const key = ring.allocCold(rows);
      ring.write(key, words);
      expect(ring.read(key, words.length)).toEqual(words);
      ring.mul(out, x, key, basis);
      ring.free(key);
      const work = ring.alloc(rows);
      ring.write(work, words);
      ring.add(work, work, work, basis);
      expect(ring.read(work, 4)).toEqual(words.slice(0, 4).map((word) => 2 * word));
      ring.free(work);
    }
    const result = ring.read(out, words.length);
    expect(readdirSync(folder)).toEqual([]);
    ring.dispose();
    return result;
  });
  expect(results[1]).toEqual(results[0]);
  rmSync(folder, { recursive: true });
});

it.runIf(runs)('says so when the folder cannot be used', () => {
  const primes = findPrimes(LOG_N + 1, 1);
  expect(() => backend!.createRing({ logN: LOG_N, primes, coldFolder: '/nowhere/at/all' })).toThrow(
    /HE_COLD_FOLDER/,
  );
});
