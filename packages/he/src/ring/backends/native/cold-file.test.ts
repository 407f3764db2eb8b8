import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { Backend } from '../../backend.js';
import { primesBelow } from '../../primes.js';
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
  const primes = primesBelow(2 ** 30, LOG_N, 4);
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
  const primes = primesBelow(2 ** 30, LOG_N, 1);
  expect(() => backend!.createRing({ logN: LOG_N, primes, coldFolder: '/nowhere/at/all' })).toThrow(
    /HE_COLD_FOLDER/,
  );
});

it.runIf(runs)('refuses keys that the disk has no room for instead of dying at a write', (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'sotto-small-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder], { stdio: 'ignore' });
  } catch {
    rmSync(folder, { recursive: true });
    context.skip('a small disk needs the right to mount one');
  }
  try {
    const ring = backend!.createRing({
      logN: LOG_N,
      primes: primesBelow(2 ** 30, LOG_N, 1),
      coldFolder: folder,
    });
    expect(() => ring.allocCold(200)).toThrow(/HE_OUT_OF_MEMORY/);
    const at = ring.allocCold(10);
    ring.write(at, new Uint32Array(2 ** LOG_N).fill(7));
    expect(ring.read(at, 1)).toEqual(Uint32Array.of(7));
    ring.dispose();
  } finally {
    execFileSync('umount', [folder]);
    rmSync(folder, { recursive: true });
  }
});
