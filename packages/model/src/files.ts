import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SottoError } from '@sotto/base';
import { embeddedModel } from './embedded.js';
import { type LlamaModel, readLlama2c } from './llama2c.js';
import { readTokenizer, type Tokenizer } from './tokenizer.js';

/** Where a model is; what is absent is taken from the embedded model. */
export interface ModelFiles {
  /** Weights in llama2.c format. */
  readonly model?: string | undefined;
  /** Tokenizer in llama2.c format. */
  readonly tokenizer?: string | undefined;
}

async function read(path: string, what: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new SottoError(`The ${what} file cannot be read.`, {
      code: 'FILE_UNREADABLE',
      facts: { path, reason: (error as NodeJS.ErrnoException).code ?? 'unknown' },
      fix: 'Check the path.',
      cause: error,
    });
  }
}

/** Weights with the path and the name for people that belong to them. */
export interface ModelFile {
  readonly name: string;
  readonly path: string;
  readonly license: string;
  readonly weights: LlamaModel;
}

/** Reads weights in llama2.c format. @throws `FILE_UNREADABLE` and the errors of {@link readLlama2c}. */
export async function readModelFile(files: ModelFiles = {}): Promise<ModelFile> {
  const embedded = fileURLToPath(embeddedModel.model);
  const path = files.model ?? embedded;
  const weights = readLlama2c(await read(path, 'model'));
  return path === embedded
    ? { name: embeddedModel.name, path, license: 'MIT', weights }
    : { name: basename(path).replace(/\.[^.]+$/, ''), path, license: 'not stated', weights };
}

/** Reads a tokenizer in llama2.c format. @throws `FILE_UNREADABLE` and the errors of {@link readTokenizer}. */
export async function readTokenizerFile(files: ModelFiles, vocabSize: number): Promise<Tokenizer> {
  const path = files.tokenizer ?? fileURLToPath(embeddedModel.tokenizer);
  return readTokenizer(await read(path, 'tokenizer'), vocabSize);
}
