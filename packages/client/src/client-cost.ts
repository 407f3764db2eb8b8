import type { SessionSetup } from '@sotto/engine';
import type { Backend } from '@sotto/he/ring';
import {
  deserializeEvaluationKey,
  deserializeSeededCiphertext,
  expandCiphertext,
  RingContext,
  serializeCiphertext,
} from '@sotto/he/rlwe';
import { Vault } from './vault.js';

/** What a session will take at the client, and what travels. */
export interface ClientCost {
  /** Making all keys, while nothing else runs. */
  readonly keySeconds: number;
  /** Of all threads together. */
  readonly keyCpuSeconds: number;
  /** Taking all keys apart at the server, before their expansion in the kernels. */
  readonly keyReadSeconds: number;
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

interface KeyTimes {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly readSeconds: number;
}

function timed<T>(work: () => T): { seconds: number; result: T } {
  work();
  const startMs = performance.now();
  const result = work();
  return { seconds: (performance.now() - startMs) / 1000, result };
}

/** Making all keys, from some of them in proportion to their bytes. */
function keyTimes(vault: Vault, keys: SessionSetup['keys']): KeyTimes {
  const total = keys.reduce((sum, { wireBytes }) => sum + wireBytes, 0);
  const stride = Math.max(1, Math.floor(keys.length / (SAMPLED_KEYS + 1)));
  const some = keys.filter((_, i) => i % stride === 0).slice(0, SAMPLED_KEYS + 1);
  const times = some.map(({ id, maxLevel }): KeyTimes => {
    const cpu = process.cpuUsage();
    const startMs = performance.now();
    const key = vault.makeKey(id, maxLevel);
    const madeMs = performance.now();
    const { user, system } = process.cpuUsage(cpu);
    deserializeEvaluationKey(vault.params, key);
    return {
      seconds: (madeMs - startMs) / 1000,
      cpuSeconds: (user + system) / 1e6,
      readSeconds: (performance.now() - madeMs) / 1000,
    };
  });
  const [first, ...others] = times;
  const bytes = some.slice(1).reduce((sum, { wireBytes }) => sum + wireBytes, 0);
  const all = (part: keyof KeyTimes): number => {
    if (bytes === 0) return (first![part] * total) / some[0]!.wireBytes;
    const sum = others.reduce((sum, times) => sum + times[part], 0);
    return first![part] + (sum * (total - some[0]!.wireBytes)) / bytes;
  };
  return { seconds: all('seconds'), cpuSeconds: all('cpuSeconds'), readSeconds: all('readSeconds') };
}

/** Measures the client's part of a setup with a secret that is made for it and forgotten. About two seconds. */
export function measureClient({ parameters, plan, keys }: SessionSetup, backend: Backend): ClientCost {
  const vault = new Vault(parameters, backend);
  const ring = backend.createRing({ logN: parameters.logN, primes: parameters.primes });
  const context = new RingContext(parameters, ring);
  try {
    const total = keys.reduce((sum, { wireBytes }) => sum + wireBytes, 0);
    const making = keyTimes(vault, keys);
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
      keySeconds: making.seconds,
      keyCpuSeconds: making.cpuSeconds,
      keyReadSeconds: making.readSeconds,
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
