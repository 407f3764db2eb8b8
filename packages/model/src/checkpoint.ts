import { SottoError, sha256, toHex } from '@sotto/base';
import {
  basename,
  dirname,
  FileSource,
  fileDigest,
  fileNames,
  isFolder,
  join,
  readBounded,
} from '#model/disk';
import type { LlamaConfig } from './config.js';
import { type GgufFile, openGguf } from './gguf.js';
import { assembleGguf, readGgufConfig } from './gguf-llama.js';
import { readGgufTokenizer } from './gguf-tokenizer.js';
import { assembleHuggingFace, readHuggingFaceConfig } from './huggingface.js';
import { readTokenizerJson } from './library-tokenizer.js';
import { type LlamaModel, readLlama2c, readLlama2cConfig } from './llama2c.js';
import { openSafetensors, openShardedSafetensors } from './safetensors.js';
import type { ByteSource } from './source.js';
import type { Tokenizer } from './tokenizer.js';

export type CheckpointFormat = 'llama2.c' | 'gguf' | 'safetensors';

/** A model on disk whose weights are not read yet. */
export interface Checkpoint {
  readonly format: CheckpointFormat;
  readonly name: string;
  readonly license: string;
  readonly path: string;
  /** Of all weight files. */
  readonly sizeBytes: number;
  readonly config: LlamaConfig;
  /** Tensors by type, e.g. `Q4_1` 210. */
  readonly tensorTypes: Readonly<Record<string, number>>;
  /** Hex; see {@link LlamaModel.digest}. Reads every file once. */
  digest(): Promise<string>;
  load(): Promise<LlamaModel>;
  /** The tokenizer that lies with the weights; null when there is none. */
  tokenizer(): Promise<Tokenizer | null>;
  close(): Promise<void>;
}

/** Weights of llama2.c are read in one piece. */
const MAX_LLAMA2C_BYTES = 2 ** 31 - 1;

async function optionalText(path: string, what: string): Promise<string | undefined> {
  try {
    return new TextDecoder().decode(await readBounded(path, what));
  } catch (error) {
    if (SottoError.is(error) && error.facts.reason === 'ENOENT') return undefined;
    throw error;
  }
}

function countTypes(types: Iterable<string>): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const type of types) counts[type] = (counts[type] ?? 0) + 1;
  return counts;
}

const nameOf = (path: string) => basename(path).replace(/\.(gguf|bin|safetensors)$/i, '');

async function openGgufCheckpoint(path: string): Promise<Checkpoint> {
  const source = await FileSource.open(path);
  let file: GgufFile;
  let config: LlamaConfig;
  try {
    file = await openGguf(source);
    config = readGgufConfig(file);
  } catch (error) {
    await source.close();
    throw error;
  }
  const license = file.metadata.get('general.license');
  let digest: Promise<string> | undefined;
  const digestOnce = () => {
    digest ??= fileDigest(path);
    return digest;
  };
  return {
    format: 'gguf',
    name: nameOf(path),
    license: typeof license === 'string' ? license : 'not stated',
    path,
    sizeBytes: source.sizeBytes,
    config,
    tensorTypes: countTypes(file.types.values()),
    digest: digestOnce,
    load: async () => assembleGguf(file, await digestOnce()),
    tokenizer: async () =>
      file.metadata.has('tokenizer.ggml.tokens') ? readGgufTokenizer(file, config.vocabSize) : null,
    close: () => source.close(),
  };
}

const INDEX = 'model.safetensors.index.json';
const SINGLE = 'model.safetensors';

/** Reads the tokenizer files of a folder; null without `tokenizer.json`. */
export async function readFolderTokenizer(
  folder: string,
  vocabSize: number,
  tokenizerFile = 'tokenizer.json',
): Promise<Tokenizer | null> {
  const text = (name: string) => optionalText(join(folder, name), 'tokenizer');
  const tokenizer = await text(tokenizerFile);
  if (tokenizer === undefined) return null;
  const [tokenizerConfig, config, generationConfig, chatTemplate] = await Promise.all(
    ['tokenizer_config.json', 'config.json', 'generation_config.json', 'chat_template.jinja'].map(text),
  );
  return readTokenizerJson({ tokenizer, tokenizerConfig, config, generationConfig, chatTemplate }, vocabSize);
}

async function openFolder(folder: string): Promise<Checkpoint> {
  const configBytes = await readBounded(join(folder, 'config.json'), 'configuration');
  const config = readHuggingFaceConfig(new TextDecoder().decode(configBytes));
  const sources = new Map<string, FileSource>();
  const openFile = async (file: string): Promise<ByteSource> => {
    const source = await FileSource.open(join(folder, file));
    sources.set(file, source);
    return source;
  };
  const close = async () => {
    await Promise.all([...sources.values()].map((source) => source.close()));
  };
  try {
    const index = await optionalText(join(folder, INDEX), 'index');
    const store =
      index === undefined
        ? await openSafetensors(await openFile(SINGLE))
        : await openShardedSafetensors(index, openFile);
    const digest = async () => {
      const lines: string[] = [];
      for (const file of [...sources.keys()].sort())
        lines.push(`${file} ${await fileDigest(join(folder, file))}\n`);
      const rest = new TextEncoder().encode(lines.join(''));
      const all = new Uint8Array(configBytes.length + rest.length);
      all.set(configBytes);
      all.set(rest, configBytes.length);
      return toHex(sha256(all));
    };
    return {
      format: 'safetensors',
      name: basename(folder),
      license: 'not stated',
      path: folder,
      sizeBytes: [...sources.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      config,
      tensorTypes: countTypes(store.types.values()),
      digest,
      load: async () => assembleHuggingFace(store, config, await digest()),
      tokenizer: () => readFolderTokenizer(folder, config.vocabSize),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function openLlama2c(path: string): Promise<Checkpoint> {
  const bytes = await readBounded(path, 'model', MAX_LLAMA2C_BYTES);
  return {
    format: 'llama2.c',
    name: nameOf(path),
    license: 'not stated',
    path,
    sizeBytes: bytes.length,
    config: readLlama2cConfig(bytes),
    tensorTypes: { F32: 9 },
    digest: async () => toHex(sha256(bytes)),
    load: async () => readLlama2c(bytes),
    tokenizer: async () => null,
    close: async () => {},
  };
}

async function firstBytes(path: string): Promise<string> {
  const source = await FileSource.open(path);
  try {
    return new TextDecoder('latin1').decode(await source.read(0, Math.min(4, source.sizeBytes)));
  } finally {
    await source.close();
  }
}

/**
 * Opens a model on disk: a folder in the usual layout (`config.json`, `tokenizer.json`, `model.safetensors` or its index) or
 * with one GGUF file in it, a GGUF file, a file of such a folder, or a llama2.c checkpoint. `close` it.
 *
 * @throws `FILE_UNREADABLE`, `MODEL_FOLDER_UNKNOWN` and the errors of the readers.
 */
export async function openCheckpoint(path: string): Promise<Checkpoint> {
  if (!(await isFolder(path))) {
    if (/\.safetensors(\.index\.json)?$/.test(path)) return openFolder(dirname(path));
    return (await firstBytes(path)) === 'GGUF' ? openGgufCheckpoint(path) : openLlama2c(path);
  }
  const names = await fileNames(path);
  if (names.includes(INDEX) || names.includes(SINGLE)) return openFolder(path);
  const gguf = names.filter((name) => name.endsWith('.gguf'));
  if (gguf.length === 1) return openGgufCheckpoint(join(path, gguf[0]!));
  throw new SottoError('The folder holds no model, or several.', {
    code: 'MODEL_FOLDER_UNKNOWN',
    facts: { path, ggufFiles: gguf.length },
    fix: 'Give a folder with config.json and model.safetensors, or the path of a GGUF or llama2.c file.',
  });
}
