import { pathOf } from '#model/disk';
import { dataFolder } from '#model/embedded-files';

/** A model that ships with this package. */
export interface EmbeddedModel {
  /** What `--model` takes for its path. */
  readonly name: string;
  /** Weights: a file, or a folder in the usual layout. */
  readonly model: URL;
  readonly tokenizer: URL;
  readonly license: string;
  /** Table of drafts from texts of the model itself (`scripts/make-draft-table.mjs`). */
  readonly drafts: URL;
}

const tokenizer = new URL('stories260K/tok512.bin', dataFolder);

/** stories260K, a five-layer plain Llama of 260 thousand weights. */
export const embeddedModel: EmbeddedModel = {
  name: 'stories260K',
  model: new URL('stories260K/stories260K.bin', dataFolder),
  tokenizer,
  license: 'MIT',
  drafts: new URL('stories260K/drafts.bin', dataFolder),
};

/** Two layers with kernel attention and a bilinear gate, distilled from stories260K: what is used when no model is named. */
export const defaultModel: EmbeddedModel = {
  name: 'sotto-stories-2x128',
  model: new URL('sotto-stories-2x128', dataFolder),
  tokenizer,
  license: 'Apache-2.0',
  drafts: new URL('sotto-stories-2x128-drafts.bin', dataFolder),
};

export const embeddedModels: readonly EmbeddedModel[] = [defaultModel, embeddedModel];

/** The model that ships under a name, or at a path. */
export function findEmbedded(nameOrPath: string): EmbeddedModel | undefined {
  return embeddedModels.find(({ name, model }) => nameOrPath === name || nameOrPath === pathOf(model));
}

/** The path of a model: that of an embedded one for its name, of the default without one. */
export function modelPath(nameOrPath?: string): string {
  if (nameOrPath === undefined) return pathOf(defaultModel.model);
  const found = findEmbedded(nameOrPath);
  return found === undefined ? nameOrPath : pathOf(found.model);
}
