// The process that a session's engine runs in, as built: its module cannot be loaded from TypeScript sources.
import { spawn } from 'node:child_process';
import { SottoError } from '@sotto/base';
import type { Engine, EngineOptions } from '@sotto/server';
import { afterEach, expect, it } from 'vitest';
import { startProcessEngine } from '../packages/server/dist/index.js';
import { keyBytes, sealed } from './fixtures/stand-in-engine.mjs';

const engineModule = new URL('./fixtures/stand-in-engine.mjs', import.meta.url).href;
const options: EngineOptions = {
  modelPath: 'none',
  refresh: 'bootstrap',
  parameters: 'secure',
  backend: 'auto',
  threads: 1,
};
const log: string[] = [];
let engine: Engine | undefined;

async function start(overrides: Partial<EngineOptions> = {}) {
  engine = await startProcessEngine(
    { ...options, ...overrides },
    { engineModule, log: (event, fields) => void log.push(`${event} ${JSON.stringify(fields)}`) },
  );
  return engine;
}

afterEach(async () => {
  await engine?.close();
  engine = undefined;
});

const pid = () =>
  JSON.parse(
    log
      .filter((line) => line.startsWith('engine process {'))
      .at(-1)!
      .slice(15),
  ).process;
const quiet = { progress: () => {}, refresh: () => Promise.reject(new Error('not asked')) };
const rows = (...data: number[]) => ({ position: 0, rows: 1, ciphertexts: [sealed(...data)] });
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'no error',
    (error) => (SottoError.is(error) ? error.code : String(error)),
  );

it('runs blocks and reports progress', async () => {
  const running = await start();
  expect(running.description.keys).toHaveLength(3);
  await running.loadKey(2, keyBytes(2));
  const labels: string[] = [];
  const result = await running.run(rows(1, 2), { ...quiet, progress: (event) => labels.push(event.label) });
  expect(result).toMatchObject({ bootstraps: 1, rows: { ciphertexts: [sealed(2, 3)] } });
  expect(labels).toEqual(['layer 1/1']);
});

it('passes refreshes through and back', async () => {
  const running = await start({ refresh: 'client' });
  const result = await running.run(rows(1), { ...quiet, refresh: async () => sealed(41) });
  expect(result.rows.ciphertexts).toEqual([sealed(42)]);
  const refused = {
    ...quiet,
    refresh: () => Promise.reject(new SottoError('No.', { code: 'JOB_CANCELLED' })),
  };
  expect(await codeOf(running.run(rows(1), refused))).toBe('JOB_CANCELLED');
});

it('carries typed errors over and hides the text of others', async () => {
  expect(await codeOf(start({ modelPath: 'fail-at-start' }))).toBe('MEMORY_INSUFFICIENT');
  const running = await start();
  expect(await codeOf(running.loadKey(1, keyBytes(2)))).toBe('KEY_PARAMETERS');
  expect(await codeOf(running.run({ ...rows(1), rows: 3 }, quiet))).toBe('INTERNAL');
  expect(log.join('\n')).toContain('engine failed');
  expect(log.join('\n')).not.toContain('canary-message');
});

it('stops a running block when it is closed, and fails what comes later', async () => {
  const running = await start();
  const spinning = codeOf(running.run(rows(0xee), quiet));
  await new Promise((resolve) => setTimeout(resolve, 50));
  await running.close();
  expect(await spinning).toBe('JOB_CANCELLED');
  expect(await codeOf(running.run(rows(1), quiet))).toBe('WORKER_LOST');
});

it('stops a block that waits for the client when it is closed', async () => {
  const running = await start({ refresh: 'client' });
  const waiting = codeOf(running.run(rows(1), { ...quiet, refresh: () => new Promise(() => {}) }));
  await new Promise((resolve) => setTimeout(resolve, 50));
  await running.close();
  expect(await waiting).toBe('JOB_CANCELLED');
});

it('stops a block that is cancelled at its next operation, and runs the next one', async () => {
  const running = await start();
  const cancel = new AbortController();
  let operations = 0;
  const block = running.run(rows(0xee), {
    ...quiet,
    signal: cancel.signal,
    progress: () => {
      if (++operations === 3) cancel.abort(new SottoError('No more.', { code: 'JOB_CANCELLED' }));
    },
  });
  expect(await codeOf(block)).toBe('JOB_CANCELLED');
  expect(operations).toBe(3);
  const next = await running.run(rows(1), { ...quiet, signal: new AbortController().signal });
  expect(next.rows.ciphertexts).toEqual([sealed(2)]);
});

it('stops a block that waits for a client that cancelled it', async () => {
  const running = await start({ refresh: 'client' });
  const cancel = new AbortController();
  const block = running.run(rows(1), {
    ...quiet,
    signal: cancel.signal,
    refresh: () => {
      setTimeout(() => cancel.abort(), 10);
      return new Promise(() => {});
    },
  });
  expect(await codeOf(block)).toBe('JOB_CANCELLED');
  const next = await running.run(rows(1), { ...quiet, refresh: async () => sealed(41) });
  expect(next.rows.ciphertexts).toEqual([sealed(42)]);
});

it('ends alone when its process is killed, and says so', async () => {
  const running = await start();
  const spinning = running.run(rows(0xee), quiet);
  const failed = expect(spinning).rejects.toThrow(/reason: SIGSEGV[\s\S]*WORKER_LOST/);
  await new Promise((resolve) => setTimeout(resolve, 50));
  process.kill(pid(), 'SIGSEGV');
  await failed;
  expect(await codeOf(running.run(rows(1), quiet))).toBe('WORKER_LOST');
  expect(log.at(-1)).toBe('engine process lost {"reason":"SIGSEGV"}');
  await running.close();
});

it('hears signals that mean the server without ending', async () => {
  const running = await start();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.kill(pid(), signal);
  expect((await running.run(rows(1), quiet)).rows.ciphertexts).toEqual([sealed(2)]);
});

it('takes bytes of every length through its standard input, in order', async () => {
  const running = await start();
  const long = new Uint8Array(300_001).map((_, i) => (i === 0 ? sealed()[0]! : i % 199));
  const ciphertexts = [sealed(1), sealed(), long, sealed(9)];
  const { rows: out } = await running.run({ position: 0, rows: 1, ciphertexts }, quiet);
  const expected = ciphertexts.map((c) => c.map((byte, i) => (i === 0 ? byte : byte + 1)));
  expect(out.ciphertexts.map((c, i) => Buffer.compare(c, expected[i]!))).toEqual([0, 0, 0, 0]);
});

it('ends in the middle of a block when its server is killed', async () => {
  const server = new URL('../packages/server/dist/index.js', import.meta.url).href;
  const script = `
    import { startProcessEngine } from ${JSON.stringify(server)};
    const engine = await startProcessEngine(${JSON.stringify(options)}, {
      engineModule: ${JSON.stringify(engineModule)},
      log: (_, fields) => console.log(fields.process),
    });
    await engine.run({ position: 0, rows: 1, ciphertexts: [Uint8Array.from([0x5a, 0xee])] }, { progress() {} });
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const engineProcess = Number(await new Promise((resolve) => child.stdout.once('data', resolve)));
  process.kill(engineProcess, 0);
  child.kill('SIGKILL');
  const ended = async () => {
    for (;;) {
      try {
        process.kill(engineProcess, 0);
      } catch {
        return true;
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  expect(await ended()).toBe(true);
});
