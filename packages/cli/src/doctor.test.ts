import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from './run.js';

const folder = mkdtempSync(join(tmpdir(), 'sotto-doctor-'));
let taken: Server;
let takenPort: number;

beforeAll(async () => {
  taken = createServer((socket) => socket.end('nothing to see\n'));
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  takenPort = (taken.address() as { port: number }).port;
});
afterAll(() => {
  taken.close();
  rmSync(folder, { recursive: true });
});

async function doctor(...args: string[]) {
  let out = '';
  const code = await run(['doctor', ...args], {
    out: (text) => {
      out += text;
    },
    err: () => {},
    interactive: false,
    signal: new AbortController().signal,
  });
  return { code, out, report: args.includes('--json') ? JSON.parse(out) : null };
}

const good = ['--keys', join(folder, 'keys'), '--state', join(folder, 'deep', 'state')];

describe('sotto doctor', () => {
  it('finds everything that is needed, and touches nothing', async () => {
    const { code, report } = await doctor('--json', ...good, '--port', String(takenPort + 1));
    expect(report.problems).toEqual([]);
    expect(code).toBe(0);
    expect(report.model).toMatchObject({ name: 'sotto-stories-2x128', calibration: 'shipped' });
    expect(report.wasm).toMatchObject({ simd: true, threads: true });
    expect(report.wasm.memoryMB).toBeGreaterThan(16);
    expect(report.keys).toMatchObject({ exists: false, writable: true });
    expect(report.state.freeMB).toBeGreaterThan(0);
    expect(report.backend.name).toMatch(/native|wasm/);
    expect(report.availableMemoryMB).toBeGreaterThan(0);
  });

  it('says what is missing and exits with 4', async () => {
    const { code, report } = await doctor('--json', ...good, '--model', join(folder, 'no-model.gguf'));
    expect(code).toBe(4);
    expect(report.model).toEqual({ error: 'FILE_UNREADABLE' });
    expect(report.problems.join()).toContain('The model cannot be used');
    const { out } = await doctor(...good, '--model', join(folder, 'no-model.gguf'));
    expect(out).toMatch(/^problem +The model cannot be used/m);
    writeFileSync(join(folder, 'file'), '');
    const inside = await doctor('--json', '--keys', join(folder, 'file', 'keys'), '--state', good[3]!);
    expect(inside.code).toBe(4);
    expect(inside.report.keys.writable).toBe(false);
  });

  it.skipIf(process.getuid?.() === 0)('sees a folder that this user may not write', async () => {
    const locked = join(folder, 'locked');
    mkdirSync(locked);
    chmodSync(locked, 0o500);
    const { code, report } = await doctor('--json', '--keys', join(locked, 'keys'), '--state', good[3]!);
    expect(code).toBe(4);
    expect(report.keys.writable).toBe(false);
  });

  it('tells a port of another program as a note', async () => {
    const { code, report } = await doctor('--json', ...good, '--port', String(takenPort));
    expect(code).toBe(0);
    expect(report.port).toEqual({ port: takenPort, state: 'taken' });
    expect(report.notes.join()).toContain('Another program listens');
  });
});
