// Held-out rows whose token is that of the clear model, for a model in the repository. One JSON line a text, then their sum.
//   node bench/agreement.mjs [--model stories260K] [--scheme cleartext|encrypted] [--parameters insecure-toy|secure] [--texts 10]
//     [--tokens 48] [--rows 16] [--seed 20261121] [--threads 1]
//   cleartext: levels, scales and noise of N = 2^16 and of a bootstrapping of 20 bits. encrypted: with keys made here, and the client's
//   refresh. The last rows of each text are private.
import { parseArgs } from 'node:util';
import { EncryptedTransformer, embedRows, makePlan, makeSetup, readHidden, sampleTexts } from '@sotto/engine';
import { CleartextRefresher, createCleartextEvaluator } from '@sotto/he/cleartext';
import { selectBackend } from '@sotto/he/ring';
import { argmax, finishLogits, forward, KvCache, readModelFile } from '@sotto/model';
import { makeLocalScheme } from '../packages/cli/dist/local-scheme.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'sotto-stories-2x128' },
    scheme: { type: 'string', default: 'cleartext' },
    parameters: { type: 'string', default: 'insecure-toy' },
    texts: { type: 'string', default: '10' },
    tokens: { type: 'string', default: '48' },
    rows: { type: 'string', default: '16' },
    seed: { type: 'string', default: '20261121' },
    threads: { type: 'string', default: '1' },
  },
});
const { weights: model } = await readModelFile({ model: values.model });
const setup = await makeSetup(model, { refresh: 'client', parameters: values.parameters });

async function makeScheme() {
  if (values.scheme === 'encrypted') {
    const backend = selectBackend({ threads: Number(values.threads) });
    return { plan: setup.plan, free: (value) => value.release(), ...makeLocalScheme(setup, backend) };
  }
  const shape = { slots: 2 ** 13, levels: 12, logScale: 40, noise: { ringDegree: 2 ** 16 } };
  const evaluator = createCleartextEvaluator(shape, { byValue: true });
  return {
    plan: await makePlan(model, setup.calibration, { slots: 2 ** 13, topLevel: 12, blockRows: 8 }),
    evaluator,
    refresher: new CleartextRefresher(evaluator, { bits: 20 }),
    write: (slots, level) => evaluator.fromSlots(slots, level),
    read: (value) => evaluator.toSlots(value),
    free: (value) => evaluator.release(value),
    dispose: () => {},
  };
}

const { plan, evaluator, refresher, write, read, free, dispose } = await makeScheme();
const { calibration } = setup;
const transformer = new EncryptedTransformer({ model, calibration, plan, evaluator, refresher });
const total = { texts: 0, escaped: 0, rows: 0, same: 0, decided: 0, decidedSame: 0, squares: 0, worst: 0 };

/** Adds the private rows of one text. */
async function run(text) {
  const open = text.length - Math.min(Number(values.rows), plan.layout.privateCapacity);
  const want = forward(model, text, new KvCache(model.config.layerCount)).logits;
  const talk = transformer.conversation(text.slice(0, open));
  for (let at = open; at < text.length; at += plan.layout.blockRows) {
    const tokens = text.slice(at, at + plan.layout.blockRows);
    const input = write(embedRows(model, plan.client, tokens), plan.client.inputLevel);
    const out = await transformer.forward(talk, input, tokens.length);
    readHidden(plan.client, read(out), tokens.length).forEach((row, r) => {
      const logits = finishLogits(model, row);
      const clear = want[at + r];
      const [first, second] = Array.from(clear).sort((a, b) => b - a);
      const same = argmax(logits) === argmax(clear);
      const decided = first - second > 0.1;
      total.rows++;
      total.same += Number(same);
      total.decided += Number(decided);
      total.decidedSame += Number(decided && same);
      const errors = logits.map((value, i) => value - clear[i]);
      total.squares += errors.reduce((sum, e) => sum + e * e, 0) / errors.length;
      total.worst = errors.reduce((most, e) => Math.max(most, Math.abs(e)), total.worst);
    });
    free(input);
    free(out);
  }
  talk.cache.dispose();
}

const { tokens, seed } = values;
for (const text of sampleTexts(model, {
  texts: Number(values.texts),
  tokens: Number(tokens),
  seed: Number(seed),
})) {
  total.texts++;
  try {
    await run(text);
  } catch (error) {
    if (!['ENGINE_OUTPUT_ESCAPED', 'HE_REFRESH_RANGE'].includes(error.code)) throw error;
    total.escaped++;
  }
  const { squares, ...counts } = total;
  const rms = Math.sqrt(squares / Math.max(1, counts.rows));
  console.log(JSON.stringify({ model: values.model, scheme: values.scheme, ...counts, rms }));
}
dispose();
