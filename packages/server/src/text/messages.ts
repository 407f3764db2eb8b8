import type { ErrorBody } from '@sotto/protocol';
import type { TextEnd, TextRequest } from './port.js';

/** Data the thread of a text model starts with. */
export interface TextWorkerStart {
  readonly modelPath: string;
  /** One 32-bit word; non-zero asks the running answer to stop. */
  readonly cancel: SharedArrayBuffer;
}

export type ToTextWorker = { readonly type: 'answer'; readonly request: TextRequest };

export type FromTextWorker =
  | { readonly type: 'ready' }
  | { readonly type: 'tokens'; readonly tokens: readonly number[] }
  | { readonly type: 'done'; readonly end: TextEnd }
  | { readonly type: 'failed'; readonly error: ErrorBody; readonly stack: string };
