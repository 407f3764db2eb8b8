// The thread that holds the clear model of mode sanitized, as built: its module cannot be loaded from TypeScript sources.
import { fileURLToPath } from 'node:url';
import { SottoError } from '@sotto/base';
import { embeddedModel, generate, readModelFile } from '@sotto/model';
import type { TextModel } from '@sotto/server';
import { afterEach, expect, it } from 'vitest';
import { startWorkerTextModel } from '../packages/server/dist/index.js';

const path = fileURLToPath(embeddedModel.model);
const log: string[] = [];
let model: TextModel | undefined;

async function start(modelPath = path) {
  model = await startWorkerTextModel(
    modelPath,
    (event, fields) => void log.push(`${event} ${JSON.stringify(fields)}`),
  );
  return model;
}

afterEach(async () => {
  await model?.close();
  model = undefined;
});

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'no error',
    (error) => (SottoError.is(error) ? error.code : String(error)),
  );
const request = { tokens: [1, 403, 407, 261, 378], maxTokens: 40, endTokens: [] };
const never = new AbortController().signal;

it('continues text as the clear model does, the first token at once', async () => {
  const running = await start();
  const batches: (readonly number[])[] = [];
  const end = await running.answer(request, { tokens: (batch) => batches.push(batch), signal: never });
  const { weights } = await readModelFile();
  const options = { maxTokens: 40, temperature: 0, endTokens: new Set<number>() };
  const expected = [...generate(weights, request.tokens, options)];
  expect(batches.flat()).toEqual(expected);
  expect(batches[0]).toHaveLength(1);
  expect(end).toBe('length');
  const endTokens = [expected[7]!];
  const cut: number[] = [];
  const first = expected.indexOf(expected[7]!);
  const reason = await running.answer(
    { ...request, endTokens },
    { tokens: (batch) => cut.push(...batch), signal: never },
  );
  expect(reason).toBe('end');
  expect(cut).toEqual(expected.slice(0, first));
});

it('stops at the next token when it is told to, and answers again', async () => {
  const running = await start();
  const controller = new AbortController();
  let seen = 0;
  const long = running.answer(
    { ...request, maxTokens: 500 },
    {
      tokens(batch) {
        seen += batch.length;
        controller.abort();
      },
      signal: controller.signal,
    },
  );
  expect(await codeOf(long)).toBe('JOB_CANCELLED');
  expect(seen).toBeLessThan(500);
  expect(await codeOf(running.answer(request, { tokens: () => {}, signal: controller.signal }))).toMatch(
    /Abort/,
  );
  expect(await running.answer({ ...request, maxTokens: 2 }, { tokens: () => {}, signal: never })).toBe(
    'length',
  );
});

it('fails with typed errors', async () => {
  expect(await codeOf(start('/nowhere.bin'))).toBe('FILE_UNREADABLE');
  const running = await start();
  const ask = (change: object) =>
    codeOf(running.answer({ ...request, ...change }, { tokens: () => {}, signal: never }));
  expect(await ask({ tokens: [1, 9999] })).toBe('TOKEN_OUT_OF_RANGE');
  expect(await ask({ maxTokens: 600 })).toBe('CONTEXT_EXCEEDED');
  const cut = ask({ maxTokens: 500 });
  await running.close();
  expect(['JOB_CANCELLED', 'WORKER_LOST']).toContain(await cut);
  expect(await ask({})).toBe('WORKER_LOST');
  expect(log).toEqual([]);
});
