// Micro-benchmark of the ring kernels. One JSON line for each kernel: the best of several runs.
//   node bench/ring.mjs [--logN 16] [--backend native|wasm] [--isa avx512|avx2|portable] [--threads 1] [--limbs 24]
import { parseArgs } from 'node:util';
import { createNativeBackend, primesBelow, selectBackend } from '@sotto/he/ring';

const { values } = parseArgs({
  options: {
    logN: { type: 'string', default: '16' },
    backend: { type: 'string' },
    isa: { type: 'string' },
    threads: { type: 'string', default: '1' },
    limbs: { type: 'string', default: '24' },
    budgetMs: { type: 'string', default: '200' },
  },
});
const [logN, threads, limbs, budgetMs] = [values.logN, values.threads, values.limbs, values.budgetMs].map(
  Number,
);

const backend =
  values.isa === undefined
    ? selectBackend({ threads, ...(values.backend === undefined ? {} : { name: values.backend }) })
    : createNativeBackend({ threads, isa: values.isa });
const special = Math.max(1, Math.ceil(limbs / 3));
const ring = backend.createRing({ logN, primes: primesBelow(2 ** 30, logN, limbs + special) });
const range = (from, to) => ring.basis(Array.from({ length: to - from }, (_, i) => from + i));
const q = range(0, limbs);
const qp = range(0, limbs + special);
const digit = range(0, special);
const digits = 3;

const [x, y, z] = [qp, qp, qp].map((basis) => {
  const at = ring.alloc(basis.size);
  ring.uniform(at, new Uint8Array(32).fill(basis.size), 1, basis);
  return at;
});
const [o0, o1, o2] = [0, 1, 2].map(() => ring.alloc(qp.size));
const key = ring.allocCold(qp.size * digits * 2);
for (let i = 0; i < 2 * digits; i++) ring.copy(key + 4 * ring.n * qp.size * i, x, qp);
const doubles = new Float64Array(ring.n).map((_, i) => (i - ring.n / 2) * 1e9);
const constants = new Uint32Array(q.size).fill(12345);
const rows16 = Array.from({ length: 16 }, () => x);

function bestMs(run) {
  run();
  let best = Number.POSITIVE_INFINITY;
  for (const endMs = performance.now() + budgetMs; performance.now() < endMs; ) {
    const startMs = performance.now();
    run();
    best = Math.min(best, performance.now() - startMs);
  }
  return best;
}

/** `rows` counts multiply-adds in rows for conversions and inner products; `bytes` is the traffic of one row. */
function report(kernel, rows, run, bytesPerElement) {
  const ms = bestMs(run);
  const nsPerElement = (ms * 1e6) / (rows * ring.n);
  console.log(
    JSON.stringify({
      kernel,
      backend: backend.name,
      isa: backend.isa,
      threads: backend.threads,
      logN,
      rows,
      ms: Number(ms.toFixed(3)),
      usPerRow: Number(((ms * 1000) / rows).toFixed(2)),
      nsPerElement: Number(nsPerElement.toFixed(4)),
      ...(bytesPerElement === undefined
        ? {}
        : { gigabytesPerSecond: Number((bytesPerElement / nsPerElement).toFixed(1)) }),
    }),
  );
}

const one = range(0, 1);
report('ntt, one row', 1, () => ring.ntt(o0, one), 8);
report('intt, one row', 1, () => ring.intt(o0, one), 8);
report('ntt', limbs, () => ring.ntt(o0, q), 16);
report('intt', limbs, () => ring.intt(o0, q), 16);
report('add', limbs, () => ring.add(o0, x, y, q), 12);
report('mul', limbs, () => ring.mul(o0, x, y, q), 12);
report('mulAdd', limbs, () => ring.mulAdd(o0, x, y, q), 16);
report('mulConst', limbs, () => ring.mulConst(o0, x, constants, q), 8);
report('mulSum of 16', 16 * limbs, () => ring.mulSum(o0, rows16, rows16, q, false), 8);
report(
  'mulSum of 16, runs of 16',
  16 * limbs,
  () =>
    ring.mulSum(
      o0,
      rows16,
      rows16.map(() => y),
      q,
      false,
      rows16.map(() => 16),
    ),
  4,
);
report('tensor', limbs, () => ring.tensor(o0, o1, o2, x, y, z, x, q, false), 28);
report('permute', limbs, () => ring.permute(o0, x, 5, q), 8);
report('copy', limbs, () => ring.copy(o0, x, q), 8);
report(`extend ${digit.size} to ${qp.size}`, qp.size - digit.size, () => ring.extend(o0, qp, x, digit));
report('divideRound, key switch', limbs, () => ring.divideRound(o0, q, x, qp));
report('divideRound, rescale by one prime', limbs - 1, () => ring.divideRound(o0, range(0, limbs - 1), x, q));
report(
  'innerProduct',
  2 * digits * qp.size,
  () => ring.innerProduct(o0, o1, [x, y, z], qp, key, qp, digits, false),
  4 + (4 * digits + 8) / (2 * digits),
);
report('liftDoubles', limbs, () => ring.liftDoubles(o0, doubles, q));
report('uniform', limbs, () => ring.uniform(o0, new Uint8Array(32), 1, q), 4);

/** One rotation's key switch: every digit extended, the inner product, both parts divided by P, the result permuted. */
function keySwitch() {
  for (let d = 0; d < digits; d++) {
    ring.extend([x, y, z][d], qp, o2, range(d * special, Math.min(limbs, (d + 1) * special)));
  }
  ring.innerProduct(o0, o1, [x, y, z], qp, key, qp, digits, false);
  ring.divideRound(x, q, o0, qp);
  ring.divideRound(y, q, o1, qp);
  ring.add(x, x, o2, q);
  ring.permute(o0, x, 5, q);
  ring.permute(o1, y, 5, q);
}
report('rotation', limbs, keySwitch);
ring.dispose();
