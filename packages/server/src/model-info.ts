import type { LlamaModel } from '@sotto/model';
import { type ModelInfo, PROTOCOL_VERSION } from '@sotto/protocol';

/** What GET /v1/model tells about a model. */
export function describeModel(
  model: LlamaModel,
  facts: Pick<ModelInfo, 'name' | 'license' | 'backend'>,
): ModelInfo {
  const { dim, hiddenDim, layerCount, headCount, kvHeadCount, vocabSize, contextLength, tied } = model.config;
  return {
    protocol: PROTOCOL_VERSION,
    digest: model.digest,
    ...facts,
    config: { dim, hiddenDim, layerCount, headCount, kvHeadCount, vocabSize, contextLength, tied },
  };
}
