// THREAT-MODEL.md names attacks with their tests: both lists must be the same.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const files = readdirSync(join(root, 'tests'))
  .filter((name) => /^threat-model.*\.test\.ts$/.test(name))
  .map((name) => `tests/${name}`);

/** Names of rows that the titles of a test file begin with, those of `it.each` included. */
function named(text: string): string[] {
  return [...text.matchAll(/\bit\(\s*'([ABN]\d+): |\bid: '([ABN]\d+)'/g)].map(
    ([, title, id]) => title ?? id!,
  );
}

const rows = [...read('THREAT-MODEL.md').matchAll(/^\| ([ABN]\d+) \|(.*)\|(.*)\| `([^`]+)` \|$/gm)].map(
  ([, id, attack, outcome, file]) => ({ id: id!, attack: attack!, outcome: outcome!, file: file! }),
);

it('has a test for every attack that THREAT-MODEL.md names, where it says', () => {
  expect(rows.length).toBeGreaterThan(15);
  expect(new Set(rows.map(({ id }) => id)).size).toBe(rows.length);
  for (const { id, file } of rows) {
    expect(files, id).toContain(file);
    expect(named(read(file)), `${file} has no test ${id}`).toContain(id);
  }
});

it('names every attack that has a test', () => {
  const tested = new Set(files.flatMap((file) => named(read(file))));
  expect([...tested].sort()).toEqual(rows.map(({ id }) => id).sort());
});

it('names error codes that exist, and says where nothing is defended', () => {
  const sources = ['client', 'protocol', 'he', 'server', 'engine', 'base'].flatMap((name) =>
    readdirSync(join(root, 'packages', name, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts') && !path.includes('.test.'))
      .map((path) => read(`packages/${name}/src/${path}`)),
  );
  const all = sources.join('\n');
  for (const { id, outcome } of rows) {
    for (const [, code] of outcome.matchAll(/`([A-Z]+_[A-Z_]+)`/g)) {
      expect(all.includes(`'${code}'`), `${id} names ${code}`).toBe(true);
    }
    expect(outcome.includes('**not defended**'), id).toBe(id.startsWith('N'));
  }
});
