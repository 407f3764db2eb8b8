import type { ProgressEvent } from '@sotto/base';
import type { ErrorBody, Rows } from '@sotto/protocol';
import type { BlockResult, EngineDescription, EngineOptions } from './port.js';

/** Data a worker thread starts with. */
export interface WorkerStart {
  readonly options: EngineOptions;
  /** URL of the module whose `startEngine` makes the engine. */
  readonly engineModule: string;
  /** One 32-bit word; non-zero asks the running block to stop. */
  readonly cancel: SharedArrayBuffer;
}

export type Call =
  | { readonly op: 'loadKey'; readonly index: number; readonly bytes: Uint8Array }
  | { readonly op: 'loadPublic'; readonly tokens: readonly number[] }
  | { readonly op: 'run'; readonly rows: Rows }
  | { readonly op: 'reset' }
  | { readonly op: 'close' };

export type ToWorker =
  | { readonly type: 'call'; readonly id: number; readonly call: Call }
  | { readonly type: 'refreshed'; readonly refreshId: number; readonly ciphertext: Uint8Array }
  | { readonly type: 'refreshFailed'; readonly refreshId: number; readonly error: ErrorBody };

export type FromWorker =
  | { readonly type: 'ready'; readonly description: EngineDescription }
  | { readonly type: 'startFailed'; readonly error: ErrorBody; readonly stack: string }
  | { readonly type: 'returned'; readonly id: number; readonly result: BlockResult | null }
  | { readonly type: 'threw'; readonly id: number; readonly error: ErrorBody; readonly stack: string }
  | { readonly type: 'progress'; readonly event: ProgressEvent }
  | { readonly type: 'refresh'; readonly refreshId: number; readonly ciphertext: Uint8Array };
