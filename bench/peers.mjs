// The same operations here and in other CKKS libraries, in one run on the same cores; peers that are absent or fail are skipped with a
// line on stderr. One JSON line a row, kept in build/bench/peers.jsonl; the comparison goes to docs/benchmarks.md.
//   npm run bench -- peers [--peers sotto,lattigo,openfhe,tenseal,node-seal] [--parts ops,full,sparse,small,linear]
//                          [--only REGEXP] [--repeat 5] [--passes 1] [--add] [--docs docs/benchmarks.md] [--noDocs] [--fresh]
import { spawn } from 'node:child_process';
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { freemem } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { reportSecurity } from '@sotto/he/rlwe';
import { machine, referenceMs } from './he/machine.mjs';
import { rowText } from './he/rows.mjs';
import * as install from './peers/install.mjs';
import { writeReport } from './peers/report.mjs';

const { values } = parseArgs({
  options: {
    peers: { type: 'string', default: 'sotto,lattigo,openfhe,tenseal,node-seal' },
    parts: { type: 'string', default: 'ops,full,sparse,small,linear' },
    repeat: { type: 'string', default: '5' },
    /** How often the whole list is run; the report takes the least times. */
    passes: { type: 'string', default: '1' },
    /** Adds to the rows of the same parts instead of replacing them. */
    add: { type: 'boolean', default: false },
    out: { type: 'string', default: fileURLToPath(new URL('../build/bench/peers.jsonl', import.meta.url)) },
    docs: { type: 'string', default: fileURLToPath(new URL('../docs/benchmarks.md', import.meta.url)) },
    /** Only steps whose peer and name match this expression. */
    only: { type: 'string', default: '' },
    noDocs: { type: 'boolean', default: false },
    /** Rows of earlier runs of other parts stay in the file unless this says otherwise. */
    fresh: { type: 'boolean', default: false },
    json: { type: 'boolean', default: true },
  },
});
const { repeat } = values;
const he = fileURLToPath(new URL('he.mjs', import.meta.url));
const sotto = (config, part) => ({
  peer: 'sotto',
  name: `${part} on ${config}`,
  gigabytes: part === 'full' ? 6 : 3,
  command: () => [
    process.execPath,
    he,
    '--inProcess',
    '--configs',
    config,
    '--parts',
    part,
    '--repeat',
    repeat,
  ],
});
const lattigo = (threads, gigabytes, ...args) => ({
  peer: 'lattigo',
  name: args.join(' '),
  gigabytes,
  // Two goroutines a row are part of the program; the collector gets no cores beyond them.
  env: { GOMAXPROCS: String(threads) },
  command: () => [install.lattigo(), ...args.map(String), String(threads)],
});
const openfhe = (threads, gigabytes, ...args) => ({
  peer: 'openfhe',
  name: `${args[0]} with ${threads} threads`,
  gigabytes,
  env: { OMP_NUM_THREADS: String(threads) },
  command: () => [...install.openfhe(), ...args.map(String)],
});

/** Ours stands beside the peers' of the same part: what else the machine does then hits both. */
const parts = {
  ops: [
    sotto('native-1', 'equal'),
    lattigo(1, 3, 'micro', 16, 24, 8, repeat),
    openfhe(1, 3, 'micro', repeat),
    sotto('native-2', 'equal'),
    lattigo(2, 4, 'micro', 16, 24, 8, repeat),
    openfhe(2, 3, 'micro', repeat),
    sotto('wasm-1', 'equal'),
  ],
  full: [
    sotto('native-1', 'full'),
    lattigo(2, 16.5, 'boot', 15, 1),
    sotto('native-2', 'full'),
    openfhe(1, 14, 'boot', 1),
    openfhe(2, 14, 'boot', 1),
    sotto('wasm-1', 'full'),
  ],
  sparse: [sotto('native-1', 'sparse'), lattigo(1, 9, 'boot', 11, 1), sotto('native-2', 'sparse')],
  small: [
    sotto('native-1', 'small'),
    { peer: 'node-seal', name: 'node-seal', gigabytes: 1, command: () => [...install.nodeSeal(), repeat] },
    sotto('wasm-1', 'small'),
  ],
  linear: [
    sotto('native-1', 'tiny'),
    { peer: 'tenseal', name: 'tenseal', gigabytes: 1, command: () => [...install.tenseal(), repeat] },
    sotto('native-2', 'tiny'),
    sotto('wasm-1', 'tiny'),
    sotto('native-1', 'linear'),
  ],
};

/** Our own judgement of a peer's parameters: the weakest of its secrets. */
function finish(row) {
  const { logN, weight, ephemeralWeight, ephemeralLogQP, ...rest } = row;
  if (logN === undefined) return rest;
  const bitsOf = (count, logQP) =>
    reportSecurity({
      logN,
      logQP,
      secret: count ? { kind: 'fixedWeight', weight: count } : { kind: 'uniformTernary' },
    }).bits;
  const securityBits = Math.min(
    bitsOf(weight, row.logQP),
    ephemeralWeight ? bitsOf(ephemeralWeight, ephemeralLogQP) : Number.POSITIVE_INFINITY,
  );
  return { ...rest, securityBits };
}

mkdirSync(new URL('../build/bench/', import.meta.url), { recursive: true });
const chosen = values.parts.split(',').filter(Boolean);
const earlier = values.fresh
  ? []
  : readRows(values.out).filter((row) => values.add || !chosen.includes(row.part));
const about = machine();
writeFileSync(values.out, earlier.map((row) => `${JSON.stringify(row)}\n`).join(''));

for (const part of new Array(Number(values.passes)).fill(chosen).flat()) {
  if (!Object.hasOwn(parts, part)) throw new Error(`There is no part ${part}.`);
  for (const step of parts[part]) {
    if (!values.peers.split(',').includes(step.peer)) continue;
    if (!new RegExp(values.only).test(`${step.peer} ${step.name}`)) continue;
    try {
      const freeGigabytes = freemem() / 1e9;
      if (freeGigabytes < step.gigabytes) {
        throw new Error(`needs ${step.gigabytes} GB of memory, ${freeGigabytes.toFixed(1)} are free`);
      }
      await measure(part, step);
    } catch (error) {
      console.error(`skipped: ${step.peer} ${step.name}: ${error.message}`);
    }
  }
}
if (!values.noDocs) writeReport(values.docs, readRows(values.out));

async function measure(part, { peer, command, env }) {
  const [program, ...args] = command();
  const reference = referenceMs();
  const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let complaint = '';
  child.stderr.on('data', (text) => {
    complaint = (complaint + text).slice(-4000);
  });
  const status = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(code ?? signal));
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const row = { referenceMs: reference, ...finish(JSON.parse(line)) };
    console.log(rowText(row));
    appendFileSync(values.out, `${JSON.stringify({ part, machine: about, ...JSON.parse(rowText(row)) })}\n`);
  }
  const ended = await status;
  if (ended !== 0)
    throw new Error(`${peer} ended with ${ended}: ${complaint.trim().split('\n').at(-1)?.slice(0, 160)}`);
}

function readRows(path) {
  try {
    return readFileSync(path, 'utf8')
      .trim()
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  } catch (error) {
    if (error.code === 'ENOENT') return [];
    throw error;
  }
}
