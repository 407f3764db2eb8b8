import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const source = (path: string) => fileURLToPath(new URL(`./packages/${path}`, import.meta.url));
const heParts = ['ring', 'rlwe', 'secret', 'scheme', 'ckks', 'cleartext', 'circuits'];

export default defineConfig({
  resolve: {
    alias: [
      { find: /^@sotto\/he\/bootstrap$/, replacement: source('he/src/circuits/bootstrap/index.ts') },
      ...heParts.map((part) => ({
        find: new RegExp(`^@sotto/he/${part}$`),
        replacement: source(`he/src/${part}/index.ts`),
      })),
      // Imports of a package's own modules that differ in a browser: the ones for Node.
      { find: /^#([a-z]+)\/([a-z-]+)$/, replacement: `${source('')}$1/src/$2.ts` },
      { find: /^@sotto\/([a-z]+)$/, replacement: `${source('')}$1/src/index.ts` },
    ],
  },
  test: {
    include: ['packages/**/*.test.ts', 'tests/**/*.test.ts', 'scripts/**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**', '**/*.slow.test.ts'],
    testTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
    // What tests keep must not meet what a user keeps.
    env: { XDG_CACHE_HOME: join(tmpdir(), `sotto-tests-${process.pid}`) },
  },
});
