import { defineConfig } from 'vitest/config';
import fast from './vitest.config.js';

/** Tests at secure sizes: minutes each, one at a time because each may use every core and much memory. */
export default defineConfig({
  ...fast,
  test: {
    ...fast.test,
    include: ['packages/**/*.slow.test.ts', 'tests/**/*.slow.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**'],
    testTimeout: 3_600_000,
    hookTimeout: 3_600_000,
    maxWorkers: 1,
    fileParallelism: false,
  },
});
