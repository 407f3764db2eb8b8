import { type FileHandle, open } from 'node:fs/promises';
import { SottoError } from '@sotto/base';
import { loadLocalModel, tokenizePrompt } from '@sotto/client';
import {
  cleartextTraceScheme,
  makeSetup,
  type TraceReport,
  traceReport,
  withPublicPrefix,
} from '@sotto/engine';
import { selectBackend } from '@sotto/he/ring';
import type { Command, Options, Output } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import { makeLocalScheme } from '../local-scheme.js';
import {
  calibrationOptions,
  chatOptions,
  machineOf,
  machineOptions,
  modelFilesOf,
  modelOptions,
  parameterOptions,
  parametersOf,
  questionOptions,
  refreshOf,
} from '../options.js';
import { promptTextsOf } from '../prompt-options.js';
import { plotTrace } from '../trace-plot.js';

const DEFAULT_PUBLIC = 'Once upon a time, there was';
const DEFAULT_PRIVATE = 'a small dragon who could not fly';

const SEED = 5;

type Task = Parameters<typeof traceReport>[0];

async function reportOn(
  task: Task,
  setup: Awaited<ReturnType<typeof makeSetup>>,
  options: Options,
  output: Output,
): Promise<TraceReport> {
  const { parameters } = setup;
  if (options.required('scheme') === 'cleartext')
    return traceReport(
      task,
      cleartextTraceScheme(parameters, { seed: SEED }, setup.plan.topLevel),
      parameters,
    );
  const { backend, threads } = machineOf(options);
  const kernels = selectBackend(
    backend === 'auto' ? { threads } : { name: backend as 'native' | 'wasm', threads },
  );
  output.err(`Making ${setup.keys.length} test keys; ${kernels.name} ${kernels.isa}, ${threads} threads.\n`);
  const scheme = makeLocalScheme(setup, kernels);
  try {
    return await traceReport(task, scheme, parameters);
  } finally {
    scheme.dispose();
  }
}

/** Opened before the run: a path that cannot be written is told at once. */
async function openPlot(path: string | undefined): Promise<FileHandle | null> {
  if (path === undefined) return null;
  try {
    return await open(path, 'w');
  } catch (error) {
    throw new SottoError('The plot cannot be written.', {
      code: 'FILE_UNWRITABLE',
      fix: 'Give a path in a folder that exists and can be written to.',
      cause: error,
    });
  }
}

const bits = (value: number | null) => (value === null || !Number.isFinite(value) ? '-' : value.toFixed(1));

function table({ lines, first, pass }: TraceReport): string {
  const rows = lines.map(
    (line) =>
      `${String(line.block + 1).padStart(5)} ${String(line.layer + 1).padStart(5)}  ${line.name.padEnd(20)}` +
      `${String(line.level).padStart(5)} ${bits(line.bits).padStart(8)} ${bits(line.forecastBits).padStart(9)} ` +
      `${bits(line.modelBits).padStart(7)}${line.window === 0 ? '' : ` ${line.window.toFixed(3).padStart(8)}`}` +
      `${line.fault === null ? '' : `  ${line.fault === 'window' ? 'LEFT ITS WINDOW' : 'BELOW FORECAST'}`}\n`,
  );
  const verdict =
    first === null
      ? 'Every step is as precise as forecast.'
      : `First step below its forecast: ${first.name} of layer ${first.layer + 1}, block ${first.block + 1} (${
          first.fault === 'window'
            ? 'the argument of its polynomial left the calibrated window'
            : `${bits(first.bits)} bits, ${bits(first.forecastBits)} forecast`
        }).`;
  const logits =
    pass.logitsRmsError === null
      ? `The pass ended in ${pass.stopped}.`
      : `Logits against the clear model: ${pass.logitsRmsError.toExponential(2)} rms, ${pass.logitsMaxAbsError!.toExponential(2)} at most.`;
  return `block layer  step                level     bits  forecast   model   window\n${rows.join('')}\n${logits}\n${verdict}\n`;
}

export const command: Command = {
  name: 'trace',
  description:
    'Runs a prompt through the circuit and tells the bits of every step beside their forecast; names the first step below it.\n' +
    'With --scheme encrypted it makes test keys, the secret one included, in this process: never use it on private data.\n' +
    'Exit code 6 when a step is below its forecast.',
  example: 'sotto trace --refresh client --scheme cleartext --svg bits.svg',
  options: {
    scheme: {
      choices: ['cleartext', 'encrypted'],
      value: 'NAME',
      default: 'cleartext',
      help: 'Simulate levels, scales and noise, or really encrypt.',
    },
    refresh: questionOptions.refresh!,
    public: { value: 'TEXT', help: 'Public part of the prompt.' },
    private: { value: 'TEXT', help: 'Private part of the prompt.' },
    ...chatOptions,
    tokens: { value: 'N', help: 'Trace at most this many private tokens.' },
    svg: { value: 'FILE', help: 'Write a plot of the bits along the circuit.' },
    ...parameterOptions,
    ...modelOptions,
    ...calibrationOptions,
    ...machineOptions,
  },
  async run(options, output) {
    const plot = await openPlot(options.text('svg'));
    const { weights, tokenizer, name } = await loadLocalModel(modelFilesOf(options));
    const prompt = tokenizePrompt(
      tokenizer,
      await promptTextsOf(options, { publicText: DEFAULT_PUBLIC, privateText: DEFAULT_PRIVATE }),
    );
    const setup = await makeSetup(weights, {
      refresh: refreshOf(options),
      parameters: parametersOf(options),
      calibrationPath: options.text('calibration'),
    });
    const { parameters, plan, calibration } = setup;
    const most = options.integer('tokens', 1, plan.client.privateCapacity) ?? plan.client.privateCapacity;
    const task = {
      model: weights,
      calibration,
      plan,
      publicTokens: withPublicPrefix(plan.client.publicPrefix, prompt.publicTokens),
      privateTokens: prompt.privateTokens.slice(0, most),
    };
    const report = await reportOn(task, setup, options, output);
    const title = `${name}, ${parameters.name}, ${options.required('scheme')}`;
    await plot?.writeFile(plotTrace(report.lines, title));
    await plot?.close();
    if (options.flag('json')) {
      const { lines, first, pass } = report;
      const { logitsRmsError, logitsMaxAbsError, stopped } = pass;
      const result = {
        model: name,
        modelDigest: weights.digest,
        parameters: parameters.name,
        scheme: options.required('scheme'),
        publicTokens: task.publicTokens.length,
        privateTokens: task.privateTokens.length,
        steps: lines,
        first,
        logitsRmsError,
        logitsMaxAbsError,
        stopped,
      };
      output.out(`${JSON.stringify(result)}\n`);
    } else {
      output.out(table(report));
    }
    return report.first === null && report.pass.stopped === null ? exitCodes.ok : exitCodes.wrongResult;
  },
};
