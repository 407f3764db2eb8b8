export type { Backend, Basis, MemoryUse, Ptr, Ring, RingOptions, WorkCounts } from './backend.js';
export { createNullBackend } from './backends/null.js';
export { createReferenceBackend } from './backends/reference.js';
export { bitLength, bitReverse, isPowerOfTwo, roundTiesToEven } from './bits.js';
export { ChaCha20 } from './chacha20.js';
export { invMod, mulMod, powMod } from './modular.js';
export { isPrime, PRIME_LIMIT, primesBelow, primesNear, rootOfUnity } from './primes.js';
