import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { SottoError } from '@sotto/base';
import { makeLayout } from '@sotto/engine';
import { N15_CLIENT, N16_BOOT, type ParametersLiteral } from '@sotto/he/rlwe';
import { embeddedModels, findEmbedded, type LlamaConfig, modelPath, openCheckpoint } from '@sotto/model';
import type { Command } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import { modelOptions } from '../options.js';

interface Found {
  readonly path: string;
  readonly name?: string;
  readonly format?: string;
  readonly license?: string;
  readonly sizeBytes?: number;
  readonly digest?: string;
  readonly config?: LlamaConfig;
  readonly tensorTypes?: Readonly<Record<string, number>>;
  /** Encrypted rows of one pass by parameters; 0 when the layout does not fit. */
  readonly blockRows?: Readonly<Record<'bootstrap' | 'client', number>>;
  /** Code of the error that says why it cannot be used. */
  readonly refused?: string;
}

/** The largest block whose layout fits the ciphertexts of these parameters. */
function largestBlock(config: LlamaConfig, { logN }: ParametersLiteral): number {
  for (const blockRows of [16, 8, 4, 2, 1]) {
    try {
      makeLayout(config, { slots: 2 ** (logN - 1), blockRows, privateTokens: blockRows });
      return blockRows;
    } catch (error) {
      if (!SottoError.is(error) || error.code !== 'PLAN_LAYOUT_IMPOSSIBLE') throw error;
    }
  }
  return 0;
}

async function inspect(path: string): Promise<Found> {
  const embedded = findEmbedded(path);
  try {
    const checkpoint = await openCheckpoint(path);
    try {
      const { format, license, sizeBytes, config, tensorTypes } = checkpoint;
      return {
        path,
        name: embedded?.name ?? checkpoint.name,
        format,
        license: embedded?.license ?? license,
        sizeBytes,
        digest: await checkpoint.digest(),
        config,
        tensorTypes,
        blockRows: { bootstrap: largestBlock(config, N16_BOOT), client: largestBlock(config, N15_CLIENT) },
      };
    } finally {
      await checkpoint.close();
    }
  } catch (error) {
    if (!SottoError.is(error)) throw error;
    return { path, refused: error.code };
  }
}

/** Files and folders of `folder` that look like models, two folders deep. */
async function candidates(folder: string, depth = 2): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    throw new SottoError('The folder cannot be read.', {
      code: 'FILE_UNREADABLE',
      facts: { path: folder, reason: error.code ?? 'unknown' },
      fix: 'Check the path.',
      cause: error,
    });
  });
  if (entries.some(({ name }) => /^model\.safetensors(\.index\.json)?$/.test(name))) return [folder];
  const found: string[] = [];
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && depth > 0) found.push(...(await candidates(path, depth - 1)));
    // Tokenizers of llama2.c have the same ending as its weights.
    else if (/\.(gguf|bin)$/.test(entry.name) && !/^tok/.test(entry.name)) found.push(path);
  }
  return found;
}

function describe(model: Found): string {
  if (!model.config) return `${model.path}\n  cannot be used: ${model.refused}\n`;
  const { dim, hiddenDim, layerCount, headCount, kvHeadCount, vocabSize, contextLength, tied } = model.config;
  const types = Object.entries(model.tensorTypes ?? {}).map(([type, count]) => `${count} ${type}`);
  const fits = Object.entries(model.blockRows ?? {}).map(([refresh, rows]) =>
    rows > 0 ? `${rows} rows a pass (${refresh} refresh)` : `does not fit (${refresh} refresh)`,
  );
  return [
    `${model.name}`,
    `  ${model.format}, ${((model.sizeBytes ?? 0) / 1e6).toFixed(1)} MB, tensors ${types.join(', ')}, license ${model.license}`,
    `  ${layerCount} layers, dim ${dim}, feed-forward ${hiddenDim}, heads ${headCount}:${kvHeadCount}, vocabulary ${vocabSize}, ` +
      `context ${contextLength}, ${tied ? 'tied' : 'untied'} head`,
    `  encrypted layout: ${fits.join('; ')}`,
    `  ${model.path}`,
    `  ${model.digest}`,
    '',
  ].join('\n');
}

export const command: Command = {
  name: 'models',
  description:
    'Lists models: the embedded ones (the default first), the one that is given, and those in a folder.',
  example: 'sotto models --folder ./models',
  options: {
    folder: { value: 'PATH', help: 'Folder to look into, two levels deep.' },
    model: modelOptions.model!,
  },
  async run(options, output) {
    const folder = options.text('folder');
    const given = options.text('model');
    const models: Found[] = [];
    const paths = [
      ...embeddedModels.map(({ name }) => modelPath(name)),
      ...(given === undefined ? [] : [modelPath(given)]),
      ...(folder === undefined ? [] : await candidates(folder)),
    ];
    for (const path of paths) models.push(await inspect(path));
    output.out(options.flag('json') ? `${JSON.stringify({ models })}\n` : models.map(describe).join('\n'));
    return exitCodes.ok;
  },
};
