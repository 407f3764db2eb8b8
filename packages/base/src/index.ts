export { ByteReader, ByteWriter } from './bytes.js';
export { type Fact, SottoError, type SottoErrorOptions } from './errors.js';
export { type ProgressEvent, type ProgressListener, ProgressMeter } from './progress.js';
export { randomBytes } from './random.js';
export { Sha256, sha256, toHex } from './sha256.js';
