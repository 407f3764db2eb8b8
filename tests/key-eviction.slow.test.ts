// Two clients whose keys do not fit into the server's memory together: their questions alternate, the keys of the idle one give way,
// and every answer is the clear model's.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Session } from '@sotto/client';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadLocalModel } from '../packages/client/src/local-model.js';
import { startTinyServer, type TinyServer } from './fixtures/tiny-server.js';

/** Room for one session of the tiny model, refreshed by the client, but not for two. */
const BUDGET_BYTES = 1e9;

const folder = mkdtempSync(join(tmpdir(), 'sotto-eviction-'));
let tiny: TinyServer;
beforeAll(async () => {
  tiny = await startTinyServer(folder, 1, ['--memory-budget', String(BUDGET_BYTES), '--key-rest', '0']);
}, 60_000);
afterAll(async () => {
  await tiny.server.kill();
  rmSync(folder, { recursive: true });
});

async function connect(): Promise<Session> {
  return await Session.connect(tiny.server.url, {
    model: await loadLocalModel(tiny.files),
    refresh: 'client',
    parameters: 'insecure-toy',
    key: { token: randomBytes(32).toString('hex') },
  });
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${tiny.server.url}/metrics`)).text();
  return Number(new RegExp(`^${name} (.+)$`, 'm').exec(text)![1]);
}

it('answers both, with one key set in memory at a time', async () => {
  const sessions = [await connect(), await connect()];
  const ask = async (session: Session, privateText: string) => {
    const answers = [];
    const question = { publicText: 'ab', privateText, maxTokens: 2, compare: true };
    for await (const { token, clear } of session.ask(question)) {
      expect(token).toBe(clear!.token);
      answers.push(token);
      expect(await metric('sotto_engines')).toBeLessThanOrEqual(1);
      expect(await metric('sotto_engine_memory_planned_bytes')).toBeLessThanOrEqual(BUDGET_BYTES);
    }
    expect(answers).toHaveLength(2);
  };
  // One after the other, then both at a time: the blocks of one wait for memory while the other computes.
  await ask(sessions[0]!, 'hat');
  await ask(sessions[1]!, 'tag');
  await Promise.all([ask(sessions[0]!, 'cap'), ask(sessions[1]!, 'dab')]);
  for (const session of sessions) await session.close();
  expect(await metric('sotto_engines')).toBe(0);
  expect(tiny.server.log.split('"keys leave memory"').length - 1).toBeGreaterThanOrEqual(3);
}, 300_000);
