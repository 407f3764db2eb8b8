import { SottoError } from '@sotto/base';
import {
  embedTokens,
  halfRows,
  type ModelFiles,
  modelPath,
  openCheckpoint,
  readModelFile,
  readTokenizerFile,
  type Tokenizer,
} from '@sotto/model';
import type { ModelInfo } from '@sotto/protocol';

/**
 * The client's own tokenizer of the model that a server has. Weights are not loaded: a file of weights is only compared with the
 * digest of the server's, and not at all when a tokenizer is given by itself.
 *
 * @throws `MODEL_MISMATCH`, `FILE_UNREADABLE`, `TOKENIZER_INVALID` and the errors of the readers.
 */
export async function tokenizerOfServer(files: ModelFiles, server: ModelInfo): Promise<Tokenizer> {
  if (files.tokenizer === undefined) {
    const checkpoint = await openCheckpoint(modelPath(files.model));
    try {
      requireDigest(await checkpoint.digest(), server);
    } finally {
      await checkpoint.close();
    }
  }
  return readTokenizerFile(files, server.config.vocabSize);
}

/**
 * Embeddings of tokens as they travel: rows of the client's own copy of the model.
 *
 * @throws `MODEL_MISMATCH` and the errors of the readers
 */
export async function embeddingsOf(
  files: ModelFiles,
  server: ModelInfo,
): Promise<(tokens: readonly number[]) => string> {
  const { weights } = await readModelFile(files);
  requireDigest(weights.digest, server);
  return (tokens) => {
    let binary = '';
    for (const byte of halfRows(embedTokens(weights, tokens))) binary += String.fromCharCode(byte);
    return btoa(binary);
  };
}

function requireDigest(digest: string, server: ModelInfo): void {
  if (digest === server.digest) return;
  throw new SottoError('The server has another model than the client.', {
    code: 'MODEL_MISMATCH',
    facts: { client: digest, server: server.digest },
    fix: "Give both sides the same model file, or the client the tokenizer of the server's model.",
  });
}
