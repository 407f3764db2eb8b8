// Rows to a page: tables of times and ratios, the list of targets, a plot.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';

/** One thread: CPU time, which a busy machine disturbs least. Several threads: wall time. */
const timeOf = (row) => (row.threads === 1 ? row.cpuMs : row.ms);
const isWasm = (row) => row.backend?.startsWith('wasm') ?? false;

/** Repeated rows as one: the least times, the largest memory. Order of first appearance. */
export function mergePasses(rows) {
  const merged = new Map();
  for (const row of rows) {
    const name = JSON.stringify([row.part, row.peer, row.backend, row.op, row.params, row.threads]);
    const known = merged.get(name) ?? row;
    merged.set(name, {
      ...row,
      ms: Math.min(row.ms, known.ms),
      cpuMs: Math.min(row.cpuMs, known.cpuMs),
      peakRssMB: Math.max(row.peakRssMB, known.peakRssMB),
    });
  }
  return [...merged.values()];
}

export function writeReport(path, everyRow) {
  const rows = mergePasses(everyRow);
  const find = (peer, op, part, { threads = 1, wasm = false } = {}) =>
    rows.findLast(
      (row) =>
        row.peer === peer &&
        row.op === op &&
        row.part === part &&
        row.threads === threads &&
        isWasm(row) === wasm &&
        !(part === 'linear' && peer === 'sotto' && row.params.startsWith('N16')),
    );
  const targets = judge(find);
  const plotPath = path.replace(/\.md$/, '-ratios.svg');
  writeFileSync(plotPath, plot(targets.filter(({ ratio }) => ratio !== undefined)));
  writeFileSync(path, page(rows, everyRow, find, targets, basename(plotPath)));
}

function page(rows, everyRow, find, targets, plotName) {
  const about = rows.at(-1)?.machine;
  const versions = [...new Set(rows.map(({ peer, version }) => `${peer} ${version}`))].sort();
  const dates = [...new Set(rows.map((row) => row.machine.date))].sort();
  const references = everyRow.map((row) => row.referenceMs).filter((ms) => ms !== undefined);
  const spread = references.length > 0 ? Math.max(...references) / Math.min(...references) : 1;
  const busy =
    Math.max(...everyRow.map((row) => row.machine.load)) < 1.5
      ? ''
      : ` Other work ran on the machine at the same time. It may slow
the programs that stream the most memory, the peers, more than ours: on an idle machine ratios can be smaller.`;
  const loads = everyRow.map((row) => row.machine.load);
  return `# Beside other libraries

Written by \`npm run bench -- peers\`; nothing here is typed by hand. The ratio is the claim: times belong to one machine.

Machine: ${about.cores} cores ${about.processor}, ${about.memoryGB} GB, Node ${about.node.slice(1)}; ${dates.join(', ')}. Versions: ${versions.join(', ')}.
Load of the machine before the measurements: ${Math.min(...loads)} to ${Math.max(...loads)} runnable processes; the CPU time of a fixed
reference kernel, taken before every program, varied by ${((spread - 1) * 100).toFixed(0)} %: read no ratio more exactly than that.${busy}

- Every time is the least of its repetitions and passes. One thread: CPU time, because other work on the machine disturbs it least; rows with two threads: wall time,
  which other work does disturb.
- Lattigo has no threads inside an operation. Its rows with two threads work on two ciphertexts at once, at half the wall time each.
- *bits* are -log2 of the error of a component, rms (worst). *security* is our own table's, for the weakest secret of the set.
- *decode* goes from a ciphertext to numbers; *encrypt* from encoded numbers to a ciphertext, under the secret key where the library can
  (OpenFHE: public key), and in ours includes the transform of the message; *8 rotations hoisted* is all eight.

![ratios](${plotName})

## Against the targets

| what | measured | must | goal | |
|---|---|---|---|---|
${targets.map(({ what, text, must, goal, verdict }) => `| ${what} | ${text} | ${must} | ${goal} | ${verdict} |`).join('\n')}

## Operations at one modulus: N = 2^16, log Q 1210, three digits

${operations(find)}

## Bootstrapping: N = 2^16

${bootstrapping(rows)}

## N = 2^15, log Q 610: SEAL in WebAssembly

${ratios(rows, 'small', 'node-seal')}

SEAL switches keys with one digit a limb and one special prime; ours with three digits.

## Clear matrix 768x768 times an encrypted vector

${ratios(rows, 'linear', 'tenseal')}

TenSEAL encodes the matrix within the product; ours is encoded once beforehand.

## First token of the demo

${demoTable()}
`;
}

/** Runs of `npm run bench -- demo` beside the accepted ones of earlier bootstrappings (`bench/results/demo-before.jsonl`). */
function demoTable() {
  const read = (name) => {
    const url = new URL(`../results/${name}`, import.meta.url);
    if (!existsSync(url)) return [];
    return readFileSync(url, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  };
  const [before, now] = [read('demo-before.jsonl'), read('demo.jsonl')];
  const lines = now.map((row) => {
    const old = before.find(({ run }) => run === row.run);
    const first = row.seconds.prefill;
    const compared = old
      ? [`${old.model}, ${old.seconds.prefill} s`, times(old.seconds.prefill / first)]
      : ['', ''];
    const refreshes =
      row.bootstraps > 0 ? `${row.bootstraps / row.passes} bootstraps a pass` : 'by the client';
    return `| ${row.model} | ${row.run} | ${refreshes} | **${first} s** | ${row.seconds.perToken[0] ?? ''} s | ${compared.join(' | ')} |`;
  });
  return [
    '| model | run | refreshes | first token | following | before | ratio |',
    '|---|---|---|---|---|---|---|',
    ...lines,
    '',
    '*before* is the demo with one bootstrapping for every refresh, and with stories260K as its default; rows of one model compare the',
    'bootstrappings alone, those of sotto-stories-2x128 the default demo as a whole. The first token includes encoding the weights.',
  ].join('\n');
}

const number = (ms) =>
  ms >= 1000 ? `${(ms / 1000).toFixed(2)} s` : ms >= 10 ? `${ms.toFixed(1)} ms` : `${ms.toFixed(3)} ms`;
const times = (ratio) => `${ratio.toFixed(ratio < 100 ? 1 : 0)}x`;
const bits = (row) => (row.bits == null ? '' : `${row.bits.toFixed(1)} (${row.bitsWorst.toFixed(1)})`);
const gigabytes = (bytes) => (bytes == null ? '' : `${(bytes / 1e9).toFixed(2)} GB`);

function limbsOf(row) {
  return Number(/(\d+) limbs/.exec(row.params)?.[1] ?? /(\d+)x50/.exec(row.params)?.[1]);
}

function operations(find) {
  const ops = [
    'ntt/limb',
    'rotation',
    '8 rotations hoisted',
    'ct*ct+relin+rescale',
    'pt*ct',
    'encode',
    'encrypt',
    'decode',
  ];
  const lines = [
    '| operation | threads | sotto | Lattigo | ratio | OpenFHE | ratio | sotto in WebAssembly |',
    '|---|---|---|---|---|---|---|---|',
  ];
  for (const threads of [1, 2]) {
    for (const op of ops) {
      const rows = ['sotto', 'lattigo', 'openfhe'].map((peer) => find(peer, op, 'ops', { threads }));
      const wasm = threads === 1 ? find('sotto', op, 'ops', { wasm: true }) : undefined;
      if (rows[0] === undefined || (threads > 1 && rows[1] === undefined && rows[2] === undefined)) continue;
      const scale = (row) => timeOf(row) * (op === 'ntt/limb' ? limbsOf(row) : 1);
      const cell = (row) =>
        row === undefined ? '' : `${number(scale(row))}${row.bits == null ? '' : `, ${bits(row)} bits`}`;
      const ratio = (row) => (row === undefined ? '' : `**${times(scale(row) / scale(rows[0]))}**`);
      const name = op === 'ntt/limb' ? 'NTT of a polynomial' : op;
      lines.push(
        `| ${name} | ${threads} | ${cell(rows[0])} | ${cell(rows[1])} | ${ratio(rows[1])} | ${cell(rows[2])} | ${ratio(rows[2])} | ${cell(wasm)} |`,
      );
    }
  }
  const sets = ['sotto', 'lattigo', 'openfhe'].map((peer) => find(peer, 'rotation', 'ops')).filter(Boolean);
  const facts = sets.map(
    (r) =>
      `${r.peer} ${r.params}: log QP ${Math.round(r.logQP)}, ${r.securityBits} bits of security, key ${(r.keyBytes / 1e6).toFixed(0)} MB`,
  );
  return `${lines.join('\n')}\n\n${facts.join('; ')}.`;
}

function bootstrapping(rows) {
  const lines = [
    '| library | set | threads | bootstrap | bits | levels left | log QP | security | keys | keygen | matrices | peak |',
    '|---|---|---|---|---|---|---|---|---|---|---|---|',
  ];
  const setups = {};
  for (const row of rows.filter(({ part }) => part === 'full' || part === 'sparse')) {
    const run = `${row.peer} ${row.backend ?? ''} ${row.params}`;
    const key = row.peer === 'lattigo' ? run : `${run} ${row.threads}`;
    setups[key] ??= {};
    if (row.op !== 'bootstrap') {
      setups[key][row.op] = row;
      continue;
    }
    const { 'bootstrap keygen': keygen, 'bootstrap matrices': matrices } = setups[key];
    lines.push(
      `| ${row.peer}${row.backend ? ` ${row.backend}` : ''} | ${row.params} | ${row.threads}${row.concurrent ? ', two at once' : ''} | **${number(timeOf(row))}** | ${bits(row)} | ${row.levelsOut} | ${Math.round(row.logQP)} | ${row.securityBits} | ${gigabytes(row.keyBytes)} | ${number(timeOf(keygen))} | ${number(timeOf(matrices))} | ${(row.peakRssMB / 1000).toFixed(1)} GB |`,
    );
  }
  return `${lines.join('\n')}\n\nLevels left: Lattigo's and ours have 40 bits, OpenFHE's 50; OpenFHE refreshes real slots, the others complex ones.`;
}

function ratios(rows, part, peer) {
  const lines = [
    '| operation | library | set | threads | time | bits | security | peak | ratio |',
    '|---|---|---|---|---|---|---|---|---|',
  ];
  const there = rows.filter((row) => row.part === part);
  for (const row of there) {
    const other = there.find((r) => r.peer === peer && r.op === row.op);
    if (other === undefined || !there.some((r) => r.peer === 'sotto' && r.op === row.op)) continue;
    lines.push(
      `| ${row.op} | ${row.peer}${row.backend ? ` ${row.backend}` : ''} | ${row.params} | ${row.threads} | ${number(timeOf(row))} | ${bits(row)} | ${row.securityBits} | ${row.peakRssMB} MB | ${row === other ? '' : `**${times(timeOf(other) / timeOf(row))}**`} |`,
    );
  }
  return lines.join('\n');
}

/** Every target with what was measured. Ratios are the peer's time over ours. */
function judge(find) {
  const out = [];
  const atLeast = (what, peer, ours, must, goal, precision) => {
    if (peer === undefined || ours === undefined) {
      out.push({
        what,
        text: 'not measured',
        must: `>= ${must}x`,
        goal: `>= ${goal}x`,
        verdict: 'not measured',
      });
      return;
    }
    const ratio = peer / ours;
    const precise = (least) => precision === undefined || precision.bits >= precision[least];
    const verdict =
      ratio >= goal && precise('goal') ? 'goal met' : ratio >= must && precise('must') ? 'met' : '**missed**';
    const note = (least) => (precision === undefined ? '' : ` at >= ${precision[least]} bits`);
    out.push({
      what,
      ratio,
      goalRatio: goal,
      mustRatio: must,
      text: `**${ratio.toFixed(2)}x**${precision === undefined ? '' : ` at ${precision.bits.toFixed(1)} bits`}`,
      must: `>= ${must}x${note('must')}`,
      goal: `>= ${goal}x${note('goal')}`,
      verdict,
    });
  };
  const atMost = (what, value, must, goal, unit) => {
    const verdict =
      value === undefined
        ? 'not measured'
        : value <= goal
          ? 'goal met'
          : value <= must
            ? 'met'
            : '**missed**';
    const text = value === undefined ? 'not measured' : `**${value.toFixed(2)} ${unit}**`;
    out.push({ what, text, must: `<= ${must} ${unit}`, goal: `<= ${goal} ${unit}`, verdict });
  };
  const time = (row) => row && timeOf(row);
  const polynomial = (row) => row && timeOf(row) * limbsOf(row);
  const ops = (peer, op, options) => find(peer, op, 'ops', options);
  const full = (peer, options, op = 'bootstrap') => find(peer, op, 'full', options);

  atLeast(
    'NTT of a polynomial at equal log Q, against Lattigo',
    polynomial(ops('lattigo', 'ntt/limb')),
    polynomial(ops('sotto', 'ntt/limb')),
    3.5,
    6,
  );
  for (const op of ['rotation', 'ct*ct+relin+rescale'])
    atLeast(`${op}, against Lattigo`, time(ops('lattigo', op)), time(ops('sotto', op)), 3.5, 5.5);
  atLeast(
    'full-slot bootstrapping, 1 thread, against Lattigo',
    time(full('lattigo')),
    time(full('sotto')),
    4,
    8,
    full('sotto') && { bits: full('sotto').bits, must: 20, goal: 22 },
  );
  atLeast(
    'the same, 2 threads, against OpenFHE with 2',
    time(full('openfhe', { threads: 2 })),
    time(full('sotto', { threads: 2 })),
    6,
    10,
  );
  atLeast(
    'the same, 2 threads, against Lattigo (1 thread within a ciphertext)',
    full('lattigo')?.ms,
    time(full('sotto', { threads: 2 })),
    7,
    12,
  );
  atLeast(
    'bootstrapping of 2,048 slots, 1 thread, against Lattigo',
    time(find('lattigo', 'bootstrap', 'sparse')),
    time(find('sotto', 'bootstrap', 'sparse')),
    6,
    12,
  );
  const ours = full('sotto');
  atMost('keys of full-slot bootstrapping', ours && ours.keyBytes / 1e9, 2.5, 1.2, 'GB');
  atMost('peak memory of that run', ours && ours.peakRssMB / 1000, 6, 3, 'GB');
  const setup = ['bootstrap keygen', 'bootstrap matrices'].map((op) => time(full('sotto', {}, op)));
  atMost('key generation and matrices, 1 thread', ours && (setup[0] + setup[1]) / 1000, 20, 6, 's');
  for (const op of ['encode', 'encrypt', 'decode']) {
    const peers = ['lattigo', 'openfhe'].map((peer) => time(ops(peer, op))).filter((ms) => ms !== undefined);
    atLeast(
      `${op}, against the best peer`,
      peers.length ? Math.min(...peers) : undefined,
      time(ops('sotto', op)),
      1,
      3,
    );
  }
  atLeast(
    'WebAssembly, rotation, against native Lattigo',
    time(ops('lattigo', 'rotation')),
    time(ops('sotto', 'rotation', { wasm: true })),
    1.3,
    2,
  );
  atLeast(
    'WebAssembly, full-slot bootstrapping, against native Lattigo',
    time(full('lattigo')),
    time(full('sotto', { wasm: true })),
    1,
    2,
  );
  atMost(
    '768x768 clear matrix times encrypted vector',
    time(find('sotto', 'linear 768x768', 'linear')),
    186,
    25,
    'ms',
  );
  return out;
}

/** Bars of the ratios on a logarithmic scale with a mark at what must be reached. */
function plot(targets) {
  const [left, barHeight, width] = [430, 22, 900];
  const height = 40 + targets.length * barHeight;
  const x = (ratio) => left + (Math.log2(Math.max(ratio, 0.5)) + 1) * 85;
  const text = (at, y, anchor, value) => `<text x="${at}" y="${y}" text-anchor="${anchor}">${value}</text>`;
  const lines = [0.5, 1, 2, 4, 8, 16].map(
    (r) =>
      `<line x1="${x(r)}" x2="${x(r)}" y1="24" y2="${height - 8}" stroke="#ccc"/>${text(x(r), 18, 'middle', `${r}x`)}`,
  );
  const bars = targets.map(({ what, ratio, mustRatio }, i) => {
    const y = 28 + i * barHeight;
    const colour = ratio >= mustRatio ? '#2f7d4f' : '#b3552e';
    const mark = `<line x1="${x(mustRatio)}" x2="${x(mustRatio)}" y1="${y}" y2="${y + 16}" stroke="#000" stroke-width="2"/>`;
    return `${text(left - 8, y + 13, 'end', what)}<rect x="${x(0.5)}" y="${y}" width="${(x(ratio) - x(0.5)).toFixed(1)}" height="16" fill="${colour}"/>${mark}${text(x(ratio) + 6, y + 13, 'start', `${ratio.toFixed(1)}x`)}`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">\n<rect width="${width}" height="${height}" fill="#fff"/>\n${[...lines, ...bars].join('\n')}\n</svg>\n`;
}
