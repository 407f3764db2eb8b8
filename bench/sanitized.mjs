// Mode sanitized beside the same model without it: time of the sanitizer, overhead from end to end on loopback. Writes
// bench/results/sanitized.json.
//   npm run bench -- sanitized [--rounds 5] [--tokens 64] [--only MODEL] [--smollm2 model.gguf]
// Each round continues one sanitized prompt three times, in changing order: the model alone in this thread (A), the server over loopback
// with the tokens as they are (B), and everything (C: cut, draw, ledger on disk, send, compute, put words back). A, B and C compute the
// same tokens. CPU time is that of the whole process, in which client, server and its thread live.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadLocalModel, SanitizedSession, SanitizerState } from '@sotto/client';
import { accelerate, generate } from '@sotto/model';
import { Desanitizer, Ledger, MemoryStorage, ReplyMemo, readShippedTable, Sanitizer } from '@sotto/privacy';
import { describeModel, serve } from '@sotto/server';
import { machine } from './he/machine.mjs';

const beside = fileURLToPath(
  new URL('../../shared/data/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf', import.meta.url),
);
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    only: { type: 'string' },
    tokens: { type: 'string', default: '64' },
    table: { type: 'string', default: 'neutral-1' },
    smollm2: { type: 'string', default: beside },
    out: { type: 'string', default: fileURLToPath(new URL('./results/sanitized.json', import.meta.url)) },
  },
});
const maxTokens = Number(values.tokens);
const story = {
  publicText: 'Once upon a time, there was',
  privateText:
    'a little girl named Lily. Her mother was very ill and the doctor came to the house every morning. One day Lily found',
};
const texts = {
  stories260K: story,
  'sotto-stories-2x128': story,
  smollm2: {
    publicText: 'Summarize this message in one sentence.',
    privateText:
      'Dear Anna, my doctor in Lyon called on 12.03.2024 and said that the blood test shows a problem with my kidneys. I have an ' +
      'appointment at the hospital next Tuesday at 9.30 and I will have to stay for three nights. Could you please feed the cat and ' +
      'water the plants while I am away? The key is with Mrs. Keller on the second floor. Please do not tell my brother about this, ' +
      'he worries too much. You can reach me at anna.b@example.com or at 0151 4455667. Thank you so much, Quentin',
  },
};
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
const round = (value, digits = 4) => Number(value.toFixed(digits));
const ms = () => performance.now();
const cpuMs = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

async function timed(work) {
  const [wall, cpu] = [ms(), cpuMs()];
  const result = await work();
  return { wallMs: ms() - wall, cpuMs: cpuMs() - cpu, result };
}

async function drain(stream) {
  for (;;) {
    const next = await stream.next();
    if (next.done) return next.value;
  }
}

const WARM_UP = 600;
const WARM = 200;

/** Median times of one text after hundreds of others, with a ledger in memory; the answer restored is the text itself. */
function warmMs(tableBytes, privateText) {
  const ledger = new Ledger(new MemoryStorage());
  ledger.setBudget('warm', { epoch: 1e9, lifetime: 1e9, delta: 0 });
  const memo = new ReplyMemo(ReplyMemo.newKey(), 0);
  const sanitizer = new Sanitizer({ tableBytes, ledger, user: 'warm', memo });
  const [sanitizeMs, restoreMs] = [[], []];
  for (let i = 0; i < WARM_UP + WARM; i++) {
    const { text, substitutions, times } = sanitizer.sanitize(privateText, String(i));
    const startMs = ms();
    const restored = new Desanitizer(substitutions, text);
    for (const part of text.split(/(?= )/)) restored.push(part);
    restored.finish();
    restoreMs.push(ms() - startMs);
    sanitizeMs.push(times.sanitizeMs);
  }
  return { sanitizeMs: median(sanitizeMs.slice(WARM_UP)), restoreMs: median(restoreMs.slice(WARM_UP)) };
}

async function measure(name, files) {
  const folder = mkdtempSync(join(tmpdir(), 'sotto-bench-'));
  const local = await loadLocalModel(files);
  const weights = accelerate(local.weights);
  const server = await serve({
    model: describeModel(local.weights, {
      name: local.name,
      license: local.license,
      backend: { name: 'none', isa: 'none', threads: 1 },
    }),
    modelPath: local.path,
    ...{ backend: 'auto', threads: 1, modes: ['sanitized'] },
  });
  const state = SanitizerState.open(folder, 1e5);
  try {
    const tableBytes = await readShippedTable(values.table);
    const startMs = ms();
    const sanitizer = new Sanitizer({
      tableBytes,
      ledger: state.ledger,
      user: state.user,
      memo: state.memo(),
    });
    const tableMs = ms() - startMs;
    const session = await SanitizedSession.connect(server.url, { sanitizer, files });
    const { tokenizer } = local;
    const endTokens = new Set([...tokenizer.endTokens, tokenizer.bosToken]);
    const prepare = (context) => session.prepare({ ...texts[name], maxTokens, context });
    // Everything is compiled and the server has read its model.
    await drain(session.send(prepare('warm')));
    const rows = [];
    for (let i = 0; i < Number(values.rounds); i++) {
      // The same context gives the same tokens again; only C, on its own context, draws and pays.
      let prepared;
      const runs = {
        async all() {
          prepared = prepare(`round ${i}`);
          return await drain(session.send(prepared));
        },
        alone: () => [...generate(weights, prepared.tokens, { maxTokens, temperature: 0, endTokens })].length,
        loopback: async () => await drain(session.send(prepared)),
      };
      const all = await timed(runs.all);
      const others = i % 2 === 0 ? ['alone', 'loopback'] : ['loopback', 'alone'];
      const found = {};
      for (const other of others) found[other] = await timed(runs[other]);
      const { seconds, answerTokens } = all.result;
      if (found.alone.result !== answerTokens) throw new Error('the model alone gives another answer');
      const rowTokens = prepared.tokens.length + answerTokens;
      rows.push({
        promptTokens: prepared.tokens.length,
        answerTokens,
        allCpu: all.cpuMs / rowTokens,
        allWall: all.wallMs / rowTokens,
        aloneCpu: found.alone.cpuMs / rowTokens,
        aloneWall: found.alone.wallMs / rowTokens,
        loopbackCpu: found.loopback.cpuMs / rowTokens,
        loopbackWall: found.loopback.wallMs / rowTokens,
        sanitizeMs: 1000 * seconds.sanitize,
        ledgerMs: 1000 * seconds.ledger,
        restoreMs: 1000 * seconds.restore,
      });
    }
    const warm = warmMs(tableBytes, texts[name].privateText);
    const of = (key) => median(rows.map((row) => row[key]));
    // Least of the rounds, a token: what other work on the machine disturbs least.
    const least = (key) => Math.min(...rows.map((row) => row[key]));
    const tokens = of('promptTokens') + of('answerTokens');
    const aloneMs = least('aloneCpu') * tokens;
    const { publicText, privateText } = texts[name];
    const plainTokens = tokenizer.encode(`${publicText} ${privateText}`, { bos: true }).length;
    const sentTokens = tokenizer.encode(prepare('round 0').sent, { bos: true }).length;
    const ratio = (from, to) => round(least(from) / least(to), 3);
    const overhead = ratio('allCpu', 'aloneCpu');
    const share = (of('sanitizeMs') + of('restoreMs')) / aloneMs;
    const shareWithLedger = share + of('ledgerMs') / aloneMs;
    return {
      model: name,
      modelDigest: local.weights.digest,
      table: values.table,
      rounds: rows.length,
      privateWords: privateText.split(/\s+/).length,
      promptTokens: of('promptTokens'),
      answerTokens: of('answerTokens'),
      tokensOfSanitizedOverOriginal: round(sentTokens / plainTokens, 3),
      aloneCpuMs: round(aloneMs, 1),
      overhead: {
        againstModelAlone: { cpu: overhead, wall: ratio('allWall', 'aloneWall') },
        againstUnsanitizedLoopback: {
          cpu: ratio('allCpu', 'loopbackCpu'),
          wall: ratio('allWall', 'loopbackWall'),
        },
        target: 1.05,
        met: overhead <= 1.05,
      },
      sanitizer: {
        tableOnceMs: round(tableMs, 1),
        sanitizeMs: round(of('sanitizeMs'), 3),
        /** Of a client that has sanitized hundreds of texts; the rounds are its first ones, whose code is not compiled yet. */
        warmSanitizeMs: round(warm.sanitizeMs, 4),
        warmRestoreMs: round(warm.restoreMs, 4),
        warmShare: round((warm.sanitizeMs + warm.restoreMs) / aloneMs, 6),
        restoreMs: round(of('restoreMs'), 3),
        ledgerMs: round(of('ledgerMs'), 3),
        share: round(share, 6),
        shareWithLedger: round(shareWithLedger, 6),
        target: 0.001,
        met: share <= 0.001,
        metWithLedger: shareWithLedger <= 0.001,
      },
    };
  } finally {
    state.close();
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

const entries = [];
for (const [name, files] of [
  ['stories260K', { model: 'stories260K' }],
  ['sotto-stories-2x128', { model: 'sotto-stories-2x128' }],
  ['smollm2', { model: values.smollm2 }],
]) {
  if (values.only !== undefined && values.only !== name) continue;
  if (name === 'smollm2' && !existsSync(files.model)) {
    console.log(JSON.stringify({ model: name, skipped: 'the model file is absent' }));
    continue;
  }
  const entry = { ...(await measure(name, files)), machine: machine() };
  entries.push(entry);
  console.log(JSON.stringify(entry));
}
writeFileSync(values.out, `[\n${entries.map((entry) => JSON.stringify(entry)).join(',\n')}\n]\n`);
