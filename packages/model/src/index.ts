export { accelerate, type MatrixProducts } from './accelerate.js';
export { ChatTemplate } from './chat-template.js';
export { type Checkpoint, type CheckpointFormat, openCheckpoint } from './checkpoint.js';
export {
  type AttentionKind,
  attentionKindOf,
  attentionWidthOf,
  bosTokenOf,
  checkConfig,
  type GateKind,
  gateKindOf,
  headDimOf,
  isPlainLlama,
  kvDimOf,
  type LlamaConfig,
} from './config.js';
export {
  defaultModel,
  type EmbeddedModel,
  embeddedModel,
  embeddedModels,
  findEmbedded,
  modelPath,
} from './embedded.js';
export { type ModelFile, type ModelFiles, readModelFile, readTokenizerFile } from './files.js';
export { type GenerateOptions, generate } from './generate.js';
export { type GgufFile, type GgufValue, openGguf } from './gguf.js';
export { assembleGguf, readGgufConfig } from './gguf-llama.js';
export { readGgufTokenizer } from './gguf-tokenizer.js';
export { halfRows, rowsOfHalf } from './half-rows.js';
export { assembleHuggingFace, readHuggingFaceConfig, toHuggingFace } from './huggingface.js';
export { kernelBase, kernelSums, keyCountFactor } from './kernel-attention.js';
export { JsonTokenizer, readTokenizerJson } from './library-tokenizer.js';
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
  traceRows,
} from './llama.js';
export { type LlamaLayer, type LlamaModel, readLlama2c, writeLlama2c } from './llama2c.js';
export { type Piece, PieceTokenizer, readTextVocabulary, readTokenizer } from './piece-tokenizer.js';
export { SeededRandom, sampleToken } from './random.js';
export {
  openSafetensors,
  openShardedSafetensors,
  type SafetensorsType,
  type TensorData,
  writeSafetensors,
  writeShardedSafetensors,
} from './safetensors.js';
export { type ByteSource, memorySource } from './source.js';
export type { TensorStore } from './tensor-store.js';
export {
  BOS_TOKEN,
  type ChatMessage,
  type EncodeOptions,
  EOS_TOKEN,
  encodeChat,
  type Tokenizer,
  UNKNOWN_TOKEN,
} from './tokenizer.js';
