export type { Backend, Basis, MemoryUse, Ptr, Ring, RingOptions, WorkCounts } from './backend.js';
