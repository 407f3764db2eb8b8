import { readFile } from 'node:fs/promises';
import { availableParallelism, homedir } from 'node:os';
import { join } from 'node:path';
import { SottoError } from '@sotto/base';
import type { ParameterChoice, RefreshMode } from '@sotto/protocol';
import type { OptionSpecs, Options } from './command.js';

export const modelOptions: OptionSpecs = {
  model: {
    value: 'PATH',
    help: 'Model: a folder with config.json and safetensors, a GGUF file, or llama2.c weights; the name of an embedded one; sotto-stories-2x128 when absent.',
  },
  tokenizer: {
    value: 'PATH',
    help: 'Tokenizer: tokenizer.json or a folder with one, GGUF, llama2.c; the one beside the weights when absent.',
  },
};

export const calibrationOptions: OptionSpecs = {
  calibration: {
    value: 'FILE',
    help: 'Calibration of the model, from `sotto calibrate`, the same at client and server; the one at hand when absent.',
  },
};

export const machineOptions: OptionSpecs = {
  backend: {
    choices: ['auto', 'native', 'wasm'],
    value: 'NAME',
    default: 'auto',
    help: 'Kernels to compute with.',
  },
  threads: { value: 'N', help: 'Threads to compute with; all cores when absent.' },
};

export const chatOptions: OptionSpecs = {
  system: { value: 'TEXT', help: 'System message for a chat model; the server may read it.' },
  raw: { help: 'Continue the prompt as text instead of answering it by the chat template of the model.' },
};

export const questionOptions: OptionSpecs = {
  public: { value: 'TEXT', help: 'Part of the prompt that the server may read.' },
  'public-file': { value: 'PATH', help: 'File with that part.' },
  private: {
    value: 'TEXT',
    help: 'Part of the prompt that leaves this process encrypted only; - reads standard input.',
  },
  'private-file': { value: 'PATH', help: 'File with that part.' },
  ...chatOptions,
  tokens: { value: 'N', help: 'Tokens of the answer.' },
  refresh: {
    choices: ['bootstrap', 'client'],
    value: 'WHO',
    default: 'bootstrap',
    help: 'Who restores ciphertexts: the server alone, or this client.',
  },
};

export const parameterOptions: OptionSpecs = {
  params: {
    choices: ['secure', 'insecure-toy'],
    value: 'NAME',
    default: 'secure',
    help: 'Encryption parameters; insecure-toy protects nothing and is for tests.',
  },
};

export const machineOf = (options: Options) => ({
  backend: options.text('backend') ?? 'auto',
  threads: options.integer('threads', 1, 256) ?? availableParallelism(),
});

export const modelFilesOf = (options: Options) => ({
  model: options.text('model'),
  tokenizer: options.text('tokenizer'),
});

/** Where the user's programs keep what they need again (XDG base directories). */
export const stateFolder = () =>
  join(process.env.XDG_STATE_HOME || join(homedir(), '.local', 'state'), 'sotto');

export const refreshOf = (options: Options) => options.required('refresh') as RefreshMode;
export const parametersOf = (options: Options) => options.required('params') as ParameterChoice;

/** Text of an option or of its file; undefined without either. @throws `USAGE_TWICE`, `FILE_UNREADABLE`. */
async function textOrFile(options: Options, name: 'public' | 'private'): Promise<string | undefined> {
  const text = options.text(name);
  const path = options.text(`${name}-file`);
  if (path === undefined) return text;
  if (text !== undefined) {
    throw new SottoError(`The ${name} part is given twice.`, {
      code: 'USAGE_TWICE',
      fix: `Use --${name} or --${name}-file, not both.`,
    });
  }
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    throw new SottoError('The file cannot be read.', {
      code: 'FILE_UNREADABLE',
      facts: { path, reason: (error as NodeJS.ErrnoException).code ?? 'unknown' },
      fix: 'Give the path of a text file.',
      cause: error,
    });
  }
}

export const publicTextOf = async (options: Options, fallback = ''): Promise<string> =>
  (await textOrFile(options, 'public')) ?? fallback;

/** The private text; `-` stands for standard input, which no process list or shell history shows. */
export async function privateTextOf(options: Options, fallback?: string): Promise<string> {
  const text = (await textOrFile(options, 'private')) ?? fallback ?? options.required('private');
  if (text !== '-') return text;
  const pieces: Buffer[] = [];
  for await (const piece of process.stdin) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString('utf8').trim();
}
