export {
  type AnswerEvent,
  type AnswerMode,
  type AnswerRequest,
  answerEventSchema,
  answerModeSchema,
  answerRequestSchema,
  type TextWindow,
  textWindowSchema,
} from './answers.js';
export { checksum32 } from './checksum.js';
export { type ErrorBody, errorBodyOf, errorBodySchema, errorFromBody, statusOfCode } from './errors.js';
export { type JobEvent, jobEventSchema } from './events.js';
export { decodeFrame, encodeFrame, FRAME_HEADER_BYTES, type Frame, type FrameKind } from './frame.js';
export {
  type KeySetInfo,
  type KeySetRequest,
  keyPartsSchema,
  keyPartsStateSchema,
  keySetListSchema,
  keySetRequestSchema,
  keySetSchema,
  PART_BYTES,
  TUS_VERSION,
} from './key-sets.js';
export {
  healthSchema,
  type JobStatus,
  jobCreatedSchema,
  jobStatusSchema,
  type KeyEntry,
  keyEntrySchema,
  keyStoredSchema,
  keysLoadedSchema,
  type ModelInfo,
  modelInfoSchema,
  type ParameterChoice,
  type Parsed,
  parameterChoiceSchema,
  parseMessage,
  publicRequestSchema,
  publicStoredSchema,
  type RefreshMode,
  refreshModeSchema,
  type Schema,
  type ServerSaw,
  type SessionInfo,
  type SessionRequest,
  type SessionStatus,
  sessionRequestSchema,
  sessionSchema,
  sessionStatusSchema,
  type WaitingFor,
  type Window,
} from './messages.js';
export { openApiDocument } from './openapi.js';
export { decodeRows, encodeRows, type Rows } from './payload.js';
export { type Body, type Route, routes } from './routes.js';
export { encodeStreamEvent, type StreamEvent, StreamEventParser, streamHeartbeat } from './sse.js';
export { PROTOCOL_VERSION } from './version.js';
