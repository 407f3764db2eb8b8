import type { SessionSetup } from '@sotto/engine';
import type { Backend } from '@sotto/he/ring';
import {
  deserializeSeededCiphertext,
  expandCiphertext,
  RingContext,
  serializeCiphertext,
} from '@sotto/he/rlwe';
import { Vault } from './vault.js';

/** What a session will take at the client, and what travels. */
export interface ClientCost {
  /** Making all keys. */
  readonly keySeconds: number;
  /** Encrypting a block, and decrypting a result. */
  readonly blockSeconds: number;
  /** One refresh: at the client, and what the server does with its bytes besides kernels. */
  readonly refreshSeconds: number;
  /** Exact sizes on the wire, without framing. */
  readonly bytes: {
    readonly keys: number;
    readonly block: number;
    readonly result: number;
    readonly refreshDown: number;
    readonly refreshUp: number;
  };
  /** Resident memory at the peak. */
  readonly peakBytes: number;
}

/** Node, code and model. */
const PROCESS_BYTES = 200e6;
/** A key in the making is there as rows, as words and as bytes; two may wait to be sent. */
const KEY_COPIES = 5;

function timed<T>(work: () => T): { seconds: number; result: T } {
  work();
  const startMs = performance.now();
  const result = work();
  return { seconds: (performance.now() - startMs) / 1000, result };
}

/**
 * Measures the client's part of a setup with a secret that is made for it and forgotten: one key, of the middle size, stands for
 * all in proportion to their bytes. About two seconds.
 */
export function measureClient({ parameters, plan, keys }: SessionSetup, backend: Backend): ClientCost {
  const vault = new Vault(parameters, backend);
  const ring = backend.createRing({ logN: parameters.logN, primes: parameters.primes });
  const context = new RingContext(parameters, ring);
  try {
    const total = keys.reduce((sum, { wireBytes }) => sum + wireBytes, 0);
    const sorted = [...keys].sort((a, b) => a.wireBytes - b.wireBytes);
    const { id, maxLevel, wireBytes } = sorted[Math.floor(sorted.length / 2)]!;
    const key = timed(() => vault.makeKey(id, maxLevel));
    const values = { re: new Float64Array(plan.client.width * plan.client.blockRows).fill(0.25), im: null };
    const block = timed(() => vault.encrypt(values, plan.client.inputLevel));
    const low = expandCiphertext(
      context,
      deserializeSeededCiphertext(parameters, vault.encrypt(values, parameters.bottomLevel)),
    );
    const asked = timed(() => serializeCiphertext(low));
    low.release();
    const decrypted = timed(() => vault.decrypt(asked.result));
    const refreshed = timed(() => vault.refresh(asked.result));
    const loaded = timed(() => deserializeSeededCiphertext(parameters, refreshed.result));
    const largest = Math.max(...keys.map((one) => one.wireBytes));
    return {
      keySeconds: (key.seconds * total) / wireBytes,
      blockSeconds: block.seconds + decrypted.seconds,
      refreshSeconds: asked.seconds + refreshed.seconds + loaded.seconds,
      bytes: {
        keys: total,
        block: block.result.length,
        result: asked.result.length,
        refreshDown: asked.result.length,
        refreshUp: refreshed.result.length,
      },
      peakBytes: PROCESS_BYTES + KEY_COPIES * largest,
    };
  } finally {
    ring.dispose();
    vault.dispose();
  }
}
