export { checkConfig, headDimOf, kvDimOf, type LlamaConfig } from './config.js';
export { embeddedModel } from './embedded.js';
export { type ModelFile, type ModelFiles, readModelFile, readTokenizerFile } from './files.js';
export {
  argmax,
  embedTokens,
  finishLogits,
  forward,
  forwardRows,
  KvCache,
  type LlamaTrace,
  meanSquare,
  rmsNorm,
  ropeAngle,
  silu,
} from './llama.js';
export { type LlamaLayer, type LlamaModel, readLlama2c, writeLlama2c } from './llama2c.js';
export { SeededRandom, sampleToken } from './random.js';
export {
  BOS_TOKEN,
  EOS_TOKEN,
  readTextVocabulary,
  readTokenizer,
  Tokenizer,
  UNKNOWN_TOKEN,
} from './tokenizer.js';
