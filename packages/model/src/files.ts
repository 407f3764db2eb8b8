import { basename, dirname, isFolder, pathOf, readBounded } from '#model/disk';
import { type Checkpoint, openCheckpoint, readFolderTokenizer } from './checkpoint.js';
import { embeddedModel, findEmbedded, modelPath } from './embedded.js';
import type { LlamaModel } from './llama2c.js';
import { readTextVocabulary, readTokenizer } from './piece-tokenizer.js';
import type { Tokenizer } from './tokenizer.js';

/** Where a model is; what is absent is taken from the default model. */
export interface ModelFiles {
  /** Weights: see {@link openCheckpoint}; or the name of an embedded model. */
  readonly model?: string | undefined;
  /**
   * Tokenizer: `tokenizer.json`, a folder with one, a GGUF file, a text vocabulary (`.vocab`, `.txt`) or one of llama2.c. When
   * absent, the one that lies with the weights.
   */
  readonly tokenizer?: string | undefined;
}

/** Weights with the path and the name for people that belong to them. */
export interface ModelFile {
  readonly name: string;
  readonly path: string;
  readonly license: string;
  readonly weights: LlamaModel;
}

async function withCheckpoint<T>(path: string, use: (checkpoint: Checkpoint) => Promise<T>): Promise<T> {
  const checkpoint = await openCheckpoint(path);
  try {
    return await use(checkpoint);
  } finally {
    await checkpoint.close();
  }
}

/** Reads weights. @throws the errors of {@link openCheckpoint} and of the readers. */
export function readModelFile(files: ModelFiles = {}): Promise<ModelFile> {
  const path = modelPath(files.model);
  const embedded = findEmbedded(path);
  return withCheckpoint(path, async (checkpoint) => {
    const weights = await checkpoint.load();
    return embedded !== undefined
      ? { name: embedded.name, path, license: embedded.license, weights }
      : { name: checkpoint.name, path, license: checkpoint.license, weights };
  });
}

async function readTokenizerAt(path: string, vocabSize: number): Promise<Tokenizer> {
  // What is not there at all fails where it is read.
  const folder = await isFolder(path).catch(() => false);
  const json = folder ? 'tokenizer.json' : basename(path);
  if (folder || json.endsWith('.json')) {
    const tokenizer = await readFolderTokenizer(folder ? path : dirname(path), vocabSize, json);
    if (tokenizer) return tokenizer;
  }
  if (path.endsWith('.gguf')) {
    const tokenizer = await withCheckpoint(path, (checkpoint) => checkpoint.tokenizer());
    if (tokenizer) return tokenizer;
  }
  const bytes = await readBounded(folder ? `${path}/tokenizer.json` : path, 'tokenizer');
  return /\.(vocab|txt)$/.test(path)
    ? readTextVocabulary(new TextDecoder().decode(bytes))
    : readTokenizer(bytes, vocabSize);
}

/**
 * Reads the tokenizer of a model: the one that was given, else the one beside the weights, else that of the embedded models.
 *
 * @throws `FILE_UNREADABLE`, `TOKENIZER_INVALID` and the errors of the readers.
 */
export async function readTokenizerFile(files: ModelFiles, vocabSize: number): Promise<Tokenizer> {
  if (files.tokenizer !== undefined) return readTokenizerAt(files.tokenizer, vocabSize);
  const own = await withCheckpoint(modelPath(files.model), (checkpoint) => checkpoint.tokenizer());
  return own || readTokenizerAt(pathOf(embeddedModel.tokenizer), vocabSize);
}
