import { type LocalModel, type PrivateSide, Session } from '@sotto/client';
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
const KEYS = 5;
const TOKENS = 3;

export interface ExchangeCost {
  /** One message each way: bytes to the client, and other bytes back to the engine. */
  readonly messageSeconds: number;
  /** One key on its way to the engine, pauses of the sender included. */
  readonly keySeconds: number;
}

/**
 * What bytes take on their way, measured on a server with an engine process that computes nothing: a few keys, and blocks with
 * refreshes by the client. A second or two; the network is not in it.
 *
 * @param sizes of one key, of what the client gets and of what it sends back. @param refreshes of a block.
 */
export async function measureExchange(
  model: LocalModel,
  sizes: { readonly keyBytes: number; readonly downBytes: number; readonly upBytes: number },
  refreshes: number,
): Promise<ExchangeCost> {
  const asked = Math.min(MOST_REFRESHES, refreshes);
  const { keyBytes, downBytes, upBytes } = sizes;
  const engineModule = exchangeEngine({ keys: KEYS, keyBytes, downBytes, refreshes: asked });
  const server = await serve({
    model: describeModel(model.weights, {
      name: model.name,
      license: model.license,
      backend: { name: 'none', isa: 'none', threads: 1 },
    }),
    ...{ modelPath: '', backend: 'auto', threads: 1, modes: ['fhe'] },
    startEngine: (engine) => startProcessEngine(engine, { engineModule, log: silentLogger }),
  });
  const key = new Uint8Array(keyBytes);
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
    keys: Array.from({ length: KEYS }, (_, index) => ({ index, id: `key@${index}`, sizeBytes: keyBytes })),
    largestRefreshes: asked,
    makeKey: () => key,
    knows: () => true,
    requireKnown: () => {},
    encryptRows: () => [up],
    decryptRows: (_, rows) => Array.from({ length: rows }, () => row),
    refresh: () => up,
    exportSecret: () => new Uint8Array(),
    dispose: () => {},
  };
  try {
    const session = await Session.connect(server.url, {
      model,
      refresh: 'client',
      createPrivateSide: async () => side,
    });
    const passes: number[] = [];
    const question = { publicText: 'a', privateText: 'a', maxTokens: TOKENS };
    for await (const { seconds } of session.ask(question)) passes.push(seconds);
    const { upload } = session.costs.seconds;
    await session.close();
    return { messageSeconds: Math.min(...passes) / (asked + 1), keySeconds: upload / KEYS };
  } finally {
    await server.close();
  }
}
