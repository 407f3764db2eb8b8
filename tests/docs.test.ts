import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string) => readFileSync(join(root, path), 'utf8');

const pages = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'THREAT-MODEL.md']
  .concat(readdirSync(join(root, 'docs')).map((name) => `docs/${name}`))
  .filter((path) => path.endsWith('.md'));
const blocks = (page: string) =>
  [...page.matchAll(/^```(\w*)\n([\s\S]*?)^```/gm)].map(([, kind, text]) => ({ kind, text }));
const commands = pages.flatMap((path) =>
  blocks(read(path))
    .filter(({ kind }) => kind === '' || kind === 'sh')
    .flatMap(({ text }) => text.split('\n'))
    .map((line) => line.split('#')[0].trim())
    .filter((line) => /^(npm|node) /.test(line))
    .map((line) => ({ path, line })),
);

describe('documentation', () => {
  it('names npm scripts that exist', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const named = commands.flatMap(({ line }) => {
      const match = /^npm (?:run )?([\w:]+)/.exec(line);
      return match ? [match[1]] : [];
    });
    expect(named.length).toBeGreaterThan(4);
    for (const name of named) expect(Object.keys(scripts)).toContain(name);
  });

  it('shows commands and options that sotto has', () => {
    const shown = commands.filter(({ line }) => line.includes('packages/cli/dist/main.js'));
    expect(shown.length).toBeGreaterThan(2);
    const demos = commands
      .filter(({ line }) => line.startsWith('npm run demo'))
      .map(({ line }) => `x demo ${line}`);
    for (const line of [
      ...shown.map((entry) => entry.line.split('main.js')[1]),
      ...demos.map((d) => d.slice(1)),
    ]) {
      const [name, ...rest] = line.trim().split(/\s+/);
      const help = execFileSync(process.execPath, [join(root, 'packages/cli/dist/main.js'), name, '--help'], {
        encoding: 'utf8',
      });
      for (const option of rest.filter((word) => /^--[a-z]/.test(word))) expect(help).toContain(option);
    }
  });

  it('shows the examples as they are', () => {
    const snippets = blocks(read('README.md')).filter(({ kind }) => kind === 'js');
    const examples = readdirSync(join(root, 'examples'))
      .filter((name) => name.endsWith('.mjs'))
      .map((name) => read(`examples/${name}`));
    expect(snippets.length).toBeGreaterThan(0);
    for (const { text } of snippets) expect(examples).toContain(text);
  });

  it('links to files that exist', () => {
    for (const path of pages) {
      for (const [, target] of read(path).matchAll(
        /`((?:packages|docs|scripts|tests|examples|bench|kernels|deploy)\/[\w./-]+)`/g,
      )) {
        expect(existsSync(join(root, target)), `${path} names ${target}`).toBe(true);
      }
      for (const [, target] of read(path).matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
        expect(existsSync(join(root, dirname(path), target)), `${path} links to ${target}`).toBe(true);
      }
    }
  });
});
