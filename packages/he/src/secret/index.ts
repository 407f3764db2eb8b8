export { Decryptor } from './decryptor.js';
export { Encryptor } from './encryptor.js';
export { flood, floodingLogBound } from './flooding.js';
export { KeyGenerator, type KeyOptions } from './key-generator.js';
export { RandomSource } from './random-source.js';
export { GaussianSampler, sampleFixedWeight, sampleTernary } from './samplers.js';
export { SecretKey } from './secret-key.js';
export { deserializeSecretKey, serializeSecretKey } from './serialize.js';
