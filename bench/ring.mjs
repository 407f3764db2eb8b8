// The kernels of a ring against what the processor allows: one JSON line a kernel, from the least CPU time of several runs.
//   npm run bench -- ring [--logN 16] [--limbs 41] [--digits 3] [--isa avx512|avx2] [--backend wasm] [--threads 1] [--budgetMs 300]
//                         [--pipes 4] [--multipliers 2] [--docs docs/kernels.md]
// `--docs` replaces the tables of that document: both instruction sets, at the modulus of the peers' sets and of the transformer.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createNativeBackend, primesBelow, selectBackend } from '@sotto/he/ring';
import { machine } from './he/machine.mjs';
import { clockGHz, costs, limitUs, together } from './ring/limits.mjs';

const { values } = parseArgs({
  options: {
    logN: { type: 'string', default: '16' },
    backend: { type: 'string' },
    isa: { type: 'string' },
    threads: { type: 'string', default: '1' },
    limbs: { type: 'string', default: '41' },
    digits: { type: 'string', default: '3' },
    budgetMs: { type: 'string', default: '300' },
    /** Vector pipes and those of them that multiply, 256 bits wide. */
    pipes: { type: 'string', default: '4' },
    multipliers: { type: 'string', default: '2' },
    docs: { type: 'string' },
  },
});
if (values.docs === undefined) measure();
else writeDocs(values.docs);

function measure() {
  const [logN, threads, limbs, digitCount, budgetMs, pipes, multipliers] = [
    'logN',
    'threads',
    'limbs',
    'digits',
    'budgetMs',
    'pipes',
    'multipliers',
  ].map((name) => Number(values[name]));
  const backend =
    values.isa === undefined
      ? selectBackend({ threads, ...(values.backend === undefined ? {} : { name: values.backend }) })
      : createNativeBackend({ threads, isa: values.isa });
  const special = Math.ceil(limbs / digitCount) + 1;
  const ring = backend.createRing({ logN, primes: primesBelow(2 ** 30, logN, limbs + special) });
  const range = (from, to) => ring.basis(Array.from({ length: to - from }, (_, i) => from + i));
  const q = range(0, limbs);
  const qp = range(0, limbs + special);
  const below = range(0, limbs - 1);
  const size = Math.ceil(limbs / digitCount);
  const digits = Array.from({ length: digitCount }, (_, d) =>
    range(d * size, Math.min(limbs, (d + 1) * size)),
  );
  const fresh = (domain) => {
    const at = ring.alloc(qp.size);
    ring.uniform(at, new Uint8Array(32).fill(7), domain, qp);
    return at;
  };
  const [x, y, z, w] = [1, 2, 3, 4].map(fresh);
  const outs = digits.map((_, d) => fresh(10 + d));
  const [o0, o1, o2, r0, r1] = [20, 21, 22, 23, 24].map(fresh);
  const key = ring.allocCold(qp.size * digitCount * 2);
  for (let i = 0; i < 2 * digitCount; i++) ring.copy(key + 4 * ring.n * qp.size * i, x, qp);
  const constants = new Uint32Array(q.size).fill(12345);

  const lanes = { avx512: 16, avx2: 8 }[backend.isa] ?? 0;
  const cpu = { lanes, ghz: lanes === 0 ? 0 : clockGHz(), pipes, multipliers };
  const cost = lanes === 0 ? null : costs({ lanes, logN, sources: size, digits: digitCount });

  /** Least CPU time (with threads: wall time) in microseconds. */
  function bestUs(run) {
    run();
    let best = Number.POSITIVE_INFINITY;
    let runs = 0;
    for (const endMs = performance.now() + budgetMs; runs < 8 || performance.now() < endMs; runs++) {
      const startMs = performance.now();
      const before = process.cpuUsage();
      run();
      const { user, system } = process.cpuUsage(before);
      best = Math.min(best, threads > 1 ? (performance.now() - startMs) * 1000 : user + system);
    }
    return best;
  }

  const bandwidths = new Map();
  /** Bytes a second, reads and writes, of copies that touch about as many bytes. */
  function bandwidth(bytes) {
    const rows = Math.max(1, Math.min(qp.size * 8, 2 ** Math.round(Math.log2(bytes / (8 * ring.n)))));
    let known = bandwidths.get(rows);
    if (known === undefined) {
      const from = ring.alloc(rows);
      const to = ring.alloc(rows);
      const one = range(0, 1);
      const bases = [];
      for (let left = rows; left > 0; left -= qp.size) bases.push(left >= qp.size ? qp : range(0, left));
      for (let row = 0; row < rows; row++) ring.zero(from + 4 * ring.n * row, one);
      const us = bestUs(() => {
        let at = 0;
        for (const basis of bases) {
          ring.copy(to + at, from + at, basis);
          at += 4 * ring.n * basis.size;
        }
      });
      known = (8 * rows * ring.n) / (us * 1000);
      bandwidths.set(rows, known);
      ring.free(from);
      ring.free(to);
    }
    return known;
  }

  const round = (value, digitsKept = 3) => Number(value.toPrecision(digitsKept));
  /** `rows` are rows of work in the unit of the cost; `repeats` how often a run does that work on the same memory. */
  function report(kernel, unit, rows, run, kernelCost, parts) {
    const us = bestUs(run);
    const whole =
      parts ??
      (kernelCost
        ? { m: kernelCost.m * rows, all: kernelCost.all * rows, bytes: kernelCost.bytes * rows }
        : null);
    const line = {
      kernel,
      unit,
      backend: backend.name,
      isa: backend.isa,
      threads,
      logN,
      limbs,
      digits: digitCount,
      rows,
    };
    if (lanes === 0 || whole === null) {
      console.log(JSON.stringify({ ...line, measuredUs: round(us / rows) }));
      return;
    }
    const gigabytesPerSecond = bandwidth(whole.bytes * ring.n);
    const limit = limitUs(whole, ring.n, cpu, gigabytesPerSecond);
    console.log(
      JSON.stringify({
        ...line,
        instructions: round(whole.all / rows),
        multiplications: round(whole.m / rows),
        bytes: round(whole.bytes / rows),
        pipesUs: round(limit.computeUs / rows),
        memoryUs: round(limit.memoryUs / rows),
        measuredUs: round(us / rows),
        ratio: round(limit.us / us, 2),
        ghz: round(cpu.ghz),
        gigabytesPerSecond: round(gigabytesPerSecond),
      }),
    );
  }

  const one = range(0, 1);
  report('NTT, row in cache', 'row', 1, () => ring.ntt(o0, one), cost && { ...cost.ntt, bytes: 8 });
  report('NTT', 'row', limbs, () => ring.ntt(o0, q), cost?.ntt);
  report('inverse NTT', 'row', limbs, () => ring.intt(o0, q), cost?.intt);
  report('add', 'row', limbs, () => ring.add(o0, x, y, q), cost?.add);
  report('mul', 'row', limbs, () => ring.mul(o0, x, y, q), cost?.mul);
  report('mulConst', 'row', limbs, () => ring.mulConst(o0, x, constants, q), cost?.mulConst);
  report('tensor', 'row', limbs, () => ring.tensor(o0, o1, o2, x, y, z, w, q, false), cost?.tensor);
  report('permute', 'row', limbs, () => ring.permute(o0, x, 5, q), cost?.permute);
  report(
    'inner product',
    'row, digit and half',
    2 * digitCount * qp.size,
    () => ring.innerProduct(o0, o1, outs, qp, key, qp, digitCount, false),
    cost?.innerProduct,
  );

  const extendRows = digits.reduce((sum, digit) => sum + qp.size - digit.size, 0);
  const macs = digits.reduce((sum, digit) => sum + digit.size * (qp.size - digit.size), 0);
  const decomposition = cost && [
    [cost.intt, limbs],
    [cost.conversion, macs],
    [cost.ntt, extendRows],
  ];
  const division = (to) =>
    cost && [
      [cost.intt, 2 * (qp.size - to.size)],
      [cost.conversion, 2 * (qp.size - to.size) * to.size],
      [cost.ntt, 2 * to.size],
      [cost.divideEnd, 2 * to.size],
    ];
  const product = cost && [[cost.innerProduct, 2 * digitCount * qp.size]];
  const sum = (...parts) => cost && together(parts.flat());
  report('decomposition', 'whole', 1, () => ring.decompose(outs, qp, x, q, digits), null, sum(decomposition));
  const keySwitch = () => ring.keySwitch(o0, o1, outs, qp, x, q, digits, key, qp, digitCount);
  report('decomposition and inner product', 'whole', 1, keySwitch, null, sum(decomposition, product));
  report(
    'division by P, both halves',
    'whole',
    1,
    () => ring.divideRoundMany([r0, r1], q, [o0, o1], qp),
    null,
    sum(division(q)),
  );
  const extra = (kernelCost, rows) => cost && [[kernelCost, rows]];
  report(
    'rotation',
    'whole',
    1,
    () => {
      keySwitch();
      ring.mulConstAdd(o0, x, constants, q);
      ring.divideRoundMany([r0, r1], q, [o0, o1], qp);
      ring.permute(o0, r0, 5, q);
      ring.permute(o1, r1, 5, q);
    },
    null,
    sum(decomposition, product, division(q), extra(cost?.mulConst, limbs), extra(cost?.permute, 2 * limbs)),
  );
  report(
    'ct*ct, relinearised and rescaled',
    'whole',
    1,
    () => {
      ring.tensor(r0, r1, o2, x, y, z, w, q, false);
      ring.keySwitch(o0, o1, outs, qp, o2, q, digits, key, qp, digitCount);
      ring.mulConstAdd(o0, r0, constants, q);
      ring.mulConstAdd(o1, r1, constants, q);
      ring.divideRoundMany([r0, r1], below, [o0, o1], qp);
    },
    null,
    sum(
      extra(cost?.tensor, limbs),
      decomposition,
      product,
      extra(cost?.mulConst, 2 * limbs),
      division(below),
    ),
  );
  ring.dispose();
}

/** Replaces what stands between the markers of a document by the tables of this machine. */
function writeDocs(path) {
  const about = machine();
  const text = [
    `${about.processor}, one thread, ${about.date}, node ${about.node}; load of the machine before the run: ${about.load}.`,
  ];
  for (const [title, limbs, digits] of [
    ['log Q 1210: 41 primes in 3 digits', 41, 3],
    ['The levels of the transformer: 20 primes in 2 digits', 20, 2],
  ]) {
    for (const isa of ['avx512', 'avx2']) {
      const args = [
        fileURLToPath(import.meta.url),
        '--isa',
        isa,
        '--limbs',
        String(limbs),
        '--digits',
        String(digits),
      ];
      const { stdout } = spawnSync(process.execPath, [...args, '--budgetMs', values.budgetMs], {
        encoding: 'utf8',
      });
      const rows = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
      text.push('', `### ${title}, ${isa} at ${rows[0].ghz} GHz`, '');
      text.push(
        '| kernel | per | instructions (multiplications) | bytes | pipes, us | memory, us (GB/s) | measured, us | limit / measured |',
      );
      text.push('|---|---|---|---|---|---|---|---|');
      for (const row of rows) {
        const cells = [
          row.kernel,
          row.unit,
          `${row.instructions} (${row.multiplications})`,
          row.bytes,
          row.pipesUs,
          `${row.memoryUs} (${row.gigabytesPerSecond})`,
          row.measuredUs,
          `${Math.round(100 * row.ratio)} %`,
        ];
        text.push(`| ${cells.join(' | ')} |`);
      }
    }
  }
  const [begin, end] = ['<!-- measured -->', '<!-- end -->'];
  const old = readFileSync(path, 'utf8');
  const from = old.indexOf(begin) + begin.length;
  writeFileSync(path, `${old.slice(0, from)}\n${text.join('\n')}\n${old.slice(old.indexOf(end))}`);
}
