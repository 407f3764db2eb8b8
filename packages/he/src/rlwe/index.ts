export { Arena, type Releasable } from './arena.js';
export type { ChainLiteral } from './chain.js';
export { checksum64 } from './checksum.js';
export { Ciphertext } from './ciphertext.js';
export { RingContext, type Scratch } from './context.js';
export { createParameters, ERROR_STD, type ParametersLiteral } from './create-parameters.js';
export { centredDoubles, centredIntegers } from './crt.js';
export {
  ENVELOPE_TYPES,
  type EnvelopeHeader,
  type EnvelopeType,
  openEnvelope,
  peekEnvelope,
  sealEnvelope,
} from './envelope.js';
export {
  denseToSparsePlan,
  type EvaluationKeyId,
  expandedKeyBytes,
  type KeySwitchPlan,
  keySwitchPlan,
  sparseToDensePlan,
} from './key-plan.js';
export { Digits, KeySwitcher, OwnedPair, type Pair } from './key-switch.js';
export {
  describeKey,
  EvaluationKey,
  EvaluationKeySet,
  SEED_BYTES,
  type SeededEvaluationKey,
} from './keys.js';
export type {
  BootstrapLevels,
  LevelKind,
  LevelSpec,
  Parameters,
  SecretKind,
  SecurityReport,
} from './parameters.js';
export { insecureBoot, insecureClient, N15_CLIENT, N16_BOOT, presetByName } from './presets.js';
export { findSecurityRow, reportSecurity, type SecurityQuery, securityBits } from './security.js';
export { CIPHERTEXT_DOMAIN, expandCiphertext, type SeededCiphertext } from './seeded-ciphertext.js';
export {
  deserializeCiphertext,
  deserializeEvaluationKey,
  deserializeSeededCiphertext,
  fromHex,
  serializeCiphertext,
  serializeEvaluationKey,
  serializeSeededCiphertext,
} from './serialize.js';
export { evaluationKeyPlan, evaluationKeyWireBytes } from './wire-size.js';
