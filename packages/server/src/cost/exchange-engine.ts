import { parametersFor } from '@sotto/engine';
import { deserializeEvaluationKey, EvaluationKey, EvaluationKeySet, RingContext } from '@sotto/he/rlwe';
import { openBackend } from '../engine/backend.js';
import type { StartEngine } from '../engine/port.js';

/** What a session without mathematics sends. */
export interface ExchangeSizes {
  /** Of each key. */
  readonly keyBytes: readonly number[];
  /** Refreshes that a block asks of the client. */
  readonly refreshes: number;
  /** Of what goes to the client to be refreshed, and of a result. */
  readonly downBytes: number;
}

export const EXCHANGE_PLAN = { parametersDigest: 'ec'.repeat(16), planDigest: 'ce'.repeat(32) } as const;

/** Positions, rows and tokens of such a session. */
export const EXCHANGE_WINDOW = { blockRows: 4, publicTokens: 64, privateTokens: 64, positions: 128 } as const;

/** Address of this module for engine processes that exchange bytes of these sizes. */
export function exchangeEngine(sizes: ExchangeSizes): string {
  const url = new URL('./exchange-engine.js', import.meta.url);
  for (const [name, size] of Object.entries(sizes)) url.searchParams.set(name, String(size));
  return url.href;
}

/**
 * An engine that expands keys and answers blocks without computing them: what a session takes with it is what keys take, and what
 * other bytes take on their way through client, server and engine process.
 */
export const startEngine: StartEngine = async (options) => {
  const query = new URL(import.meta.url).searchParams;
  const sizes = (name: keyof ExchangeSizes) => query.get(name)!.split(',').map(Number);
  const size = (name: keyof ExchangeSizes) => sizes(name)[0]!;
  const parameters = parametersFor(options);
  const { logN, primes } = parameters;
  const ring = openBackend(options.backend, options.threads).createRing({ logN, primes });
  const context = new RingContext(parameters, ring);
  const keys = new EvaluationKeySet(context);
  let asked = 0;
  const bytes = () => new Uint8Array(size('downBytes')).fill(asked++);
  return {
    description: {
      parametersName: 'exchange',
      ...EXCHANGE_PLAN,
      window: EXCHANGE_WINDOW,
      keys: sizes('keyBytes').map((sizeBytes, index) => ({ index, id: `key@${index}`, sizeBytes })),
    },
    async loadKey(_, bytes) {
      keys.add(EvaluationKey.expand(context, deserializeEvaluationKey(parameters, bytes)));
    },
    async loadPublic() {},
    async run(rows, hooks) {
      for (let i = 0; i < size('refreshes'); i++) await hooks.refresh(bytes());
      return { rows: { ...rows, ciphertexts: [bytes()] }, bootstraps: 0 };
    },
    async reset() {},
    async close() {
      ring.dispose();
    },
  };
};
