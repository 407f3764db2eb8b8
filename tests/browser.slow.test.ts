// The playground as a person uses it: built, served, opened in a browser, its form sent; keys and answer are made in the page.
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ServerProcess, startServerProcess } from '../packages/cli/dist/server-process.js';
import { Chromium, findChromium } from './fixtures/chromium.js';

const playground = fileURLToPath(new URL('../examples/playground/', import.meta.url));
const binary = findChromium();
const types: Record<string, string> = { '.html': 'text/html', '.js': 'text/javascript' };

/** Serves files as a web server would, with the headers of an isolated page or without. */
function servePage(folder: string, isolated: boolean): Promise<Server> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url!, 'http://localhost');
    const path = join(folder, pathname === '/' ? 'index.html' : pathname);
    if (!existsSync(path) || !statSync(path).isFile()) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, {
      'content-type': types[extname(path)] ?? 'application/octet-stream',
      ...(isolated
        ? {
            'cross-origin-opener-policy': 'same-origin',
            'cross-origin-embedder-policy': 'require-corp',
          }
        : {}),
    });
    createReadStream(path).pipe(response);
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

const addressOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

// Without a browser (`apt install chromium`, or CHROMIUM=path) there is nothing to drive.
describe.skipIf(binary === undefined)('a page', () => {
  let pages: { isolated: Server; plain: Server };
  let server: ServerProcess;
  let chromium: Chromium;

  beforeAll(async () => {
    await build({ root: playground, configFile: join(playground, 'vite.config.js'), logLevel: 'error' });
    pages = {
      isolated: await servePage(join(playground, 'dist'), true),
      plain: await servePage(join(playground, 'dist'), false),
    };
    const origins = [pages.isolated, pages.plain].map(addressOf).join(',');
    server = await startServerProcess(['--origin', origins, '--allow-insecure']);
    chromium = new Chromium(binary!);
  });
  afterAll(async () => {
    await chromium?.close();
    await server?.stop();
    for (const page of Object.values(pages ?? {})) page.close();
  });

  async function ask(page: Server, fields: Record<string, string>) {
    const evaluate = await chromium.open(addressOf(page));
    const text = (id: string) => evaluate<string>(`document.getElementById('${id}').textContent`);
    const ready = `document.readyState === 'complete' && document.getElementById('origin').textContent !== ''`;
    while (!(await evaluate<boolean>(ready).catch(() => false))) await pause(100);
    for (const [name, value] of Object.entries({ server: server.url, ...fields })) {
      await evaluate(`document.forms[0].elements['${name}'].value = ${JSON.stringify(value)}`);
    }
    await evaluate(`document.querySelector('button').click()`);
    while (!['done', 'failed'].includes(await text('phase'))) await pause(200);
    const isolated = await evaluate<boolean>('crossOriginIsolated');
    return { answer: await text('answer'), error: await text('error'), facts: await text('facts'), isolated };
  }
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  const toy = {
    ...{ publicText: 'Once upon a time, there was', privateText: 'a little girl named Lily' },
    ...{ maxTokens: '2', refresh: 'client', parameters: 'insecure-toy' },
  };

  it('makes keys, asks and decrypts, with threads where it is isolated and without where it is not', async () => {
    const isolated = await ask(pages.isolated, toy);
    expect(isolated.error).toBe('');
    expect(isolated).toMatchObject({ answer: '. She', isolated: true });
    expect(isolated.facts).toMatch(/[2-4] threads/);
    const plain = await ask(pages.plain, toy);
    expect(plain.error).toBe('');
    expect(plain).toMatchObject({ answer: '. She', isolated: false });
    expect(plain.facts).toContain('1 threads');
    expect(server.log()).not.toContain('Lily');
  });

  it('says what is wrong', async () => {
    const nowhere = await ask(pages.plain, { ...toy, server: 'http://127.0.0.1:9' });
    expect(nowhere.error).toContain('SERVER_UNREACHABLE');
  });

  it('makes one token at 128 bits of security', async () => {
    const { error, answer, facts } = await ask(pages.isolated, {
      ...toy,
      parameters: 'secure',
      maxTokens: '1',
    });
    expect(error).toBe('');
    expect(answer).toBe('.');
    expect(facts).toContain('N15-client-14x40, 128 bits');
    console.log(facts);
  });
});

it.runIf(binary === undefined)('was not run: no Chromium was found', () => {
  expect(findChromium()).toBeUndefined();
});
