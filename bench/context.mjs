// Long public parts and drafted answers, in figures. One JSON line a row; `--write` also puts the tables into docs/context.md.
//   node bench/context.mjs [--parts work,clear,drafts,secure] [--lengths 1,16,128,480] [--model PATH] [--threads 1] [--tokens 64] [--write]
//   work: operations of a pass behind public parts of several lengths. clear: its answers on the cleartext scheme with noise, against
//   the clear model. drafts: passes an answer takes, with the client's own code and the clear model in place of the encrypted one.
//   secure: passes at N = 2^15 with the client's refresh in this process, the same private part each time (minutes of one core).
import { readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { DraftTable, modelDrafter, ngramDrafter, tableDrafter } from '@sotto/client';
import {
  EncryptedTransformer,
  embedRows,
  makeSetup,
  measureAgreement,
  readHidden,
  sampleTexts,
  workOfBlock,
} from '@sotto/engine';

import { CleartextRefresher, createCleartextEvaluator } from '@sotto/he/cleartext';
import { selectBackend } from '@sotto/he/ring';
import {
  accelerate,
  argmax,
  embeddedModel,
  embedTokens,
  finishLogits,
  forward,
  forwardRows,
  KvCache,
  readModelFile,
  readTokenizerFile,
} from '@sotto/model';
import { makeLocalScheme } from '../packages/cli/dist/local-scheme.js';
import { Answering } from '../packages/client/dist/answering.js';
import { plainBytes } from '../packages/server/dist/engine/forecast.js';

const { values } = parseArgs({
  options: {
    parts: { type: 'string', default: 'work,clear,drafts' },
    lengths: { type: 'string', default: '1,16,128,480' },
    /** The embedded model when absent. */
    model: { type: 'string' },
    threads: { type: 'string', default: '1' },
    tokens: { type: 'string', default: '64' },
    write: { type: 'boolean', default: false },
  },
});
const lengths = values.lengths.split(',').map(Number);
const files = values.model === undefined ? {} : { model: values.model };
const { name: modelName, weights: model } = await readModelFile(files);
const tokenizer = await readTokenizerFile(files, model.config.vocabSize);
const print = (row) => console.log(JSON.stringify(row));
const tables = new Map();
const table = (name, head, rows) => {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  tables.set(name, [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n'));
};

/** A held-out text of exactly so many tokens. */
const textOf = (length, seed) => sampleTexts(model, { texts: 1, tokens: length, seed })[0];

async function work() {
  const rows = [];
  for (const refresh of ['bootstrap', 'client']) {
    const { plan, calibration, parameters } = await makeSetup(model, { refresh, parameters: 'secure' });
    const base = await workOfBlock(model, calibration, plan, 1);
    for (const publicTokens of lengths) {
      const counts = await workOfBlock(model, calibration, plan, publicTokens);
      print({ part: 'work', refresh, parameters: parameters.name, publicTokens, ...counts });
      const switches = (w) => w.rotations + w.mapRotations + w.conjugations + w.relinearisations;
      rows.push([
        refresh,
        publicTokens,
        counts.refreshes,
        counts.refreshShapes.reduce((sum, { real, count }) => sum + (real ? 0 : count), 0),
        switches(counts),
        (switches(counts) / switches(base)).toFixed(2),
        counts.plainProducts,
        (counts.plainProducts / base.plainProducts).toFixed(2),
        counts.constantProducts,
      ]);
    }
  }
  const head = [
    'refresh',
    'public tokens',
    'refreshes',
    'of two pages',
    'key switches',
    'ratio',
    'plaintext products',
    'ratio',
  ];
  table('work', [...head, 'constant products'], rows);
}

async function clear() {
  const rows = [];
  const { plan, calibration } = await makeSetup(model, { refresh: 'client', parameters: 'secure' });
  const evaluator = createCleartextEvaluator({
    slots: plan.layout.slots,
    levels: plan.topLevel,
    logScale: 40,
    noise: {},
  });
  const refresher = new CleartextRefresher(evaluator, { bits: 20 });
  const transformer = new EncryptedTransformer({ model, calibration, plan, evaluator, refresher });
  for (const publicTokens of lengths) {
    const privateRows = plan.layout.privateCapacity;
    const texts = [1, 2, 3].map((i) => textOf(publicTokens + privateRows, 5000 * i + publicTokens));
    const bench = { model, plan, evaluator, refresher, transformer };
    const sum = { positions: 0, agree: 0, sure: 0, sureAgree: 0, squares: 0, escaped: 0 };
    for (const text of texts) {
      try {
        const { positions, agree, sure, sureAgree, rmsError } = await measureAgreement(bench, [text]);
        sum.positions += positions;
        sum.agree += agree;
        sum.sure += sure;
        sum.sureAgree += sureAgree;
        sum.squares += positions * rmsError ** 2;
      } catch (error) {
        if (!['HE_REFRESH_RANGE', 'ENGINE_OUTPUT_ESCAPED'].includes(error.code)) throw error;
        sum.escaped++;
      }
    }
    const { positions, agree, sure, sureAgree, squares, escaped } = sum;
    const rmsError = positions > 0 ? Math.sqrt(squares / positions) : null;
    print({
      part: 'clear',
      publicTokens,
      texts: texts.length,
      escaped,
      positions,
      agree,
      sureAgree,
      sure,
      rmsError,
    });
    rows.push([
      publicTokens,
      `${escaped} of ${texts.length}`,
      `${agree} of ${positions}`,
      `${sureAgree} of ${sure}`,
      rmsError?.toFixed(4) ?? 'none',
    ]);
  }
  table(
    'clear',
    [
      'public tokens',
      'texts that left the ranges',
      'same choice',
      'same where decided by 0.1',
      'logits off, rms',
    ],
    rows,
  );
}

/** Prompts of the kind the model was made for, with a private second half. */
const prompts = [
  ['Once upon a time, there was', 'a little girl named Lily'],
  ['Lily told the doctor', 'that she was very sad and her head hurt'],
  ['Tom and his dog went to the park.', 'They saw a big tree'],
  ['One day', 'a small dragon who could not fly'],
  ['The boy wanted to play', 'with his red ball'],
  ['Mum said to Ben', 'that he must not go out'],
];

async function drafts() {
  const fast = accelerate(model);
  const shipped = DraftTable.read(await readFile(embeddedModel.drafts));
  const window = { blockRows: 8, publicTokens: 511, privateTokens: 511, positions: 512 };
  const ways = [
    ['none', () => null],
    ['ngram', ngramDrafter],
    ['table', () => tableDrafter(shipped)],
    ['model (itself)', () => modelDrafter(fast, model.config.vocabSize)],
  ];
  const rows = [];
  let first = null;
  for (const blockRows of [8, 16]) {
    for (const [name, make] of ways) {
      let [tokens, passes, drafted, accepted] = [0, 0, 0, 0];
      const answers = [];
      for (const [publicText, privateText] of prompts) {
        const cache = new KvCache(model.config.layerCount);
        const prompt = {
          publicTokens: tokenizer.encode(publicText, { bos: true }),
          privateTokens: tokenizer.encode(privateText, { bos: false }),
        };
        forwardRows(fast, embedTokens(fast, prompt.publicTokens), cache);
        const drafter = make();
        const answering = new Answering({
          model: { weights: fast, tokenizer },
          prompt,
          maxTokens: Number(values.tokens),
          compare: false,
          drafting: drafter === null ? undefined : { drafter },
          startMs: 0,
          window: { ...window, blockRows },
          knows: () => true,
          run: async (block, position) => {
            for (const layer of [...cache.keys, ...cache.values])
              layer.length = Math.min(layer.length, position);
            return forwardRows(fast, embedTokens(fast, block), cache);
          },
        });
        const answer = [];
        for await (const { token } of answering.tokens()) answer.push(token);
        answers.push(answer.join());
        tokens += answer.length;
        passes += answering.counts.passes;
        drafted += answering.counts.drafted;
        accepted += answering.counts.accepted;
      }
      first ??= answers;
      const same = answers.every((answer, i) => answer === first[i]);
      if (!same) throw new Error(`drafting by ${name} changed an answer`);
      const tokensPerPass = Number((tokens / passes).toFixed(2));
      print({ part: 'drafts', drafter: name, blockRows, tokens, passes, tokensPerPass, drafted, accepted });
      rows.push([name, blockRows, tokens, passes, tokensPerPass, `${accepted} of ${drafted}`]);
    }
  }
  table('drafts', ['drafts from', 'rows of a pass', 'tokens', 'passes', 'tokens a pass', 'accepted'], rows);
}

async function secure() {
  const rows = [];
  const setup = await makeSetup(model, { refresh: 'client', parameters: 'secure' });
  const { plan, calibration, parameters } = setup;
  const backend = selectBackend({ threads: Number(values.threads) });
  const scheme = makeLocalScheme(setup, backend, undefined, 'rows');
  const { evaluator, refresher, write, read } = scheme;
  const transformer = new EncryptedTransformer({
    model,
    calibration,
    plan,
    evaluator,
    refresher,
    weightCacheBytes: 6 * 2 ** 30,
    plainBytes: (level) => plainBytes(parameters, level),
  });
  let base = null;
  const longest = Math.max(...lengths);
  const whole = textOf(longest + 9, 77);
  // The first of all passes encodes the weights; it is no row of the table.
  for (const [i, publicTokens] of [lengths[0], ...lengths].entries()) {
    // The same private part behind the nearest so many tokens.
    const text = [whole[0], ...whole.slice(longest - publicTokens + 1)];
    const talk = transformer.conversation(text.slice(0, publicTokens));
    const want = forward(model, text, new KvCache(model.config.layerCount)).logits.slice(publicTokens);
    const took = [];
    let [squares, count, same] = [0, 0, 0];
    for (const [from, to] of [
      [0, 8],
      [8, 9],
    ]) {
      const tokens = text.slice(publicTokens + from, publicTokens + to);
      const input = write(embedRows(model, plan.client, tokens), plan.client.inputLevel);
      const before = process.cpuUsage();
      const out = await transformer.forward(talk, input, tokens.length);
      const { user, system } = process.cpuUsage(before);
      took.push((user + system) / 1e6);
      readHidden(plan.client, read(out), tokens.length).forEach((row, r) => {
        const logits = finishLogits(model, row);
        same += argmax(logits) === argmax(want[from + r]) ? 1 : 0;
        logits.forEach((value, i) => {
          squares += (value - want[from + r][i]) ** 2;
          count++;
        });
      });
      input.release();
      out.release();
    }
    talk.cache.dispose();
    if (i === 0) continue;
    const [coldSeconds, warmSeconds] = took;
    base ??= warmSeconds;
    const rmsError = Math.sqrt(squares / count);
    print({
      part: 'secure',
      model: modelName,
      publicTokens,
      coldSeconds,
      warmSeconds,
      same,
      of: 9,
      rmsError,
      backend: backend.isa,
    });
    const ratio = (warmSeconds / base).toFixed(2);
    rows.push([
      publicTokens,
      coldSeconds.toFixed(1),
      warmSeconds.toFixed(1),
      ratio,
      `${same} of 9`,
      rmsError.toPrecision(2),
    ]);
  }
  scheme.dispose();
  const head = ['public tokens', 'first pass, CPU s', 'a later pass, CPU s', 'ratio', 'same choice'];
  table(`secure ${modelName}`, [...head, 'logits off, rms'], rows);
}

const parts = { work, clear, drafts, secure };
for (const part of values.parts.split(',')) await parts[part]();

if (values.write) {
  const path = new URL('../docs/context.md', import.meta.url);
  let text = await readFile(path, 'utf8');
  for (const [name, rows] of tables) {
    const [open, close] = [`<!-- table ${name} -->`, `<!-- end ${name} -->`];
    if (!text.includes(open)) continue;
    const from = text.indexOf(open) + open.length;
    text = `${text.slice(0, from)}\n${rows}\n${text.slice(text.indexOf(close))}`;
  }
  await writeFile(path, text);
}
