import { makeSetup } from '@sotto/engine';
import { readModelFile } from '@sotto/model';
import { availableMemoryBytes, engineMemory, serverMemoryForecast } from '@sotto/server';
import type { Command } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import {
  calibrationOptions,
  modelFilesOf,
  modelOptions,
  parameterOptions,
  parametersOf,
  questionOptions,
  refreshOf,
} from '../options.js';

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;

/** Where layers refresh: in one line when all do at the same places. */
function refreshPoints(cuts: readonly (readonly string[])[]): string {
  const kinds = new Map<string, number>();
  for (const ofLayer of cuts) kinds.set(ofLayer.join(', '), (kinds.get(ofLayer.join(', ')) ?? 0) + 1);
  if (kinds.size === 1) return `in every layer at: ${[...kinds.keys()].join()}`;
  return [...kinds].map(([points, count]) => `in ${count} layers at: ${points}`).join('; ');
}

export const command: Command = {
  name: 'plan',
  description:
    'Tells how a model will run before anything is encrypted: ring, levels, refreshes, window, exact key list, bytes, memory.',
  example: 'sotto plan --refresh client --json',
  options: {
    refresh: questionOptions.refresh!,
    ...parameterOptions,
    ...modelOptions,
    ...calibrationOptions,
    keys: { help: 'List every key.' },
  },
  async run(options, output) {
    const refresh = refreshOf(options);
    const { name, weights } = await readModelFile(modelFilesOf(options));
    const setup = await makeSetup(weights, {
      refresh,
      parameters: parametersOf(options),
      calibrationPath: options.text('calibration'),
    });
    const { parameters, plan, planDigest } = setup;
    const { security, bootstrap } = parameters;
    const keyBytes = setup.keys.reduce((sum, key) => sum + key.wireBytes, 0);
    const memory = serverMemoryForecast(setup);
    const kept = engineMemory(setup, { availableBytes: availableMemoryBytes() });
    const plaintexts = plan.weights.reduce((sum, { count }) => sum + count, 0);
    const keys = setup.keys.map(({ name, maxLevel, wireBytes }) => ({ name, maxLevel, wireBytes }));
    const report = {
      model: name,
      modelDigest: weights.digest,
      planDigest,
      refresh,
      parameters: parameters.name,
      ring: {
        logN: parameters.logN,
        logQP: Number(parameters.logQP.toFixed(1)),
        secret: parameters.secret,
        ephemeralWeight: bootstrap?.ephemeralWeight ?? null,
        securityBits: security.bits,
        securitySource: security.source,
        warning: security.warning,
      },
      levels: parameters.levels.map(({ level, kind, logQ }) => ({
        level,
        kind,
        logQ: Number(logQ.toFixed(1)),
      })),
      window: {
        blockRows: plan.layout.blockRows,
        publicTokens: plan.client.publicCapacity,
        privateTokens: plan.client.privateCapacity,
      },
      refreshesPerBlock: plan.refreshes,
      refreshPoints: plan.cuts,
      degrees: plan.degrees,
      workPerBlock: plan.block,
      keys,
      plaintexts,
      bytes: { keys: keyBytes, ...memory, weightsKept: kept.weightBytes },
    };
    if (options.flag('json')) {
      output.out(`${JSON.stringify(report)}\n`);
      return exitCodes.ok;
    }
    const work = Object.entries(plan.block).map(([what, count]) => `${count} ${what}`);
    const rows: [string, string][] = [
      ['model', `${name} (${weights.digest.slice(0, 16)}...)`],
      [
        'parameters',
        `${parameters.name}: N = 2^${parameters.logN}, log QP ${report.ring.logQP}, ${security.bits} bits`,
      ],
      ['security', `${security.source}${security.warning === null ? '' : `; ${security.warning}`}`],
      [
        'levels',
        `${parameters.levels.length}, of them ${plan.topLevel - plan.bottomLevel} between two refreshes`,
      ],
      [
        'window',
        `${report.window.publicTokens} public, ${report.window.privateTokens} private and answer tokens`,
      ],
      [
        'block',
        `up to ${report.window.blockRows} tokens in one pass, ${plan.refreshes} refreshes by ${refresh}`,
      ],
      ['refreshes', refreshPoints(plan.cuts)],
      ['work', `${work.join(', ')} a block`],
      [
        'keys',
        `${keys.length} keys, ${megabytes(keyBytes)} on the wire, ${megabytes(memory.keyMemory)} at the server`,
      ],
      [
        'weights',
        kept.plaintexts === 'rows'
          ? `${plaintexts} plaintexts, ${megabytes(memory.weightMemory)} encoded at the server`
          : `${plaintexts} plaintexts, transformed at every use; ${megabytes(kept.weightBytes)} of coefficients stay at the server`,
      ],
    ];
    output.out(rows.map(([what, value]) => `${what.padEnd(12)}${value}\n`).join(''));
    if (options.flag('keys')) {
      for (const key of keys) output.out(`  ${key.name.padEnd(22)}${megabytes(key.wireBytes)}\n`);
    }
    return exitCodes.ok;
  },
};
