import { type ProgressListener, ProgressMeter, SottoError, sha256, toHex } from '@sotto/base';
import {
  type KeySetInfo,
  type KeySetRequest,
  keyPartsStateSchema,
  keySetSchema,
  PART_BYTES,
  TUS_VERSION,
} from '@sotto/protocol';
import type { Connection } from './connection.js';
import type { PrivateSide } from './private-side.js';

export interface KeyUploadOptions {
  readonly onProgress?: ProgressListener | undefined;
  readonly signal?: AbortSignal | undefined;
  /** A server that does not answer is asked again for this long since the last byte that arrived; default two minutes. */
  readonly patienceMs?: number;
}

export interface KeyUploadCosts {
  readonly keygenMs: number;
  /** Key bytes that were handed over, without those of requests that broke off. */
  readonly bytesUp: number;
}

/** Keys that may be on their way at a time. */
const WINDOW_BYTES = 32 << 20;
/** Requests on their way at a time. */
const PARALLEL_REQUESTS = 4;
/** Largest body of a request: what a broken connection may cost, times the requests on their way. */
const PIECE_BYTES = 256 << 10;
const LOOPBACK_BYTES_PER_MS = 200_000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;
const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

const digestOf = async (bytes: Uint8Array) =>
  toHex(new Uint8Array(await globalThis.crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>)));

/** Name of the set that one secret makes for one plan: the client finds it again without remembering it. */
export function keySetIdOf(secretId: string, request: Omit<KeySetRequest, 'keys'>): string {
  const { modelDigest, refresh, parametersDigest, planDigest } = request;
  const text = [secretId, modelDigest, refresh, parametersDigest, planDigest].join('|');
  return toHex(sha256(new TextEncoder().encode(text))).slice(0, 32);
}

/** A part on its way, and where it stands. */
interface Part {
  readonly digest: string;
  readonly bytes: Uint8Array;
  /** Undefined after a broken connection, until the server was asked. */
  offset: number | undefined;
}

/**
 * Brings every key of a set that the server lacks to it, in parts that continue after a broken connection or a restart of the
 * server where they stopped. Keys that are there are neither made nor sent.
 *
 * @throws `KEYS_QUOTA`, `KEYS_DISK_FULL`, `KEYSET_CONFLICT`, `SERVER_UNREACHABLE` when patience ends.
 */
export async function uploadKeySet(
  connection: Connection,
  clientToken: string,
  id: string,
  request: KeySetRequest,
  privateSide: Pick<PrivateSide, 'makeKey'>,
  options: KeyUploadOptions = {},
): Promise<KeyUploadCosts> {
  return new KeyUpload(connection, clientToken, id, request, privateSide, options).run();
}

class KeyUpload {
  readonly #path: string;
  readonly #headers: Record<string, string>;
  readonly #abort = new AbortController();
  readonly #signal: AbortSignal;
  readonly #patienceMs: number;
  readonly #turns = new Turns(PARALLEL_REQUESTS);
  #keygenMs = 0;
  #bytesUp = 0;
  #lastGainMs = performance.now();

  constructor(
    readonly connection: Connection,
    clientToken: string,
    id: string,
    readonly request: KeySetRequest,
    readonly privateSide: Pick<PrivateSide, 'makeKey'>,
    readonly options: KeyUploadOptions,
  ) {
    this.#path = `/v1/keysets/${id}`;
    this.#headers = { authorization: `Bearer ${clientToken}` };
    this.#patienceMs = options.patienceMs ?? 120_000;
    const { signal } = options;
    this.#signal = signal ? AbortSignal.any([signal, this.#abort.signal]) : this.#abort.signal;
  }

  async run(): Promise<KeyUploadCosts> {
    const info = await this.#patiently(() => this.#create());
    const meter = new ProgressMeter('keys', info.sizeBytes, 'bytes', this.options.onProgress);
    if (info.storedBytes > 0) meter.advance(info.storedBytes, 'keys that the server has');
    const onTheirWay = new Set<Promise<void>>();
    let windowBytes = 0;
    try {
      for (const index of info.missing) {
        this.#signal.throwIfAborted();
        const { id, sizeBytes } = this.request.keys[index]!;
        while (onTheirWay.size > 0 && windowBytes + sizeBytes > WINDOW_BYTES) await Promise.race(onTheirWay);
        const startMs = performance.now();
        const key = this.privateSide.makeKey(index);
        this.#keygenMs += performance.now() - startMs;
        requireSize(index, key.length, sizeBytes);
        windowBytes += sizeBytes;
        const sending = this.#sendKey(index, key).then(() => {
          windowBytes -= sizeBytes;
          onTheirWay.delete(sending);
          meter.advance(sizeBytes, id);
        });
        onTheirWay.add(sending);
        sending.catch(() => {});
        // Making a key keeps this thread busy: let the one before it leave first.
        await Promise.race([sending.catch(() => {}), pause(10 + key.length / LOOPBACK_BYTES_PER_MS)]);
      }
      while (onTheirWay.size > 0) await Promise.race(onTheirWay);
    } catch (error) {
      this.#abort.abort();
      await Promise.allSettled(onTheirWay);
      throw error;
    }
    return { keygenMs: this.#keygenMs, bytesUp: this.#bytesUp };
  }

  #create(): Promise<KeySetInfo> {
    return this.connection.json(keySetSchema, 'key set', {
      method: 'PUT',
      path: this.#path,
      headers: this.#headers,
      body: { json: this.request },
      signal: this.#signal,
    });
  }

  async #sendKey(index: number, key: Uint8Array): Promise<void> {
    const parts: Part[] = [];
    for (let at = 0; at < key.length; at += PART_BYTES) {
      const bytes = key.subarray(at, at + PART_BYTES);
      parts.push({ digest: await digestOf(bytes), bytes, offset: undefined });
    }
    const announce = async () => {
      const { offsets } = await this.connection.json(keyPartsStateSchema, 'state of a key', {
        method: 'PUT',
        path: `${this.#path}/keys/${index}`,
        headers: this.#headers,
        body: { json: { parts: parts.map(({ digest }) => digest) } },
        signal: this.#signal,
      });
      return offsets;
    };
    const offsets = await this.#patiently(announce);
    parts.forEach((part, i) => {
      part.offset = offsets[i];
    });
    const queue = parts.map((part, i) => ({ part, i }));
    const worker = async () => {
      for (let next = queue.shift(); next; next = queue.shift()) {
        const { part, i } = next;
        while (part.offset === undefined || part.offset < part.bytes.length) {
          await this.#patiently(
            async () => {
              part.offset ??= (await announce())[i]!;
              if (part.offset < part.bytes.length) await this.#turns.take(() => this.#sendPiece(part));
            },
            () => {
              part.offset = undefined;
            },
          );
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(PARALLEL_REQUESTS, parts.length) }, worker));
  }

  async #sendPiece(part: Part): Promise<void> {
    const from = part.offset!;
    const piece = part.bytes.subarray(from, from + PIECE_BYTES);
    const response = await this.connection.respond({
      method: 'PATCH',
      path: `${this.#path}/parts/${part.digest}`,
      headers: {
        ...this.#headers,
        'tus-resumable': TUS_VERSION,
        'upload-offset': String(from),
        'content-type': 'application/offset+octet-stream',
      },
      body: { binary: piece },
      signal: this.#signal,
    });
    const offset = Number(response.headers.get('upload-offset') ?? Number.NaN);
    if (!Number.isSafeInteger(offset) || offset <= from) {
      throw new SottoError('The server does not say how far an upload is.', {
        code: 'SERVER_UNKNOWN',
        fix: 'Use the same Sotto version at client and server.',
      });
    }
    this.#bytesUp += offset - from;
    part.offset = offset;
    this.#lastGainMs = performance.now();
  }

  /** Repeats what fails for a while only. */
  async #patiently<T>(work: () => Promise<T>, afterFailure = () => {}): Promise<T> {
    for (let waitMs = FIRST_PAUSE_MS; ; waitMs = Math.min(2 * waitMs, LONGEST_PAUSE_MS)) {
      try {
        return await work();
      } catch (error) {
        afterFailure();
        const again = SottoError.is(error) && error.retryable && error.code !== 'KEYS_DISK_FULL';
        const late = performance.now() - this.#lastGainMs > this.#patienceMs;
        if (!again || late || this.#signal.aborted) throw error;
        await pause(waitMs);
      }
    }
  }
}

function requireSize(index: number, sizeBytes: number, expected: number): void {
  if (sizeBytes === expected) return;
  throw new SottoError('The key has not the size that the plan says.', {
    code: 'KEY_SIZE',
    facts: { index, sizeBytes, expected },
    fix: 'Use a Sotto version whose plan and keys belong together.',
  });
}

/** Lets a few tasks run at a time, in the order they came. */
class Turns {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(atATime: number) {
    this.#free = atATime;
  }

  async take<T>(task: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await task();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }
}
