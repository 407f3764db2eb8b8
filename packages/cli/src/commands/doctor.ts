import { join } from 'node:path';
import { SottoError } from '@sotto/base';
import { describeBackends } from '@sotto/he/ring';
import { availableMemoryBytes } from '@sotto/server';
import type { Command } from '../command.js';
import { inspectEnvironment } from '../environment.js';
import { exitCodes } from '../exit-codes.js';
import {
  type FolderState,
  folderState,
  modelState,
  type PortState,
  portState,
  processorFeatures,
  wasmMemoryMB,
} from '../findings.js';
import { calibrationOptions, modelFilesOf, modelOptions, stateFolder } from '../options.js';

/** Memory that a session with bootstrapping takes at the server, with room for the rest of the machine. */
const COMFORTABLE_MEMORY_MB = 8000;
/** With refresh by the client. */
const LEAST_MEMORY_MB = 4000;
/** Room for the keys of one client with bootstrapping. */
const KEYS_MB = 2200;
/** A ring of a server takes up to this in one WebAssembly memory. */
const COMFORTABLE_WASM_MB = 4000;

const portNotes: Readonly<Record<PortState, string | null>> = {
  free: null,
  sotto: 'A Sotto server answers at the port: ask it, or serve on another --port.',
  taken: 'Another program listens at the port: serve on another --port.',
  forbidden: 'This user may not listen at the port: serve on one from 1024 on.',
};

function folderNotes(what: string, { writable, freeMB }: FolderState, neededMB: number) {
  const problem = writable
    ? []
    : [`The folder for ${what} cannot be written: serve with --${what} elsewhere.`];
  const short = freeMB !== null && freeMB < neededMB;
  const note = short
    ? [`The disk of the folder for ${what} has ${freeMB} MB left; a client stores ${neededMB}.`]
    : [];
  return { problem, note };
}

export const command: Command = {
  name: 'doctor',
  description:
    'Tells what this machine offers, which kernels Sotto will use and why, and what is missing.\n' +
    'Exit code 4 when something that is needed is missing; notes alone leave it 0.',
  example: 'sotto doctor --json',
  options: {
    ...modelOptions,
    ...calibrationOptions,
    port: { value: 'N', default: '8417', help: 'Port that a server would listen on.' },
    keys: { value: 'DIR', help: 'Folder for key sets; in the state folder of the user when absent.' },
    state: { value: 'DIR', help: 'Folder for sessions; in the state folder of the user when absent.' },
  },
  async run(options, output) {
    const environment = inspectEnvironment();
    const backends = describeBackends();
    const chosen = backends.find(({ available, name }) => available && name !== 'reference');
    const passedOver = chosen ? backends.slice(0, backends.indexOf(chosen)).filter((b) => !b.available) : [];
    const why =
      passedOver.map(({ isa, reason }) => `${isa}: ${reason}`).join('; ') || 'nothing faster exists for it';
    const port = options.integer('port', 1, 65535)!;
    const availableMB = Math.round(availableMemoryBytes() / 1e6);
    const wasm = { ...environment.wasm, memoryMB: wasmMemoryMB(environment.wasm.threads) };
    const [features, portFound, keys, state, model] = await Promise.all([
      processorFeatures(),
      portState(port),
      folderState(options.text('keys') ?? join(stateFolder(), 'keys')),
      folderState(options.text('state') ?? join(stateFolder(), 'sessions')),
      modelState(modelFilesOf(options), options.text('calibration')),
    ]);
    const modelFailed = SottoError.is(model);
    const folders = [folderNotes('keys', keys, KEYS_MB), folderNotes('state', state, 100)];
    const problems = [
      ...(environment.node.supported ? [] : ['Node is older than 20.19: update it.']),
      ...(chosen ? [] : ['Neither native nor WebAssembly kernels run here: use a newer Node or processor.']),
      ...(modelFailed ? [`The model cannot be used: ${model.short} ${model.fix ?? ''}`.trim()] : []),
      ...folders.flatMap(({ problem }) => problem),
    ];
    const memoryNote =
      availableMB < LEAST_MEMORY_MB
        ? `Only ${availableMB} MB of memory are free: a server needs about ${LEAST_MEMORY_MB}; close programs or use --key-memory.`
        : `Less than ${COMFORTABLE_MEMORY_MB / 1000} GB of memory is free: use --refresh client, or close programs.`;
    const portNote = portNotes[portFound];
    const notes = [
      ...(availableMB < COMFORTABLE_MEMORY_MB ? [memoryNote] : []),
      ...folders.flatMap(({ note }) => note),
      ...(portNote === null ? [] : [`${portNote} (${port})`]),
      ...(wasm.memoryMB > 0 && wasm.memoryMB < COMFORTABLE_WASM_MB && chosen?.name === 'wasm'
        ? [
            `WebAssembly may have ${wasm.memoryMB} MB only (a limit on address space?): large rings will not fit.`,
          ]
        : []),
      ...(environment.compiler === null && chosen?.name !== 'native'
        ? ['With a C compiler Sotto is about twice as fast: install one, then `npm run build`.']
        : []),
      ...(!modelFailed && model.calibration === null
        ? ['The ranges of this model were not measured yet: the first `serve` does, for minutes.']
        : []),
    ];
    const code = problems.length > 0 ? exitCodes.environment : exitCodes.ok;
    if (options.flag('json')) {
      const backend = chosen ? { name: chosen.name, isa: chosen.isa, why } : null;
      const found = modelFailed ? { error: model.code } : model;
      const facts = { features, wasm, availableMemoryMB: availableMB, port: { port, state: portFound } };
      const report = { ...environment, ...facts, keys, state, model: found, backend, backends };
      output.out(`${JSON.stringify({ ...report, problems, notes })}\n`);
      return code;
    }
    const { cpu, cores, memoryMB, node, platform, compiler, nativeCalls } = environment;
    const yes = (value: boolean) => (value ? 'yes' : 'no');
    const place = ({ path, writable, freeMB }: FolderState) =>
      `${path} (${writable ? 'can be written' : 'cannot be written'}${freeMB === null ? '' : `, ${freeMB} MB free`})`;
    const rows: [string, string][] = [
      ['processor', `${cpu}, ${cores} usable cores, ${platform}`],
      [
        'instructions',
        features === null ? 'not told by this system' : features.join(' ') || 'none that kernels use',
      ],
      ['memory', `${availableMB} MB available of ${memoryMB.total} MB`],
      ['Node', `${node.version}${node.supported ? '' : ' (too old)'}`],
      ['WebAssembly', `SIMD ${yes(wasm.simd)}, threads ${yes(wasm.threads)}, up to ${wasm.memoryMB} MB`],
      ['C compiler', compiler ?? 'none: native kernels cannot be built'],
      ['native calls', nativeCalls ? 'yes' : 'no: the optional package koffi is not installed'],
      ['kernels', chosen ? `${chosen.name} ${chosen.isa} (${why})` : 'none'],
      ...backends.map(({ name, isa, available, reason, fix }): [string, string] => [
        `  ${name} ${isa}`,
        available ? 'runs' : `${reason}. ${fix}`,
      ]),
      [
        'model',
        modelFailed ? 'cannot be used' : `${model.name}, calibration ${model.calibration ?? 'missing'}`,
      ],
      ['keys', place(keys)],
      ['state', place(state)],
      ['port', `${port} ${portFound}`],
      ...problems.map((problem): [string, string] => ['problem', problem]),
      ...notes.map((note): [string, string] => ['note', note]),
    ];
    output.out(rows.map(([name, value]) => `${name.padEnd(20)}${value}\n`).join(''));
    return code;
  },
};
