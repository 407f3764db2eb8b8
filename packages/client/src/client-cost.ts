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
/** A key in the making is there as rows, as words and as bytes; two may wait to be sent, others for the garbage collector. */
const KEY_COPIES = 8;
/** Keys whose making is measured after the first one, which is slower: its code is not compiled yet. */
const SAMPLED_KEYS = 5;

function timed<T>(work: () => T): { seconds: number; result: T } {
  work();
  const startMs = performance.now();
  const result = work();
  return { seconds: (performance.now() - startMs) / 1000, result };
}

/** Seconds of making all keys, from some of them in proportion to their bytes. */
function keySeconds(vault: Vault, keys: SessionSetup['keys']): number {
  const total = keys.reduce((sum, { wireBytes }) => sum + wireBytes, 0);
  const stride = Math.max(1, Math.floor(keys.length / (SAMPLED_KEYS + 1)));
  const some = keys.filter((_, i) => i % stride === 0).slice(0, SAMPLED_KEYS + 1);
  const times = some.map(({ id, maxLevel }) => {
    const startMs = performance.now();
    vault.makeKey(id, maxLevel);
    return (performance.now() - startMs) / 1000;
  });
  const [first = 0, ...others] = times;
  const bytes = some.slice(1).reduce((sum, { wireBytes }) => sum + wireBytes, 0);
  if (bytes === 0) return (first * total) / some[0]!.wireBytes;
  return first + (others.reduce((sum, s) => sum + s, 0) * (total - some[0]!.wireBytes)) / bytes;
}

/** Measures the client's part of a setup with a secret that is made for it and forgotten. About two seconds. */
export function measureClient({ parameters, plan, keys }: SessionSetup, backend: Backend): ClientCost {
  const vault = new Vault(parameters, backend);
  const ring = backend.createRing({ logN: parameters.logN, primes: parameters.primes });
  const context = new RingContext(parameters, ring);
  try {
    const total = keys.reduce((sum, { wireBytes }) => sum + wireBytes, 0);
    const making = keySeconds(vault, keys);
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
      keySeconds: making,
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
