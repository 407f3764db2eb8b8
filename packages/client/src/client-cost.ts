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
/** A key in the making is there as rows, as words and as bytes; two may wait to be sent, others for the garbage collector. */
const KEY_COPIES = 8;
/** Keys of a sample: the first is slower than others, its code is not compiled yet. */
const SAMPLED_KEYS = 8;

function timed<T>(work: () => T): { seconds: number; result: T } {
  work();
  const startMs = performance.now();
  const result = work();
  return { seconds: (performance.now() - startMs) / 1000, result };
}

/** Some keys of a setup, spread over its list, to be made under a secret that is forgotten. */
export class KeySample {
  readonly keys: SessionSetup['keys'];
  readonly #vault: Vault;

  constructor({ parameters, keys }: SessionSetup, backend: Backend) {
    const stride = Math.max(1, Math.floor(keys.length / SAMPLED_KEYS));
    this.keys = keys.filter((_, i) => i % stride === 0).slice(0, SAMPLED_KEYS);
    this.#vault = new Vault(parameters, backend);
  }

  /** Makes one, serialised. */
  make(index: number): Uint8Array {
    const { id, maxLevel } = this.keys[index]!;
    return this.#vault.makeKey(id, maxLevel);
  }

  dispose(): void {
    this.#vault.dispose();
  }
}

/** Measures the client's part of a setup with a secret that is made for it and forgotten. About a second. */
export function measureClient({ parameters, plan, keys }: SessionSetup, backend: Backend): ClientCost {
  const vault = new Vault(parameters, backend);
  const ring = backend.createRing({ logN: parameters.logN, primes: parameters.primes });
  const context = new RingContext(parameters, ring);
  try {
    const total = keys.reduce((sum, { wireBytes }) => sum + wireBytes, 0);
    const values = { re: new Float64Array(plan.client.width * plan.client.blockRows).fill(0.25), im: null };
    const block = timed(() => vault.encrypt(values, plan.client.inputLevel));
    const low = expandCiphertext(
      context,
      deserializeSeededCiphertext(parameters, vault.encrypt(values, parameters.bottomLevel)),
    );
    const asked = timed(() => serializeCiphertext(low));
    low.release();
    const decrypted = timed(() => vault.decrypt(asked.result));
    const refreshed = timed(() => vault.refresh(asked.result, plan.topLevel));
    const loaded = timed(() => deserializeSeededCiphertext(parameters, refreshed.result));
    const largest = Math.max(...keys.map((one) => one.wireBytes));
    return {
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
