import { type Backend, selectBackend } from '@sotto/he/ring';
import type { ModelInfo } from '@sotto/protocol';

type BackendName = 'native' | 'wasm' | 'reference';

/** @param backend a name, or `auto` for the fastest that runs here. @throws `BACKEND_UNAVAILABLE`. */
export function openBackend(backend: string, threads: number): Backend {
  return selectBackend(backend === 'auto' ? { threads } : { name: backend as BackendName, threads });
}

/** What a session's engine will compute with. @throws `BACKEND_UNAVAILABLE`. */
export function describeBackend(machine: { backend: string; threads: number }): ModelInfo['backend'] {
  // Native thread pools start when a backend is opened, and only the sessions' engines need one.
  const { name, isa } = openBackend(machine.backend, 1);
  return {
    name,
    isa,
    threads: name === 'native' ? machine.threads : openBackend(name, machine.threads).threads,
  };
}
