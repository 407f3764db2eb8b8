import type { Backend, Ring, RingOptions } from '../backend.js';
import { CheckedRing, type Kernels } from './checked-ring.js';
import { checkRingOptions } from './limits.js';
import { RowMemory } from './row-memory.js';

/**
 * Counts work and memory without doing or holding any: what a circuit costs, in milliseconds. Every read gives zeros.
 */
export function createNullBackend(): Backend {
  const backend: Backend = {
    name: 'null',
    isa: 'none',
    threads: 1,
    createRing(options: RingOptions): Ring {
      checkRingOptions(options);
      return new CheckedRing(backend, options, nullKernels(options));
    },
  };
  return backend;
}

function nullKernels({ logN }: RingOptions): Kernels {
  const nothing = () => {};
  const zeros = new Float64Array(2 ** logN);
  const rowBytes = 4 * 2 ** logN;
  const memory = new RowMemory({ base: rowBytes, rowBytes, limitRows: 2 ** 24, commit: () => true });
  return {
    memory,
    cold: null,
    allocCold: (rows) => memory.alloc(rows, 'cold'),
    free: (at) => void memory.free(at),
    read: (_at, count) => new Uint32Array(count),
    defineBasis: nothing,
    dispose: nothing,
    write: nothing,
    copy: nothing,
    zero: nothing,
    select: nothing,
    ntt: nothing,
    intt: nothing,
    add: nothing,
    sub: nothing,
    neg: nothing,
    toMontgomery: nothing,
    mul: nothing,
    mulAdd: nothing,
    mulSum: nothing,
    mulConst: nothing,
    mulConstAdd: nothing,
    addConst: nothing,
    tensor: nothing,
    permute: nothing,
    extend: nothing,
    divideRoundMany: nothing,
    decompose: nothing,
    keySwitch: nothing,
    innerProduct: nothing,
    embed: () => zeros,
    liftDoubles: nothing,
    uniform: nothing,
  };
}
