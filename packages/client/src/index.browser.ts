export type { AnswerToken, DraftCounts } from './answering.js';
export { ClearReference, type LogitsError } from './clear-reference.js';
export { type ClientCost, KeySample, measureClient } from './client-cost.js';
export { Connection, type ConnectionOptions, type Traffic } from './connection.js';
export { type BlockRequest, type DraftedBlock, type Drafting, draftBlock } from './draft/block-plan.js';
export { DraftTable, tableDrafter } from './draft/draft-table.js';
export type { Drafter } from './draft/drafter.js';
export { modelDrafter } from './draft/model-drafter.js';
export { ngramDrafter } from './draft/ngram.js';
export type { ClientKey } from './key-file.js';
export { KeySets } from './key-sets.js';
export {
  type KeyUploadCosts,
  type KeyUploadOptions,
  keySetIdOf,
  uploadKeySet,
} from './key-upload.js';
export { type LocalModel, loadLocalModel } from './local-model.js';
export type { CreatePrivateSide, PrivateSide, PrivateSideOptions, RingFacts } from './private-side.js';
export { messageTokens, type Prompt, type PromptTexts, TextAssembler, tokenizePrompt } from './prompt.js';
export type { SanitizedQuestion } from './sanitized/question.js';
export {
  type PreparedQuestion,
  type SanitizedPiece,
  SanitizedSession,
  type SanitizedSessionOptions,
  type SanitizedSummary,
} from './sanitized/sanitized-session.js';
export {
  type PreparedUpstreamQuestion,
  type UpstreamOptions,
  UpstreamSession,
  type UpstreamSummary,
} from './sanitized/upstream-session.js';
export {
  type Question,
  Session,
  type SessionCosts,
  type SessionOptions,
} from './session.js';
