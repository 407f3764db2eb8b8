// The encrypted transformer at secure size in one process: blocks of several sizes one after the other (the first one also encodes
// the weights), each against the clear model at every position. One JSON line for each block.
//   node bench/transformer.mjs [--refresh bootstrap|client] [--backend native|wasm] [--threads 2] [--model PATH] [--profile] [--rows 1,16,1]
//                              [--public TEXT] [--private TEXT]
// `client` refreshes in this process: decrypted and encrypted again, without a network.
import { parseArgs } from 'node:util';
import { EncryptedTransformer, embedRows, makeSetup, readHidden } from '@sotto/engine';
import { BootstrapRefresher } from '@sotto/he/bootstrap';
import { CkksEvaluator } from '@sotto/he/ckks';
import { selectBackend } from '@sotto/he/ring';
import { EvaluationKey, EvaluationKeySet, expandCiphertext, RingContext } from '@sotto/he/rlwe';
import { Decryptor, Encryptor, KeyGenerator, SecretKey } from '@sotto/he/secret';
import { argmax, finishLogits, forward, KvCache, readModelFile, readTokenizerFile } from '@sotto/model';

const { values } = parseArgs({
  options: {
    refresh: { type: 'string', default: 'bootstrap' },
    backend: { type: 'string' },
    threads: { type: 'string', default: '2' },
    model: { type: 'string' },
    tokenizer: { type: 'string' },
    public: { type: 'string', default: 'One day, a boy named Tim went' },
    private: {
      type: 'string',
      default: 'to the park with his dog. The dog was very happy and ran after a big red ball',
    },
    profile: { type: 'boolean', default: false },
    rows: { type: 'string', default: '1,16,1' },
  },
});

const { weights: model } = await readModelFile({ model: values.model ?? 'stories260K' });
const tokenizer = await readTokenizerFile(
  values.tokenizer ? { tokenizer: values.tokenizer } : {},
  model.config.vocabSize,
);
const setup = await makeSetup(model, { refresh: values.refresh, parameters: 'secure' });
const { parameters, plan, calibration, bootstraps } = setup;
const backend = selectBackend({
  threads: Number(values.threads),
  ...(values.backend ? { name: values.backend } : {}),
});
const plainRing = backend.createRing({ logN: parameters.logN, primes: parameters.primes });
const spentMs = new Map();
const ring = values.profile ? timed(plainRing, spentMs) : plainRing;
const context = new RingContext(parameters, ring);
const secret = SecretKey.generate(parameters);
const generator = new KeyGenerator(context, secret);
const encryptor = new Encryptor(context, secret);
const decryptor = new Decryptor(context, secret);

const keysStartMs = performance.now();
const keys = new EvaluationKeySet(context);
for (const { id, maxLevel } of setup.keys)
  keys.add(EvaluationKey.expand(context, generator.make(id, maxLevel)));
const evaluator = new CkksEvaluator(context, keys, { plaintexts: 'coefficients' });
const refresher =
  bootstraps.length > 0 ? new BootstrapRefresher(evaluator, bootstraps) : inProcessRefresher();
console.log(
  JSON.stringify({
    step: 'keys and matrices',
    ms: Math.round(performance.now() - keysStartMs),
    keys: keys.size,
    keyMB: Math.round(keys.sizeBytes / 1e6),
    ringMB: Math.round(ring.memory().liveBytes / 1e6),
  }),
);

const transformer = new EncryptedTransformer({
  model,
  calibration,
  plan,
  evaluator,
  refresher,
  weightCacheBytes: 2 ** 31,
  plainBytes: () => 8 * parameters.n,
});
const publicTokens = tokenizer.encode(values.public);
const privateTokens = tokenizer.encode(values.private, { bos: false });
const clearCache = new KvCache(model.layers.length);
forward(model, publicTokens, clearCache);
const conversation = transformer.conversation(publicTokens);

const { blockRows } = plan.client;
let at = 0;
for (const wanted of values.rows.split(',').map(Number)) {
  const rows = Math.min(wanted, blockRows);
  const tokens = privateTokens.slice(at, at + rows);
  if (tokens.length === 0) break;
  at += rows;
  ring.resetCounts();
  spentMs.clear();
  const refreshesBefore = refresher.count;
  const input = encryptor.encryptNew(
    evaluator.encoder.embed(embedRows(model, plan.client, tokens), evaluator.scaleAt(plan.client.inputLevel)),
    plan.client.inputLevel,
  );
  const cpuBefore = process.cpuUsage();
  const startMs = performance.now();
  const out = await transformer.forward(conversation, input, rows);
  const ms = performance.now() - startMs;
  const cpu = process.cpuUsage(cpuBefore);
  const hidden = readHidden(plan.client, evaluator.encoder.project(decryptor.decrypt(out), out.scale), rows);
  const clear = forward(model, tokens, clearCache).logits;
  let [squares, count, worst, same, decided] = [0, 0, 0, 0, 0];
  hidden.forEach((state, row) => {
    const logits = finishLogits(model, state);
    logits.forEach((value, i) => {
      squares += (value - clear[row][i]) ** 2;
      worst = Math.max(worst, Math.abs(value - clear[row][i]));
      count++;
    });
    const sorted = Float64Array.from(clear[row]).sort();
    if (sorted.at(-1) - sorted.at(-2) > 0.1) {
      decided++;
      if (argmax(logits) === argmax(clear[row])) same++;
    }
  });
  console.log(
    JSON.stringify({
      step: `block of ${rows}`,
      refresh: values.refresh,
      backend: backend.name,
      isa: backend.isa,
      threads: backend.threads,
      ms: Math.round(ms),
      cpuMs: Math.round((cpu.user + cpu.system) / 1000),
      refreshes: refresher.count - refreshesBefore,
      logitsRmsError: Number(Math.sqrt(squares / count).toPrecision(3)),
      logitsMaxAbsError: Number(worst.toPrecision(3)),
      sameChoice: `${same} of ${decided} decided positions`,
      counts: ring.counts(),
      ringMB: Math.round(ring.memory().liveBytes / 1e6),
      peakRingMB: Math.round(ring.memory().peakBytes / 1e6),
      peakRssMB: Math.round(process.resourceUsage().maxRSS / 1e3),
      ...(values.profile
        ? {
            kernelMs: Object.fromEntries(
              [...spentMs].sort((a, b) => b[1] - a[1]).map(([k, v]) => [k, Math.round(v)]),
            ),
          }
        : {}),
    }),
  );
  input.release();
  out.release();
}
ring.dispose();

function inProcessRefresher() {
  return {
    outputLevel: plan.topLevel,
    inputLevel: parameters.bottomLevel,
    range: 1,
    count: 0,
    async refresh(a) {
      this.count++;
      const level = plan.topLevel;
      const factor = evaluator.scaleAt(level) / a.scale;
      const coefficients = decryptor.decrypt(a).map((value) => value * factor);
      return expandCiphertext(context, encryptor.encryptSeeded(coefficients, level));
    },
  };
}

/** The ring with the time spent in each kernel. */
function timed(inner, spent) {
  return new Proxy(inner, {
    get(target, name) {
      const value = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      return (...args) => {
        const startMs = performance.now();
        try {
          return value.apply(target, args);
        } finally {
          spent.set(name, (spent.get(name) ?? 0) + performance.now() - startMs);
        }
      };
    },
  });
}
