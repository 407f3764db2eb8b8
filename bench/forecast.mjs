// What `sotto cost` forecasts beside what a session then takes: runs `sotto cost` and `sotto demo` with the same model, prompt and
// machine, and prints one JSON line a run with forecast / actual of every figure. --append adds the lines to results/forecast.jsonl.
//   node bench/forecast.mjs [--only client-native,bootstrap-native,client-wasm,bootstrap-wasm] [--tokens 3] [--threads 2] [--model PATH,PATH] [--append]
import { spawnSync } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadLocalModel, tokenizePrompt } from '@sotto/client';

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: 'client-native,bootstrap-native,client-wasm,bootstrap-wasm' },
    tokens: { type: 'string', default: '3' },
    threads: { type: 'string', default: '2' },
    /** Paths, comma between them; an empty one is the embedded model. */
    model: { type: 'string', default: '' },
    public: { type: 'string', default: 'Once upon a time, there was' },
    private: { type: 'string', default: 'a little girl named Lily. She had a secret' },
    append: { type: 'boolean', default: false },
  },
});
const cli = fileURLToPath(new URL('../packages/cli/dist/main.js', import.meta.url));

/** The object that a command prints last. */
function sotto(...args) {
  const { stdout, stderr, status } = spawnSync(process.execPath, [cli, ...args, '--json'], {
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  const last = stdout.trim().split('\n').at(-1);
  if (status !== 0) throw new Error(`sotto ${args[0]} ended with ${status}: ${last || stderr}`);
  return JSON.parse(last);
}

const mean = (all) => all.reduce((sum, value) => sum + value, 0) / all.length;

for (const model of values.model.split(',')) {
  const files = model === '' ? [] : ['--model', model];
  const local = await loadLocalModel(model === '' ? {} : { model });
  const prompt = tokenizePrompt(local.tokenizer, { publicText: values.public, privateText: values.private });
  for (const run of values.only.split(',')) {
    const [refresh, backend] = run.split('-');
    const shared = [...files, '--refresh', refresh, '--backend', backend, '--threads', values.threads];
    const publicTokens = String(prompt.publicTokens.length);
    const privateTokens = String(prompt.privateTokens.length);
    const forecast = sotto(
      ...['cost', ...shared, '--tokens', values.tokens, '--fresh'],
      ...['--public-tokens', publicTokens, '--private-tokens', privateTokens],
    );
    const actual = sotto(
      ...['demo', ...shared, '--tokens', values.tokens],
      ...['--public', values.public, '--private', values.private],
    );
    const { seconds, bytes, peakMB } = forecast;
    const tokens = actual.tokens.length;
    const pairs = {
      keygenSeconds: [seconds.keygen, actual.seconds.keygen],
      firstTokenSeconds: [seconds.firstToken, actual.seconds.prefill],
      ...(actual.seconds.perToken.length > 0
        ? { followingTokenSeconds: [seconds.followingToken, mean(actual.seconds.perToken)] }
        : {}),
      keyBytes: [bytes.keysUp, actual.bytes.keysUp],
      bytesUp: [bytes.up, actual.bytes.up],
      bytesDown: [bytes.down, actual.bytes.down],
      clientMB: [peakMB.client, actual.peakMB.client],
      serverMB: [peakMB.server, actual.peakMB.server],
    };
    const figures = Object.fromEntries(
      Object.entries(pairs).map(([name, [expected, got]]) => [
        name,
        {
          forecast: expected,
          actual: Number(got.toPrecision(5)),
          ratio: Number((expected / got).toFixed(3)),
        },
      ]),
    );
    const line = JSON.stringify({
      date: new Date().toISOString().slice(0, 10),
      run,
      model: actual.model,
      cpu: cpus()[0]?.model,
      threads: Number(values.threads),
      publicTokens: Number(publicTokens),
      privateTokens: Number(privateTokens),
      answerTokens: tokens,
      figures,
    });
    console.log(line);
    if (values.append) appendFileSync(new URL('results/forecast.jsonl', import.meta.url), `${line}\n`);
  }
}
