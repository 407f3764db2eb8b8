import { describeBackends } from '@sotto/he/ring';
import type { Command } from '../command.js';
import { inspectEnvironment } from '../environment.js';
import { exitCodes } from '../exit-codes.js';

/** Memory that a session with bootstrapping takes at the server, with room for the rest of the machine. */
const COMFORTABLE_MEMORY_MB = 8000;

export const command: Command = {
  name: 'doctor',
  description: 'Tells what this machine offers, which kernels Sotto will use and why, and what is missing.',
  example: 'sotto doctor --json',
  options: {},
  async run(options, output) {
    const environment = inspectEnvironment();
    const backends = describeBackends();
    const chosen = backends.find(({ available, name }) => available && name !== 'reference');
    const problems = [
      ...(environment.node.supported ? [] : ['Node is older than 20.19: update it.']),
      ...(chosen ? [] : ['Neither native nor WebAssembly kernels run here: use a newer Node or processor.']),
      ...(environment.memoryMB.free < COMFORTABLE_MEMORY_MB
        ? [
            `Less than ${COMFORTABLE_MEMORY_MB / 1000} GB of memory is free: use --refresh client, or close programs.`,
          ]
        : []),
    ];
    const passedOver = chosen ? backends.slice(0, backends.indexOf(chosen)).filter((b) => !b.available) : [];
    const why =
      passedOver.map(({ isa, reason }) => `${isa}: ${reason}`).join('; ') || 'nothing faster exists for it';
    if (options.flag('json')) {
      const backend = chosen ? { name: chosen.name, isa: chosen.isa, why } : null;
      output.out(`${JSON.stringify({ ...environment, backend, backends, problems })}\n`);
    } else {
      const { cpu, cores, memoryMB, node, platform, wasm, compiler, nativeCalls } = environment;
      const rows: [string, string][] = [
        ['processor', `${cpu}, ${cores} usable cores, ${platform}`],
        ['memory', `${memoryMB.free} MB free of ${memoryMB.total} MB`],
        ['Node', `${node.version}${node.supported ? '' : ' (too old)'}`],
        ['WebAssembly', `SIMD ${wasm.simd ? 'yes' : 'no'}, threads ${wasm.threads ? 'yes' : 'no'}`],
        ['C compiler', compiler ?? 'none: native kernels cannot be built'],
        ['native calls', nativeCalls ? 'yes' : 'no: the optional package koffi is not installed'],
        ['kernels', chosen ? `${chosen.name} ${chosen.isa} (${why})` : 'none'],
        ...backends.map(({ name, isa, available, reason, fix }): [string, string] => [
          `  ${name} ${isa}`,
          available ? 'runs' : `${reason}. ${fix}`,
        ]),
        ...problems.map((problem): [string, string] => ['problem', problem]),
      ];
      output.out(rows.map(([name, value]) => `${name.padEnd(20)}${value}\n`).join(''));
    }
    return environment.node.supported && chosen ? exitCodes.ok : exitCodes.environment;
  },
};
