import { KeySample, type LocalModel, type PrivateSide, Session } from '@sotto/client';
import type { SessionSetup, SetupRequest } from '@sotto/engine';
import type { Backend } from '@sotto/he/ring';
import {
  describeModel,
  EXCHANGE_PLAN,
  EXCHANGE_WINDOW,
  exchangeEngine,
  serve,
  silentLogger,
  startProcessEngine,
} from '@sotto/server';

/** Refreshes of a measured block; more tell nothing new. */
const MOST_REFRESHES = 8;
const TOKENS = 3;

export interface ExchangeOptions {
  /** Kernels of client and server. */
  readonly backend: Backend;
  readonly request: Pick<SetupRequest, 'refresh' | 'parameters'>;
  /** Of what the client gets, and of what it sends back. */
  readonly downBytes: number;
  readonly upBytes: number;
  /** Of a block, by the client. */
  readonly refreshes: number;
}

export interface ExchangeCost {
  /** One message each way: bytes to the client, and other bytes back to the engine. */
  readonly messageSeconds: number;
  /** Making all keys while the server takes in those before, on the same cores. */
  readonly keygenSeconds: number;
  /** What the way of all keys, and their expansion at the server, take besides. */
  readonly keysSentSeconds: number;
}

/** Seconds of all keys from those of some: the first for itself, the others in proportion to their bytes. */
function ofAll(seconds: readonly number[], some: readonly number[], totalBytes: number): number {
  const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
  const rest = sum(some.slice(1));
  if (rest === 0) return (sum(seconds) * totalBytes) / sum(some);
  return seconds[0]! + (sum(seconds.slice(1)) * (totalBytes - some[0]!)) / rest;
}

/**
 * What keys take, and what bytes take on their way, in a session with a server and an engine process that does nothing but expand keys: some
 * of the real keys are made and sent, and blocks with refreshes of the real sizes follow. A few seconds; the network is not in it.
 */
export async function measureExchange(
  model: LocalModel,
  setup: SessionSetup,
  options: ExchangeOptions,
): Promise<ExchangeCost> {
  const { backend, request, downBytes, upBytes } = options;
  const refreshes = Math.min(MOST_REFRESHES, options.refreshes);
  const sample = new KeySample(setup, backend);
  const keyBytes = sample.keys.map(({ wireBytes }) => wireBytes);
  const engineModule = exchangeEngine({ keyBytes, downBytes, refreshes });
  const server = await serve({
    model: describeModel(model.weights, { name: model.name, license: model.license, backend }),
    ...{ modelPath: '', backend: backend.name, threads: backend.threads, modes: ['fhe'] },
    allowInsecure: request.parameters !== 'secure',
    startEngine: (engine) => startProcessEngine(engine, { engineModule, log: silentLogger }),
  });
  const making: number[] = [];
  const up = new Uint8Array(upBytes);
  const row = new Float64Array(model.weights.config.dim).map((_, i) => Math.sin(i));
  const side: PrivateSide = {
    ring: {
      parametersName: '',
      logN: 0,
      logQP: 0,
      secretWeight: null,
      ephemeralWeight: null,
      securityBits: 0,
    },
    ...EXCHANGE_PLAN,
    window: EXCHANGE_WINDOW,
    publicPrefix: [model.tokenizer.bosToken],
    secretId: '0'.repeat(32),
    keys: keyBytes.map((sizeBytes, index) => ({ index, id: `key@${index}`, sizeBytes })),
    largestRefreshes: refreshes,
    makeKey(index) {
      const startMs = performance.now();
      const key = sample.make(index);
      making.push((performance.now() - startMs) / 1000);
      return key;
    },
    knows: () => true,
    requireKnown: () => {},
    encryptRows: () => [up],
    decryptRows: (_, rows) => Array.from({ length: rows }, () => row),
    refresh: () => up,
    exportSecret: () => new Uint8Array(),
    dispose: () => sample.dispose(),
  };
  try {
    const session = await Session.connect(server.url, {
      model,
      ...request,
      createPrivateSide: async () => side,
    });
    const passes: number[] = [];
    const question = { publicText: 'a', privateText: 'a', maxTokens: TOKENS };
    for await (const { seconds } of session.ask(question)) passes.push(seconds);
    const { upload } = session.costs.seconds;
    await session.close();
    const totalBytes = setup.keys.reduce((sum, { wireBytes }) => sum + wireBytes, 0);
    return {
      messageSeconds: Math.min(...passes) / (refreshes + 1),
      keygenSeconds: ofAll(making, keyBytes, totalBytes),
      keysSentSeconds: (upload * totalBytes) / keyBytes.reduce((a, b) => a + b, 0),
    };
  } finally {
    await server.close();
  }
}
