import { SottoError } from '@sotto/base';
import { type LocalModel, loadLocalModel, measureClient } from '@sotto/client';
import { makeSetup } from '@sotto/engine';
import { selectBackend } from '@sotto/he/ring';
import { availableMemoryBytes, forecastServer } from '@sotto/server';
import type { Command, Options } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import { measureExchange } from '../measure-exchange.js';
import {
  calibrationOptions,
  machineOf,
  machineOptions,
  modelFilesOf,
  modelOptions,
  parameterOptions,
  parametersOf,
  questionOptions,
  refreshOf,
} from '../options.js';
import { duration } from '../progress-renderer.js';

const DEFAULT_PUBLIC_TOKENS = 8;
const DEFAULT_PRIVATE_TOKENS = 16;
const DEFAULT_ANSWER_TOKENS = 8;
const MOST_TOKENS = 1 << 20;

const round = (value: number) => Number(value.toPrecision(4));

interface Request {
  readonly refresh: 'bootstrap' | 'client';
  readonly backend: string;
  readonly threads: number;
  readonly publicTokens: number;
  readonly privateTokens: number;
  readonly answerTokens: number;
  readonly fresh: boolean;
}

/** @throws `PLAN_WINDOW_EXCEEDED`, with what would fit. */
function requireWindow(
  request: Request,
  room: { publicTokens: number; privateTokens: number; blockRows: number },
): void {
  const { publicTokens, privateTokens, answerTokens } = request;
  const needed = privateTokens + answerTokens - 1;
  if (publicTokens <= room.publicTokens && needed <= room.privateTokens) return;
  throw new SottoError('The conversation is longer than the window.', {
    code: 'PLAN_WINDOW_EXCEEDED',
    facts: {
      publicTokens,
      mostPublicTokens: room.publicTokens,
      privateTokens: needed,
      mostPrivateTokens: room.privateTokens,
    },
    fix: 'Shorten the public or private part, or ask for fewer tokens.',
  });
}

/** Everything that one session will cost. */
async function costOf(model: LocalModel, request: Request, options: Options) {
  const setup = await makeSetup(model.weights, {
    refresh: request.refresh,
    parameters: parametersOf(options),
    calibrationPath: options.text('calibration'),
  });
  const { parameters, plan, keys } = setup;
  const { blockRows, publicCapacity, privateCapacity } = plan.client;
  requireWindow(request, {
    publicTokens: publicCapacity,
    privateTokens: privateCapacity,
    blockRows,
  });
  const { threads } = request;
  const choice = request.backend === 'auto' ? {} : { name: request.backend as 'native' | 'wasm' };
  const backend = selectBackend({ ...choice, threads });
  const server = await forecastServer(model.weights, setup, {
    backend,
    publicTokens: request.publicTokens,
    privateTokens: request.privateTokens,
    fresh: request.fresh,
  });
  const client = measureClient(setup, backend);
  const { bytes } = client;
  const byClient = request.refresh === 'client' ? server.refreshes.length : 0;
  const exchanged = await measureExchange(model, setup, {
    ...{ backend, request: { refresh: request.refresh, parameters: parametersOf(options) } },
    downBytes: byClient > 0 ? bytes.refreshDown : bytes.result,
    upBytes: byClient > 0 ? bytes.refreshUp : bytes.block,
    refreshes: byClient,
  });
  const exchange =
    client.blockSeconds + byClient * client.refreshSeconds + (byClient + 1) * exchanged.messageSeconds;
  const blocks = Math.ceil(request.privateTokens / blockRows);
  const further = (server.further ?? server.following).seconds;
  const first = server.first.seconds + (blocks - 1) * further + blocks * exchange;
  const following = server.following.seconds + exchange;
  const passUp = bytes.block + byClient * bytes.refreshUp;
  const passDown = bytes.result + byClient * bytes.refreshDown;
  const passes = blocks + request.answerTokens - 1;
  const available = availableMemoryBytes();
  return {
    refresh: request.refresh,
    backend: backend.name,
    isa: backend.isa,
    threads,
    parameters: parameters.name,
    securityBits: parameters.security.bits,
    logN: parameters.logN,
    logQP: round(parameters.logQP),
    blockRows,
    publicTokens: request.publicTokens,
    privateTokens: request.privateTokens,
    answerTokens: request.answerTokens,
    refreshes: server.refreshes.map((refresh) => ({ kind: request.refresh, ...refresh })),
    keys: keys.map(({ name, maxLevel, wireBytes }) => ({ name, maxLevel, wireBytes })),
    seconds: {
      keygen: round(exchanged.keygenSeconds),
      loadKeys: round(exchanged.keysSentSeconds),
      firstToken: round(first),
      followingToken: round(following),
      answer: round(first + (request.answerTokens - 1) * following),
    },
    cpuSeconds: {
      firstBlock: round(server.first.cpuSeconds),
      followingBlock: round(server.following.cpuSeconds),
    },
    bytes: {
      keysUp: bytes.keys,
      passUp,
      passDown,
      up: passes * passUp,
      down: passes * passDown,
    },
    peakMB: { client: Math.ceil(client.peakBytes / 1e6), server: Math.ceil(server.peakBytes / 1e6) },
    availableMB: Math.floor(available / 1e6),
    fits: server.peakBytes <= available,
    measuredKernels: server.measuredKernels,
  };
}

type Cost = Awaited<ReturnType<typeof costOf>>;

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;

function text(cost: Cost): string {
  const { seconds, bytes, peakMB } = cost;
  const rows: [string, string][] = [
    [
      'ring',
      `${cost.parameters}: N = 2^${cost.logN}, log QP ${cost.logQP}, ${cost.securityBits} bits; ${cost.backend} ${cost.isa}, ${cost.threads} threads`,
    ],
    [
      'keys',
      `${cost.keys.length} keys, ${megabytes(bytes.keysUp)}; made in ${duration(1000 * seconds.keygen)}, sent and loaded in ${duration(1000 * seconds.loadKeys)} besides the network`,
    ],
    [
      'time',
      `first token ${duration(1000 * seconds.firstToken)}, each following ${duration(1000 * seconds.followingToken)}, ` +
        `${cost.answerTokens} tokens ${duration(1000 * seconds.answer)}`,
    ],
    [
      'bytes',
      `${megabytes(bytes.passUp)} up and ${megabytes(bytes.passDown)} down a pass; ${megabytes(bytes.up)} up and ${megabytes(bytes.down)} down in all`,
    ],
    [
      'memory',
      `client ${peakMB.client} MB, server ${peakMB.server} MB of ${cost.availableMB} MB that are free here${cost.fits ? '' : ': DOES NOT FIT'}`,
    ],
    [
      'refreshes',
      `${cost.refreshes.length} a block by ${cost.refresh}: ${cost.refreshes
        .map(
          ({ layer, at, from, to, period, real }) =>
            `${layer + 1} ${at} ${from}>${to} (${period}${real ? ' real' : ''})`,
        )
        .join(', ')}`,
    ],
  ];
  return rows.map(([what, value]) => `${what.padEnd(12)}${value}\n`).join('');
}

export const command: Command = {
  name: 'cost',
  description:
    'Forecasts what a conversation will cost before anything runs: seconds, memory, bytes. Counts the exact kernel work of the plan\n' +
    'and measures the kernels of this machine for a few seconds (kept in the cache folder). Exit code 4 when it does not fit here.',
  example: 'sotto cost --refresh client --private-tokens 16 --tokens 8',
  options: {
    refresh: questionOptions.refresh!,
    all: { help: 'Both ways to refresh, with native and with WebAssembly kernels.' },
    tokens: { value: 'N', help: `Tokens of the answer (default ${DEFAULT_ANSWER_TOKENS}).` },
    'public-tokens': {
      value: 'N',
      help: `Tokens of the public part, with BOS (default ${DEFAULT_PUBLIC_TOKENS}).`,
    },
    'private-tokens': {
      value: 'N',
      help: `Tokens of the private part (default ${DEFAULT_PRIVATE_TOKENS}).`,
    },
    keys: { help: 'List every key.' },
    fresh: { help: 'Measure the kernels again.' },
    ...parameterOptions,
    ...modelOptions,
    ...calibrationOptions,
    ...machineOptions,
  },
  async run(options, output) {
    const model = await loadLocalModel(modelFilesOf(options));
    const { name, weights } = model;
    const tokens = (option: string, fallback: number) => options.integer(option, 1, MOST_TOKENS) ?? fallback;
    const base = {
      ...machineOf(options),
      refresh: refreshOf(options),
      publicTokens: tokens('public-tokens', DEFAULT_PUBLIC_TOKENS),
      privateTokens: tokens('private-tokens', DEFAULT_PRIVATE_TOKENS),
      answerTokens: tokens('tokens', DEFAULT_ANSWER_TOKENS),
      fresh: options.flag('fresh'),
    };
    const requests: Request[] = options.flag('all')
      ? (['bootstrap', 'client'] as const).flatMap((refresh) =>
          ['native', 'wasm'].map((backend) => ({ ...base, refresh, backend })),
        )
      : [base];
    const costs: Cost[] = [];
    for (const request of requests) {
      const cost = await costOf(model, request, options);
      costs.push(cost);
      if (options.flag('json')) continue;
      output.out(`${name}\n${text(cost)}${requests.length > 1 ? '\n' : ''}`);
      if (!options.flag('keys')) continue;
      for (const key of cost.keys) output.out(`  ${key.name.padEnd(22)}${megabytes(key.wireBytes)}\n`);
    }
    if (options.flag('json')) {
      const report = { model: name, modelDigest: weights.digest };
      output.out(
        `${JSON.stringify(costs.length === 1 ? { ...report, ...costs[0] } : { ...report, costs })}\n`,
      );
    }
    const misfit = costs.find(({ fits }) => !fits);
    if (misfit === undefined) return exitCodes.ok;
    output.err(
      `A session needs ${misfit.peakMB.server} MB at the server and ${misfit.availableMB} MB are free here: ` +
        `${misfit.refresh === 'bootstrap' ? 'use --refresh client, ' : ''}close programs, or use a machine with more memory.\n`,
    );
    return exitCodes.environment;
  },
};
