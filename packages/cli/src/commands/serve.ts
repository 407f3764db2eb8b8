import { join } from 'node:path';
import { SottoError } from '@sotto/base';
import { calibrationOf } from '@sotto/engine';
import { readModelFile } from '@sotto/model';
import type { AnswerMode } from '@sotto/protocol';
import { describeBackend, describeModel, lineLogger, serve, silentLogger } from '@sotto/server';
import type { Command, Options } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import {
  calibrationOptions,
  machineOf,
  machineOptions,
  modelFilesOf,
  modelOptions,
  stateFolder,
} from '../options.js';

/** Resolves when the server is to stop: Ctrl-C, or the end of standard input if that was asked for. */
function stopped(signal: AbortSignal, withStdin: boolean): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve());
    if (!withStdin) return;
    process.stdin.on('end', () => resolve());
    process.stdin.on('close', () => resolve());
    process.stdin.resume();
  });
}

/** A running block gets this long to end when the server is told to stop. */
const GRACE_MS = 5_000;
const DAY_MS = 24 * 3600_000;

function keysOf(options: Options) {
  const folder = options.text('keys') ?? join(stateFolder(), 'keys');
  const state = options.text('state') ?? join(stateFolder(), 'sessions');
  const keyMemory = options.text('key-memory');
  const maxJobs = options.integer('jobs', 1, 64);
  return {
    ...(folder === 'none' ? {} : { keysFolder: folder }),
    ...(keyMemory === undefined ? {} : { keyMemoryFolder: keyMemory }),
    ...(folder === 'none' || state === 'none' ? {} : { stateFolder: state }),
    keysLifetimeMs: options.integer('keys-days', 1, 36_500)! * DAY_MS,
    keysQuotaBytes: options.integer('keys-quota', 1, 100_000_000)! * 1e6,
    ...(maxJobs === undefined ? {} : { maxJobs }),
  };
}

/** @throws `USAGE_VALUE` for what is no origin. */
function originsOf(list: string | undefined): string[] {
  return (list?.split(',') ?? []).map((text) => {
    const origin = URL.canParse(text) ? new URL(text).origin : 'null';
    if (origin === text.replace(/\/$/, '').toLowerCase()) return origin;
    throw new SottoError('This is not the origin of a page.', {
      code: 'USAGE_VALUE',
      facts: { option: '--origin' },
      fix: 'Write scheme, host and port, e.g. http://127.0.0.1:5173.',
    });
  });
}

export const command: Command = {
  name: 'serve',
  description:
    'Runs the server: it holds the model, computes on encrypted prompts and never sees a secret key.\n' +
    'It listens on this machine only, unless --host says otherwise; put TLS in front of it then.',
  example: 'sotto serve --port 8417',
  options: {
    mode: {
      choices: ['both', 'fhe', 'sanitized'],
      value: 'NAME',
      default: 'both',
      help: 'Modes to answer in: on ciphertexts (fhe), on prompts in clear whose words clients replaced (sanitized).',
    },
    port: { value: 'N', default: '8417', help: 'Port to listen on; 0 lets the system choose.' },
    host: { value: 'ADDRESS', default: '127.0.0.1', help: 'Address to listen on.' },
    ...modelOptions,
    ...calibrationOptions,
    ...machineOptions,
    public: { help: 'Allow a --host that other machines can reach, though tokens travel in clear.' },
    name: {
      value: 'NAMES',
      help: 'Names, with commas between, by which a proxy or network addresses the server.',
    },
    origin: {
      value: 'ORIGINS',
      help: 'Origins of web pages that may use this server, with commas between, e.g. http://127.0.0.1:5173.',
    },
    keys: {
      value: 'DIR',
      help: 'Folder for key sets, so that clients send keys once; "none" keeps keys in memory only. In the state folder of the user when absent.',
    },
    'key-memory': {
      value: 'DIR',
      help: 'Compute with keys from a file in this folder, which the system reads as needed, instead of holding them in memory.',
    },
    state: {
      value: 'DIR',
      help: 'Folder for sessions with stored keys: their jobs go on after a restart, even a kill; "none" forgets them. In the state folder of the user when absent.',
    },
    'keys-days': { value: 'N', default: '30', help: 'Days after which an unused key set is removed.' },
    'keys-quota': { value: 'MB', default: '16000', help: 'Largest size of the key sets of one client.' },
    'key-rest': {
      value: 'SECONDS',
      default: '10',
      help: 'Idle keys stay in memory this long although another session waits for the memory.',
    },
    jobs: { value: 'N', help: 'Jobs that run at a time, others wait; one a session when absent.' },
    rate: { value: 'N', default: '200', help: 'Requests a second that one address may send.' },
    sessions: {
      value: 'N',
      default: '1',
      help: 'Sessions that hold their keys in memory at a time. With stored keys there may be more: the least recently used idle ones give way.',
    },
    'memory-budget': {
      value: 'BYTES',
      help: 'Memory that all sessions together may take, as planned; what the machine has left when absent.',
    },
    'allow-insecure': { help: 'Accept insecure toy parameters, for tests.' },
    'stop-with-stdin': { help: 'Stop when standard input ends.' },
    quiet: { help: 'Write no log.' },
  },
  async run(options, output) {
    const machine = machineOf(options);
    const { name, path, license, weights } = await readModelFile(modelFilesOf(options));
    const mode = options.required('mode');
    const modes: AnswerMode[] = mode === 'both' ? ['fhe', 'sanitized'] : [mode as AnswerMode];
    const calibrationPath = options.text('calibration');
    if (modes.includes('fhe')) {
      await calibrationOf(weights, {
        path: calibrationPath,
        signal: output.signal,
        onMeasure: () =>
          output.err('Measuring the ranges of this model: minutes, once. The server starts afterwards.\n'),
      });
    }
    const memoryBudgetBytes = options.integer('memory-budget', 1, 2 ** 50);
    const server = await serve({
      model: describeModel(weights, { name, license, backend: describeBackend(machine) }),
      modelPath: path,
      calibrationPath,
      modes,
      ...machine,
      host: options.required('host'),
      port: options.integer('port', 0, 65535)!,
      allowPublic: options.flag('public'),
      names: options.text('name')?.split(',') ?? [],
      origins: originsOf(options.text('origin')),
      ...keysOf(options),
      requestsPerSecond: options.integer('rate', 1, 100_000)!,
      graceMs: GRACE_MS,
      maxSessions: options.integer('sessions', 1, 64)!,
      ...(memoryBudgetBytes === undefined ? {} : { memoryBudgetBytes }),
      keepMs: 1000 * options.integer('key-rest', 0, 86_400)!,
      allowInsecure: options.flag('allow-insecure'),
      log: options.flag('quiet') ? silentLogger : lineLogger((line) => output.err(line)),
    });
    output.out(
      options.flag('json')
        ? `${JSON.stringify({ url: server.url, model: name, modelDigest: weights.digest, modes })}\n`
        : `Serving ${name} at ${server.url} (${modes.join(', ')})\n`,
    );
    await stopped(output.signal, options.flag('stop-with-stdin'));
    await server.close();
    return exitCodes.ok;
  },
};
