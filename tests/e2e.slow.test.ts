// Server and client as two processes at secure sizes, and the example of the client library.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { startServerProcess } from '../packages/cli/dist/server-process.js';

const path = (relative: string) => fileURLToPath(new URL(`../${relative}`, import.meta.url));

function node(script: string, ...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [path(script), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text;
    });
    child.once('close', (code) => resolve({ code, out, err }));
  });
}

describe('sotto demo at 128 bits', () => {
  it.each([
    { refresh: 'client', backend: 'auto', tokens: 2 },
    { refresh: 'client', backend: 'wasm', tokens: 1 },
    { refresh: 'bootstrap', backend: 'auto', tokens: 2 },
  ])('answers as the clear model does: refresh by $refresh, $backend kernels', async (wanted) => {
    const { refresh, backend, tokens } = wanted;
    const { code, out, err } = await node(
      ...(['packages/cli/dist/main.js', 'demo', '--refresh', refresh, '--backend', backend] as const),
      ...['--tokens', String(tokens), '--json', '--public', 'Once upon a time, there was'],
      ...['--private', 'a little girl named Lily. She loved to'],
    );
    expect(code, err).toBe(0);
    const report = JSON.parse(out.trim().split('\n').at(-1)!);
    expect(report.ring.securityBits).toBeGreaterThanOrEqual(128);
    expect(report.answer).toBe(report.clearAnswer);
    expect(report.tokens).toHaveLength(tokens);
    expect(report.logitsRmsError).toBeLessThan(0.05);
    expect(report.peakMB.client).toBeLessThan(6000);
    expect(report.peakMB.server).toBeLessThan(14_000);
  });
});

describe('examples/ask.mjs', () => {
  it('prints an answer', async () => {
    const server = await startServerProcess([]);
    try {
      const { code, out, err } = await node('examples/ask.mjs', server.url);
      expect(code, err).toBe(0);
      expect(out.trim().length).toBeGreaterThan(0);
    } finally {
      await server.stop();
    }
  });
});
