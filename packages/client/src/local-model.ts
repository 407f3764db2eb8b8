import {
  type ModelFile,
  type ModelFiles,
  readModelFile,
  readTokenizerFile,
  type Tokenizer,
} from '@sotto/model';

/** The client's own copy of the model: it embeds, finishes logits and turns tokens into text without the server. */
export interface LocalModel extends ModelFile {
  readonly tokenizer: Tokenizer;
}

/** Reads weights and tokenizer. @throws `FILE_UNREADABLE` and the errors of the readers. */
export async function loadLocalModel(files: ModelFiles = {}): Promise<LocalModel> {
  const file = await readModelFile(files);
  return { ...file, tokenizer: await readTokenizerFile(files, file.weights.config.vocabSize) };
}
