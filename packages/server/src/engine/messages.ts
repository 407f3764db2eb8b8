import type { ProgressEvent } from '@sotto/base';
import type { ErrorBody } from '@sotto/protocol';
import type { KeyFiles } from '../keys/stored-key-set.js';
import type { BlockResult, EngineDescription, EngineOptions } from './port.js';

/** First message to an engine process. */
export interface ProcessStart {
  readonly options: EngineOptions;
  /** URL of the module whose `startEngine` makes the engine. */
  readonly engineModule: string;
}

/** Data that the engine's thread starts with. */
export interface ThreadStart extends ProcessStart {
  /** One 32-bit word; non-zero asks the running block to stop. */
  readonly cancel: SharedArrayBuffer;
}

export type Call =
  /** One piece: the key. */
  | { readonly op: 'loadKey'; readonly index: number }
  | { readonly op: 'loadStoredKey'; readonly index: number; readonly files: KeyFiles }
  | { readonly op: 'loadPublic'; readonly tokens: readonly number[] }
  /** Its pieces are the ciphertexts. */
  | { readonly op: 'run'; readonly position: number; readonly rows: number }
  | { readonly op: 'reset' }
  | { readonly op: 'close' };

type Told =
  | { readonly type: 'call'; readonly id: number; readonly call: Call }
  /** One piece: the ciphertext. */
  | { readonly type: 'refreshed'; readonly refreshId: number }
  | { readonly type: 'refreshFailed'; readonly refreshId: number; readonly error: ErrorBody }
  /** One piece if the store has the entry, none if not. */
  | { readonly type: 'recalled'; readonly recallId: number };

/**
 * A message to the engine's thread. Bytes do not travel in it, which would copy them several times: they follow in the standard
 * input of the process, one piece after the other, in the order of the messages.
 */
export type ToThread = Told & { readonly piecesBytes: readonly number[] };

/** A message to the process: the thread's, or the wish that the running block stops, which the thread is too busy to hear. */
export type ToProcess = ToThread | { readonly type: 'cancel' };

export type FromThread =
  | { readonly type: 'ready'; readonly description: EngineDescription; readonly memoryBytes: number }
  | { readonly type: 'startFailed'; readonly error: ErrorBody; readonly stack: string }
  | {
      readonly type: 'returned';
      readonly id: number;
      readonly result: BlockResult | null;
      /** Of the process, so far. */
      readonly peakRssBytes: number;
    }
  | { readonly type: 'threw'; readonly id: number; readonly error: ErrorBody; readonly stack: string }
  | { readonly type: 'progress'; readonly event: ProgressEvent }
  | { readonly type: 'refresh'; readonly refreshId: number; readonly ciphertext: Uint8Array }
  | { readonly type: 'recall'; readonly recallId: number; readonly key: string }
  | { readonly type: 'keep'; readonly key: string; readonly bytes: Uint8Array };

/** What the process tells besides: why its thread ended, when it ended by itself. */
export type FromProcess = FromThread | { readonly type: 'dying'; readonly reason: string };
