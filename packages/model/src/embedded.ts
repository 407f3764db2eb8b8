/** The model that ships with this package: stories260K, a five-layer Llama of 260 thousand weights. */
export const embeddedModel: {
  readonly name: string;
  readonly model: URL;
  readonly tokenizer: URL;
  /** Table of drafts from its own texts. */
  readonly drafts: URL;
} = {
  name: 'stories260K',
  model: new URL('../data/stories260K/stories260K.bin', import.meta.url),
  tokenizer: new URL('../data/stories260K/tok512.bin', import.meta.url),
  drafts: new URL('../data/stories260K/drafts.bin', import.meta.url),
};
