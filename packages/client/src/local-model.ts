import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SottoError } from '@sotto/base';
import { embeddedModel, type LlamaModel, readLlama2c, readTokenizer, type Tokenizer } from '@sotto/model';

/** The client's own copy of the model: it embeds, finishes logits and turns tokens into text without the server. */
export interface LocalModel {
  readonly name: string;
  readonly path: string;
  readonly weights: LlamaModel;
  readonly tokenizer: Tokenizer;
}

export interface ModelFiles {
  /** Weights in llama2.c format; the embedded model when absent. */
  readonly model?: string | undefined;
  /** Tokenizer in llama2.c format; that of the embedded model when absent. */
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

/** Path of the weights that these options mean. */
export function modelPathOf(files: ModelFiles): string {
  return files.model ?? fileURLToPath(embeddedModel.model);
}

/** Name for people: the file name without its ending. */
export function modelNameOf(path: string): string {
  return path === fileURLToPath(embeddedModel.model)
    ? embeddedModel.name
    : basename(path).replace(/\.[^.]+$/, '');
}

/** Reads weights and tokenizer. @throws `FILE_UNREADABLE` and the errors of the readers. */
export async function loadLocalModel(files: ModelFiles = {}): Promise<LocalModel> {
  const path = modelPathOf(files);
  const weights = readLlama2c(await read(path, 'model'));
  const tokenizerPath = files.tokenizer ?? fileURLToPath(embeddedModel.tokenizer);
  const tokenizer = readTokenizer(await read(tokenizerPath, 'tokenizer'), weights.config.vocabSize);
  return { name: modelNameOf(path), path, weights, tokenizer };
}
