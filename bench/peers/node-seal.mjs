// Measures node-seal (SEAL in WebAssembly): one JSON line a row.   node node-seal.mjs PACKAGE_FOLDER REPEAT
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [folder, repeatText] = process.argv.slice(2);
const repeat = Number(repeatText);
const require = createRequire(join(folder, 'package.json'));
const SEAL = require('node-seal');
const { version } = require('node-seal/package.json');

const seal = await SEAL();
const logN = 15;
const n = 2 ** logN;
const sizes = [60, ...new Array(11).fill(50), 60];
const base = {
  peer: 'node-seal',
  version,
  threads: 1,
  params: 'N15 12x50 special 1x60',
  logN,
  logQP: sizes.reduce((sum, bits) => sum + bits, 0),
  weight: 0,
  ephemeralWeight: 0,
  ephemeralLogQP: 0,
};

function best(work) {
  let [ms, cpuMs] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let i = 0; i < repeat; i++) {
    const cpu = process.cpuUsage();
    const startMs = performance.now();
    work();
    ms = Math.min(ms, performance.now() - startMs);
    const { user, system } = process.cpuUsage(cpu);
    cpuMs = Math.min(cpuMs, (user + system) / 1000);
  }
  return { ms, cpuMs };
}
function report(op, times, more = {}) {
  const peakRssMB = Math.round(process.resourceUsage().maxRSS / 1000);
  console.log(JSON.stringify({ ...base, op, ...times, ...more, peakRssMB }));
}
function precision(got, want) {
  let [squares, worst] = [0, 0];
  want.forEach((value, i) => {
    const error = Math.abs(got[i] - value);
    squares += error * error;
    worst = Math.max(worst, error);
  });
  return { bits: -Math.log2(Math.sqrt(squares / want.length)), bitsWorst: -Math.log2(worst) };
}

const parms = seal.EncryptionParameters(seal.SchemeType.ckks);
parms.setPolyModulusDegree(n);
parms.setCoeffModulus(seal.CoeffModulus.Create(n, Int32Array.from(sizes)));
const context = seal.Context(parms, true, seal.SecurityLevel.tc128);
const generator = seal.KeyGenerator(context);
const secret = generator.secretKey();
const relin = generator.createRelinKeys();
const galois = generator.createGaloisKeys(Int32Array.from([1]));
const encoder = seal.CKKSEncoder(context);
const encryptor = seal.Encryptor(context, generator.createPublicKey(), secret);
const decryptor = seal.Decryptor(context, secret);
const evaluator = seal.Evaluator(context);
const scale = 2 ** 50;
const wave = (rate) => Float64Array.from({ length: n / 2 }, (_, i) => Math.sin(rate * (i + 1) ** 2));
const [x, y] = [wave(1.7), wave(0.9)];
const plain = seal.PlainText();
const other = encoder.encode(y, scale);
report(
  'encode',
  best(() => encoder.encode(x, scale, plain)),
);
const a = seal.CipherText();
report(
  'encrypt',
  best(() => encryptor.encryptSymmetric(plain, a)),
);
const b = encryptor.encryptSymmetric(other);
const decode = (ct) => encoder.decode(decryptor.decrypt(ct));
let got;
report(
  'decode',
  best(() => (got = decode(a))),
  precision(got, x),
);
const out = seal.CipherText();
report(
  'rotation',
  best(() => evaluator.rotateVector(a, 1, galois, out)),
  {
    ...precision(
      decode(out),
      x.map((_, i) => x[(i + 1) % x.length]),
    ),
    levelsOut: 11,
  },
);
report(
  'ct*ct+relin+rescale',
  best(() => {
    evaluator.multiply(a, b, out);
    evaluator.relinearize(out, relin, out);
    evaluator.rescaleToNext(out, out);
  }),
  {
    ...precision(
      decode(out),
      x.map((v, i) => v * y[i]),
    ),
    levelsOut: 10,
  },
);
report(
  'pt*ct',
  best(() => evaluator.multiplyPlain(a, other, out)),
);
