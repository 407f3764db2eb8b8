export type { Backend, Basis, MemoryUse, Ptr, Ring, RingOptions, WorkCounts } from './backend.js';
export { LEAST_RUN } from './backend.js';
export { createNativeBackend, type NativeOptions } from './backends/native/backend.js';
export type { NativeIsa } from './backends/native/library.js';
export { createNullBackend } from './backends/null.js';
export { createReferenceBackend } from './backends/reference.js';
export {
  type BackendChoice,
  type BackendDescription,
  describeBackends,
  selectBackend,
} from './backends/select.js';
export { createWasmBackend, type WasmOptions } from './backends/wasm/backend.js';
export { bitLength, bitReverse, isPowerOfTwo, roundTiesToEven } from './bits.js';
export { ChaCha20 } from './chacha20.js';
export { invMod, mulMod, powMod } from './modular.js';
export { isPrime, PRIME_LIMIT, primesBelow, primesNear, rootOfUnity } from './primes.js';
export { SlotTransform } from './slot-transform.js';
