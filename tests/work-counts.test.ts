import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { blockBootstrapCounts, blockCounts, bootstrapCounts } from '../bench/he/counts.mjs';

type Counts = Record<string, number>;
const accepted: Record<string, Counts> = JSON.parse(
  readFileSync(new URL('../bench/counts.json', import.meta.url), 'utf8'),
);

const circuits: [string, () => Counts | Promise<Counts>][] = [
  ['bootstrap, 32768 slots', () => bootstrapCounts(32768)],
  ['bootstrap, 2048 slots', () => bootstrapCounts(2048)],
  ['bootstrap of the attention', async () => (await blockBootstrapCounts())[0]!],
  ['bootstrap of the residual stream', async () => (await blockBootstrapCounts())[1]!],
  ['transformer block', () => blockCounts()],
];

/** `npm run bench -- counts --accept` accepts a change. */
test.each(circuits)('the work of %s does not grow', async (name, count) => {
  const now = await count();
  const before = accepted[name] ?? {};
  expect(Object.keys(now)).toEqual(Object.keys(before));
  expect(Object.entries(now).filter(([what, value]) => value > (before[what] ?? -1))).toEqual([]);
});
