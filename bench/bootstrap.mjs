// Bootstrapping at secure size, stage by stage. One JSON line for each repetition, then one for precision and memory.
//   node bench/bootstrap.mjs [--slots 32768] [--real] [--babySteps 4] [--backend native|wasm] [--threads 1] [--repeat 3] [--preset NAME]
import { parseArgs } from 'node:util';
import {
  Bootstrapper,
  bootstrapKeyList,
  coeffsToSlotsNew,
  evalModPartsNew,
  raiseModulusNew,
  recombineNew,
  slotsToCoeffsNew,
} from '@sotto/he/bootstrap';
import { CkksEvaluator } from '@sotto/he/ckks';
import { selectBackend } from '@sotto/he/ring';
import { EvaluationKey, EvaluationKeySet, N16_BOOT, presetByName, RingContext } from '@sotto/he/rlwe';
import { Decryptor, Encryptor, KeyGenerator, SecretKey } from '@sotto/he/secret';

const { values } = parseArgs({
  options: {
    slots: { type: 'string' },
    real: { type: 'boolean', default: false },
    babySteps: { type: 'string', default: '4' },
    backend: { type: 'string' },
    threads: { type: 'string', default: '1' },
    repeat: { type: 'string', default: '3' },
    preset: { type: 'string', default: N16_BOOT.name },
  },
});
const params = presetByName(values.preset);
if (params === undefined) throw new Error(`There is no preset ${values.preset}.`);
const slots = Number(values.slots ?? params.maxSlots);
const options = { slots, realOnly: values.real, babySteps: Number(values.babySteps) };
const round = (ms) => Math.round(ms * 10) / 10;

const backend = selectBackend({
  threads: Number(values.threads),
  ...(values.backend === undefined ? {} : { name: values.backend }),
});
const context = new RingContext(params, backend.createRing({ logN: params.logN, primes: params.primes }));
const secret = SecretKey.generate(params);
const generator = new KeyGenerator(context, secret);
const keys = new EvaluationKeySet(context);
const keygenStartMs = performance.now();
for (const { id, maxLevel } of bootstrapKeyList(params, options)) {
  keys.add(EvaluationKey.expand(context, generator.make(id, maxLevel)));
}
const compileStartMs = performance.now();
const ev = new CkksEvaluator(context, keys);
const boot = new Bootstrapper(ev, options);
const readyMs = performance.now();

const wave = (i, phase) => Math.sin(1.7 * i * i + phase * i);
const z = {
  re: Float64Array.from({ length: slots }, (_, i) => wave(i, 0.3)),
  im: values.real ? null : Float64Array.from({ length: slots }, (_, i) => wave(i, 2.1)),
};
const input = new Encryptor(context, secret).encryptNew(
  ev.encoder.embed(z, ev.scaleAt(boot.inputLevel)),
  boot.inputLevel,
);
const decryptor = new Decryptor(context, secret);

let bits;
for (let repetition = 0; repetition < Number(values.repeat); repetition++) {
  const stages = {};
  const timed = (name, body) => {
    const startMs = performance.now();
    const result = body();
    stages[name] = round(performance.now() - startMs);
    return result;
  };
  const out = ev.scope(() => {
    const low = timed('slotsToCoeffsMs', () => slotsToCoeffsNew(ev, input, boot.compiled));
    const raised = timed('raiseMs', () => raiseModulusNew(ev, low, boot.plan));
    const parts = timed('coeffsToSlotsMs', () => coeffsToSlotsNew(ev, raised, boot.compiled));
    const reduced = timed('evalModMs', () => evalModPartsNew(ev, parts, boot.compiled));
    return timed('recombineMs', () => recombineNew(ev, reduced, boot.compiled));
  });
  const totalMs = round(Object.values(stages).reduce((sum, ms) => sum + ms, 0));
  console.log(JSON.stringify({ bench: 'bootstrap', repetition, ...stages, totalMs }));
  const got = ev.encoder.project(decryptor.decrypt(out), out.scale);
  let squares = 0;
  let worst = 0;
  got.re.forEach((re, i) => {
    for (const e of [re - z.re[i % slots], got.im[i] - (z.im?.[i % slots] ?? 0)]) {
      squares += e * e;
      worst = Math.max(worst, Math.abs(e));
    }
  });
  bits = { rms: -Math.log2(Math.sqrt(squares / (2 * got.re.length))), worst: -Math.log2(worst) };
  out.release();
}
console.log(
  JSON.stringify({
    bench: 'bootstrap',
    parameters: params.name,
    securityBits: params.security.bits,
    slots,
    real: values.real,
    backend: backend.name,
    isa: backend.isa,
    threads: backend.threads,
    levelsAfter: boot.outputLevel - boot.inputLevel,
    rmsBits: round(bits.rms),
    worstBits: round(bits.worst),
    keys: keys.size,
    keyBytes: keys.sizeBytes,
    peakBytes: context.ring.memory().peakBytes,
    processPeakBytes: 1024 * process.resourceUsage().maxRSS,
    keygenMs: round(compileStartMs - keygenStartMs),
    compileMs: round(readyMs - compileStartMs),
  }),
);
