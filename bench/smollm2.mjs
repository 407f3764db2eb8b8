// SmolLM2-135M-Instruct through the whole encrypted circuit on the cleartext scheme: prompts in its chat template, system message
// public, the rest private. Plans, scans windows on unseen prompts, runs blocks of private rows with the noise of the secure ring and
// of its bootstrapping, and compares every row with the clear model.
//   node bench/smollm2.mjs [--calibration FILE | --measure PROMPTS] [--prompts 70] [--first 5000] [--scan 1000] [--tokens STRIDE] [--seconds N] [--out FILE]
// Without either it takes the calibration beside this file; --measure makes one with its row shifts and keeps it under build/smollm2;
// --tokens tries tokens of the vocabulary, each alone in a short sentence.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import {
  EncryptedTransformer,
  layerDepths,
  makePlan,
  prefillPublic,
  readCalibration,
  writeCalibration,
} from '@sotto/engine';
import { CleartextRefresher, createCleartextEvaluator } from '@sotto/he/cleartext';
import { createParameters, N16_BOOT } from '@sotto/he/rlwe';
import { accelerate, readModelFile, readTokenizerFile } from '@sotto/model';
import { chatPrompts, dataPresent, modelPath } from './smollm2-data.mjs';
import { measureWindows, scanTokens, TOKEN_FRAME } from './smollm2-measure.mjs';
import { compareRows, scanWindows, watchWindows } from './smollm2-rows.mjs';

const { values } = parseArgs({
  options: {
    calibration: { type: 'string' },
    measure: { type: 'string' },
    prompts: { type: 'string', default: '70' },
    first: { type: 'string', default: '5000' },
    scan: { type: 'string', default: '1000' },
    tokens: { type: 'string', default: '0' },
    seconds: { type: 'string' },
    out: { type: 'string' },
  },
});
if (!dataPresent()) {
  console.log('skipped: the model and its texts are not in ../shared/data');
  process.exit(0);
}

const model = accelerate((await readModelFile({ model: modelPath })).weights);
const tokenizer = await readTokenizerFile({ model: modelPath }, model.config.vocabSize);
const chat = chatPrompts(tokenizer);
const calibration = await theCalibration();

const parameters = createParameters(N16_BOOT);
const planStartMs = performance.now();
const plan = await makePlan(model, calibration, {
  slots: parameters.maxSlots,
  topLevel: parameters.freshLevel,
  bottomLevel: parameters.bottomLevel,
  blockRows: 16,
  privateTokens: 64,
  publicTokens: chat.prefix.length,
});
const planSeconds = (performance.now() - planStartMs) / 1000;
const evaluator = createCleartextEvaluator(parameters, { byValue: true });
/** Precision of a bootstrapping at secure size, see docs/benchmarks.md. */
const BOOTSTRAP_BITS = 20;
const refresher = new CleartextRefresher(evaluator, {
  outputLevel: parameters.freshLevel,
  bits: BOOTSTRAP_BITS,
});
/** What one sparse matrix instead of thousands of diagonals takes. */
const plainBytes = () => 10_000;
const transformer = new EncryptedTransformer({
  model,
  calibration,
  plan,
  evaluator,
  refresher,
  plainBytes,
});
const context = prefillPublic(model, chat.prefix);
const bench = { model, plan, evaluator, refresher, transformer, context };

const summary = { ...describePlan(), planSeconds: Number(planSeconds.toFixed(1)) };
console.log(JSON.stringify(summary));
const scan = scanWindows(bench, calibration, chat.prompts(3000, Number(values.scan)));
console.log(JSON.stringify({ scan }));
if (values.tokens !== '0') console.log(JSON.stringify({ tokens: triedTokens(Number(values.tokens)) }));
const made = { ...calibration.made, publicTokens: chat.prefix.length };
const save = (rows) => {
  if (!values.out) return;
  const result = { model: 'SmolLM2-135M-Instruct Q4_1', calibration: made, plan: summary, scan, rows };
  writeFileSync(values.out, `${JSON.stringify(result, null, 2)}\n`);
};
const deadlineMs = values.seconds ? performance.now() + 1000 * Number(values.seconds) : Infinity;
const prompts = chat.prompts(Number(values.first), Number(values.prompts), [32]);
const rows = await compareRows(bench, prompts, deadlineMs, (sofar) => {
  save(sofar);
  console.error(JSON.stringify({ ...sofar, escapes: undefined }));
});
save(rows);
console.log(JSON.stringify({ rows }));

async function theCalibration() {
  if (values.calibration) return readCalibration(readFileSync(values.calibration, 'utf8'));
  if (!values.measure) return shippedCalibration();
  const folder = fileURLToPath(new URL('../build/smollm2', import.meta.url));
  const kept = `${folder}/calibration-${values.measure}.json`;
  if (existsSync(kept)) return readCalibration(readFileSync(kept, 'utf8'));
  const base = shippedCalibration();
  const prompts = chat.prompts(0, Number(values.measure));
  const measured = measureWindows(model, prefillPublic(model, chat.prefix), base, prompts, (done) => {
    if (done % 100 === 0) console.error(`${done}/${prompts.length} prompts measured`);
  });
  mkdirSync(folder, { recursive: true });
  writeFileSync(kept, writeCalibration(measured));
  return measured;
}

/** Tries every token of the vocabulary whose id is a multiple of `stride`. */
function triedTokens(stride) {
  const tokens = Array.from({ length: Math.ceil(model.config.vocabSize / stride) }, (_, i) => i * stride);
  const frame = tokenizer.encode(TOKEN_FRAME, { bos: false });
  const watch = (tell) => watchWindows(calibration, context.length, tell);
  const left = scanTokens(model, context, frame, tokens, watch);
  const known = new Set(calibration.knownTokens);
  return { tried: tokens.length, left, leftAndKnown: left.filter((token) => known.has(token)) };
}

function shippedCalibration() {
  const shipped = readFileSync(new URL('smollm2-calibration.json.gz', import.meta.url));
  return readCalibration(gunzipSync(shipped).toString('utf8'));
}

/** What the plan says, in numbers. */
function describePlan() {
  const count = (list) => list.reduce((sum, { count }) => sum + count, 0);
  return {
    parameters: parameters.name,
    layout: plan.layout,
    cuts: plan.cuts,
    degrees: plan.degrees,
    levelsALayer: [plan.degrees].flat().map((degrees) => layerDepths(degrees).end),
    refreshes: plan.refreshes,
    rotationKeys: plan.keys.rotations.length,
    block: plan.block,
    plaintextsAPass: plan.block.encodings + count(plan.weights),
    plaintextsKept: count(plan.weights),
    errors: plan.polynomials.map(({ errors }) => errors),
  };
}
