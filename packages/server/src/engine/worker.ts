/** The computing thread of an engine process. */
import { readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { SottoError } from '@sotto/base';
import { errorBodyOf, errorFromBody } from '@sotto/protocol';
import { PartFile } from '../keys/part-file.js';
import type { KeyFiles } from '../keys/stored-key-set.js';
import { describeUnforeseen } from '../log.js';
import type { Call, FromThread, ThreadStart, ToThread } from './messages.js';
import type { BlockHooks, BlockResult, Engine, PublicStore, StartEngine } from './port.js';

const STDIN = 0;

const start = workerData as ThreadStart;
const port = parentPort!;
const cancel = new Int32Array(start.cancel);
const send = (message: FromThread, transfer: ArrayBuffer[] = []) => port.postMessage(message, transfer);

const refreshing = new Map<number, { resolve(bytes: Uint8Array): void; reject(error: unknown): void }>();
const recalling = new Map<number, (bytes: Uint8Array | null) => void>();
let asked = 0;

/** Takes the next bytes that the server sent. */
function readPiece(sizeBytes: number): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  for (let at = 0; at < sizeBytes; ) {
    const read = readSync(STDIN, bytes, at, sizeBytes - at, null);
    if (read === 0) throw new Error('the server closed the stream of bytes');
    at += read;
  }
  return bytes;
}

async function readKey({ folder, parts, sizeBytes }: KeyFiles): Promise<Uint8Array> {
  const key = new Uint8Array(sizeBytes);
  let at = 0;
  for (const part of parts) {
    const bytes = await new PartFile(folder, part.digest, part.sizeBytes).read();
    key.set(bytes, at);
    at += bytes.length;
  }
  return key;
}

function stopIfCancelled(): void {
  if (Atomics.load(cancel, 0) !== 0) {
    throw new SottoError('The job was cancelled.', { code: 'JOB_CANCELLED' });
  }
}

const hooks: BlockHooks = {
  progress(event) {
    stopIfCancelled();
    send({ type: 'progress', event });
  },
  refresh(ciphertext) {
    stopIfCancelled();
    const refreshId = asked++;
    return new Promise((resolve, reject) => {
      refreshing.set(refreshId, { resolve, reject });
      send({ type: 'refresh', refreshId, ciphertext });
    });
  },
};

const publicStore: PublicStore = {
  get(key) {
    const recallId = asked++;
    return new Promise((resolve) => {
      recalling.set(recallId, resolve);
      send({ type: 'recall', recallId, key });
    });
  },
  put: (key, bytes) => send({ type: 'keep', key, bytes }),
};

async function perform(engine: Engine, call: Call, pieces: Uint8Array[]): Promise<BlockResult | null> {
  switch (call.op) {
    case 'loadKey':
      await engine.loadKey(call.index, pieces[0]!);
      return null;
    case 'loadStoredKey':
      await engine.loadKey(call.index, await readKey(call.files));
      return null;
    case 'loadPublic':
      await engine.loadPublic(call.tokens, hooks);
      return null;
    case 'run':
      return await engine.run({ position: call.position, rows: call.rows, ciphertexts: pieces }, hooks);
    case 'reset':
      await engine.reset();
      return null;
    case 'close':
      await engine.close();
      return null;
  }
}

const failure = (error: unknown) => ({
  error: errorBodyOf(error),
  stack: SottoError.is(error) ? '' : JSON.stringify(describeUnforeseen(error)),
});

async function main(): Promise<void> {
  const module = (await import(start.engineModule)) as { startEngine: StartEngine };
  let engine: Engine | undefined;
  let chain: Promise<void> = Promise.resolve();
  port.on('message', (message: ToThread) => {
    const pieces = message.piecesBytes.map(readPiece);
    if (message.type === 'call') {
      const { id, call } = message;
      chain = chain.then(async () => {
        try {
          const result = await perform(engine!, call, pieces);
          const peakRssBytes = process.resourceUsage().maxRSS * 1024;
          send({ type: 'returned', id, result, peakRssBytes });
        } catch (error) {
          send({ type: 'threw', id, ...failure(error) });
        }
        if (call.op === 'close') port.close();
      });
      return;
    }
    if (message.type === 'recalled') {
      recalling.get(message.recallId)?.(pieces[0] ?? null);
      recalling.delete(message.recallId);
      return;
    }
    const waiter = refreshing.get(message.refreshId);
    refreshing.delete(message.refreshId);
    if (message.type === 'refreshed') waiter?.resolve(pieces[0]!);
    else waiter?.reject(errorFromBody(message.error));
  });
  engine = await module.startEngine(start.options, publicStore);
  send({ type: 'ready', description: engine.description, memoryBytes: engine.memoryBytes ?? 0 });
}

main().catch((error) => {
  send({ type: 'startFailed', ...failure(error) });
  port.close();
});
