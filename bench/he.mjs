// Operations, bootstrapping and a matrix product under encryption, on every backend: one JSON line a row. Every part runs in a process
// of its own, so that its peak memory is its own.
//   npm run bench -- he [--configs native-1,native-2,wasm-1] [--parts ops,equal,small,full,sparse,linear,tiny]
//                       [--repeat 7] [--bootRepeat 2] [--json]
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bootstrap } from './he/bootstrap.mjs';
import { linear } from './he/linear.mjs';
import { referenceMs } from './he/machine.mjs';
import { micro } from './he/micro.mjs';

const { values } = parseArgs({
  options: {
    configs: { type: 'string', default: 'native-1,native-2,wasm-1' },
    parts: { type: 'string', default: 'ops,equal,small,full,sparse,linear,tiny' },
    repeat: { type: 'string', default: '7' },
    bootRepeat: { type: 'string', default: '2' },
    json: { type: 'boolean', default: true },
    /** CPU time of the reference kernel; from the caller, because measuring it here would add to the memory of this process. */
    referenceMs: { type: 'string' },
    inProcess: { type: 'boolean', default: false },
  },
});
const parts = {
  /** Operations on the levels where circuits compute. */
  ops: (o) => micro('N16-boot-12x40', o),
  /** Operations at the modulus of the peers' sets. */
  equal: (o) => micro('N16-24x50', o),
  small: (o) => micro('N15-12x50', o),
  full: (o) => bootstrap(undefined, o),
  sparse: (o) => bootstrap(2048, o),
  linear: (o) => linear('N16-boot-12x40', o),
  tiny: (o) => linear('N13-1x40', o),
};

if (values.inProcess) {
  const [backend, threads] = values.configs.split('-');
  const [repeat, bootRepeat] = [Number(values.repeat), Number(values.bootRepeat)];
  const reference = values.referenceMs === undefined ? undefined : Number(values.referenceMs);
  parts[values.parts]({ backend, threads: Number(threads), repeat, bootRepeat, referenceMs: reference });
} else {
  for (const config of values.configs.split(',')) {
    for (const part of values.parts.split(',')) {
      if (!Object.hasOwn(parts, part)) throw new Error(`There is no part ${part}.`);
      const args = [fileURLToPath(import.meta.url), '--inProcess', '--configs', config, '--parts', part];
      args.push(
        '--repeat',
        values.repeat,
        '--bootRepeat',
        values.bootRepeat,
        '--referenceMs',
        String(referenceMs()),
      );
      const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' });
      if (status !== 0) console.error(`skipped: ${part} on ${config} failed with status ${status}`);
    }
  }
}
