import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkBrowser } from './check-browser.mjs';
import { checkLayers } from './check-layers.mjs';
import { checkSecretWall } from './check-secret-wall.mjs';
import { checkSize } from './check-size.mjs';
import { importsOf } from './imports.mjs';

let root: string;
const here = fileURLToPath(new URL('..', import.meta.url));

function plant(files: Record<string, string>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
}

const manifest = (name: string, exports: Record<string, string>, dependencies: string[]) =>
  JSON.stringify({ name, exports, dependencies: Object.fromEntries(dependencies.map((d) => [d, '1'])) });

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sotto-checks-'));
  plant({
    'packages/base/package.json': manifest('@sotto/base', { '.': './dist/index.js' }, []),
    'packages/base/src/index.ts': 'export const one = 1;\n',
    'packages/he/package.json': manifest(
      '@sotto/he',
      { './secret': './dist/secret/index.js', './rlwe': './dist/rlwe/index.js' },
      ['@sotto/base'],
    ),
    'packages/he/src/rlwe/index.ts': "import { one } from '@sotto/base';\nexport const two = one + 1;\n",
    'packages/he/src/secret/index.ts': "import { two } from '../rlwe/index.js';\nexport const key = two;\n",
    'packages/engine/package.json': manifest('@sotto/engine', { '.': './dist/index.js' }, ['@sotto/he']),
    'packages/engine/src/index.ts': "export { two } from '@sotto/he/rlwe';\n",
    'packages/server/package.json': manifest('@sotto/server', { '.': './dist/index.js' }, ['@sotto/engine']),
    'packages/server/src/index.ts': "export { two } from '@sotto/engine';\n",
  });
});
afterEach(() => rmSync(root, { recursive: true }));

describe('reading imports', () => {
  it('sees every form and no comment', () => {
    const text = `
import a from 'a';
import type { B } from 'b';
import { c,
  d } from 'c';
export * from 'e';
import 'f';
const g = await import('g');
new Worker(new URL('./h.js', import.meta.url));
// import x from 'not-1';
/* import x from 'not-2'; */
 * const url = 'https://x';
`;
    expect(importsOf(text).map(({ specifier }) => specifier)).toEqual([
      'a',
      'b',
      'c',
      'e',
      'f',
      'g',
      './h.js',
    ]);
    expect(importsOf(text).filter(({ typeOnly }) => typeOnly)).toEqual([
      { specifier: 'b', typeOnly: true, lazy: false },
    ]);
  });
});

describe('layers', () => {
  it('accept the clean tree and this repository', () => {
    expect(checkLayers(root)).toEqual([]);
    expect(checkLayers(here)).toEqual([]);
  });

  it.each([
    [
      'upwards between packages',
      'packages/base/src/up.ts',
      "import { two } from '@sotto/he/rlwe';",
      /may not import/,
    ],
    [
      'upwards inside he',
      'packages/he/src/rlwe/up.ts',
      "import { key } from '../secret/index.js';",
      /may not import/,
    ],
    ['by path', 'packages/engine/src/path.ts', "import { one } from '../../base/src/index.js';", /by path/],
    ['of nothing', 'packages/engine/src/none.ts', "import { x } from '@sotto/he/none';", /does not exist/],
    ['not listed', 'packages/engine/src/zod.ts', "import { z } from 'zod';", /does not list/],
    ['in an unknown layer', 'packages/he/src/new/x.ts', 'export const x = 1;', /no known layer/],
  ])('catch an import %s', (_, path, text, expected) => {
    plant({ [path]: text });
    expect(checkLayers(root).join('\n')).toMatch(expected);
  });

  it('catch a circle, but not one of types', () => {
    plant({
      'packages/base/src/a.ts': "import { b } from './b.js';\nexport const a = b;\n",
      'packages/base/src/b.ts': "import type { a } from './a.js';\nexport const b = 1 as typeof a;\n",
    });
    expect(checkLayers(root)).toEqual([]);
    plant({ 'packages/base/src/b.ts': "import { a } from './a.js';\nexport const b = a;\n" });
    expect(checkLayers(root).join('\n')).toMatch(/circle: .*a\.ts -> .*b\.ts -> .*a\.ts/);
  });
});

describe('the secret wall', () => {
  it('accepts the clean tree and this repository', () => {
    expect(checkSecretWall(root)).toEqual([]);
    expect(checkSecretWall(here)).toEqual([]);
  });

  it.each([
    ['directly', 'packages/server/src/leak.ts', "import { key } from '@sotto/he/secret';"],
    ['for types', 'packages/engine/src/leak.ts', "import type { key } from '@sotto/he/secret';"],
    ['lazily', 'packages/server/src/leak.ts', "const m = await import('@sotto/he/secret');"],
    ['by path', 'packages/server/src/leak.ts', "import { key } from '../../he/src/secret/index.js';"],
    [
      'through another module',
      'packages/he/src/rlwe/index.ts',
      "export { key as two } from '../secret/index.js';",
    ],
  ])('catches a way to the secret %s', (_, path, text) => {
    plant({ [path]: `${text}\n` });
    expect(checkSecretWall(root).join('\n')).toMatch(/-> packages\/he\/src\/secret\/index\.ts$/);
  });

  it('catches a way to the client', () => {
    plant({
      'packages/client/package.json': manifest('@sotto/client', { '.': './dist/index.js' }, []),
      'packages/client/src/index.ts': 'export const c = 1;\n',
      'packages/server/src/leak.ts': "import { c } from '@sotto/client';\n",
    });
    expect(checkSecretWall(root)).toHaveLength(1);
  });

  it('fails when there is nothing to guard', () => {
    rmSync(join(root, 'packages/he/src/secret'), { recursive: true });
    expect(checkSecretWall(root)).toHaveLength(1);
  });
});

describe('sizes', () => {
  it('accept the clean tree and this repository', () => {
    expect(checkSize(root)).toEqual([]);
    expect(checkSize(here)).toEqual([]);
  });

  it('catch a long file unless there is a reason, and a reason without a long file', () => {
    const path = 'packages/base/src/long.ts';
    plant({ [path]: '// line\n'.repeat(600) });
    expect(checkSize(root)).toEqual([]);
    plant({ [path]: '// line\n'.repeat(601) });
    expect(checkSize(root)).toHaveLength(1);
    plant({ 'scripts/size-exceptions.json': JSON.stringify({ [path]: 'a table' }) });
    expect(checkSize(root)).toEqual([]);
    plant({ [path]: '// line\n' });
    expect(checkSize(root)).toHaveLength(1);
  });
});

describe('what a page bundles', () => {
  const client = (text: string, more: Record<string, string> = {}) =>
    plant({
      'packages/client/package.json': manifest('@sotto/client', { '.': './dist/index.js' }, ['@sotto/base']),
      'packages/client/src/index.browser.ts': text,
      ...more,
    });

  it('is free of Node in this repository, and everything that differs has the same exports', () => {
    expect(checkBrowser(here)).toEqual([]);
  });

  it('may not name a module of Node, directly, through others or later', () => {
    for (const text of [
      "import 'node:fs';",
      "const fs = await import('node:fs/promises');",
      "import x from 'left-pad';",
    ]) {
      client("export { x } from './x.js';\n", {
        'packages/client/src/x.ts': `${text}\nexport const x = 1;\n`,
      });
      expect(checkBrowser(root)).toHaveLength(1);
      expect(checkBrowser(root)[0]).toContain('index.browser.ts -> packages/client/src/x.ts -> ');
    }
    client("import type { Stats } from 'node:fs';\nexport type S = Stats;\n");
    expect(checkBrowser(root)).toEqual([]);
  });

  it('may not use a global of Node', () => {
    client('export const bytes = Buffer.from([1]);\n');
    expect(checkBrowser(root)).toEqual(['packages/client/src/index.browser.ts uses Buffer']);
    client('// Buffer.from is not used here.\nexport const view = new ArrayBuffer(8);\n');
    expect(checkBrowser(root)).toEqual([]);
  });

  it('takes what package.json names for browsers, which must have the same exports', () => {
    const imports = { '#client/x': { browser: './dist/x.browser.js', default: './dist/x.js' } };
    const files = (browser: string) => ({
      'packages/client/package.json': JSON.stringify({ name: '@sotto/client', imports }),
      'packages/client/src/x.ts': "import 'node:fs';\nexport const x = 1;\nexport function y() {}\n",
      'packages/client/src/x.browser.ts': browser,
    });
    client("export { x } from '#client/x';\n", files('export const x = 2;\nexport const y = () => {};\n'));
    expect(checkBrowser(root)).toEqual([]);
    client("import { z } from '#client/x';\nexport const w = z;\n", files('export const x = 2, y = 3;\n'));
    expect(checkBrowser(root).join()).toContain('takes z from #client/x');
    client("export { x } from '#client/x';\n", files('export const x = 2;\n'));
    expect(checkBrowser(root)).toEqual([
      'packages/client/src/x.browser.ts lacks y of packages/client/src/x.ts',
    ]);
  });
});
