import type { ProgressListener } from '@sotto/base';
import type { KeyEntry, ParameterChoice, RefreshMode, Rows, Window } from '@sotto/protocol';
import type { KeyFiles } from '../keys/stored-key-set.js';

/** What a session's engine needs to start. Goes to another process, so it is plain data. */
export interface EngineOptions {
  readonly modelPath: string;
  /** Calibration of the model; the one at hand when absent. */
  readonly calibrationPath?: string | undefined;
  readonly refresh: RefreshMode;
  readonly parameters: ParameterChoice;
  readonly backend: string;
  readonly threads: number;
  /**
   * Folder of this session's own for encrypted state: with it a block continues after its last finished layer when it is
   * run again by another process, and a block that was finished is not computed twice.
   */
  readonly stateFolder?: string;
  /** Memory that all engines of the server share. */
  readonly memoryBudgetBytes?: number;
  /** Folder for a file that holds the keys, so that they need not all be in memory; they are when it is absent. */
  readonly keyMemoryFolder?: string;
}

/** What engines of one server share: bytes that were computed from public data. */
export interface PublicStore {
  /** Null when there is no such entry. The bytes are not to be changed. */
  get(key: string): Promise<Uint8Array | null>;
  put(key: string, bytes: Uint8Array): void;
}

/** What an engine tells about itself once parameters and plan are built. */
export interface EngineDescription {
  readonly parametersName: string;
  readonly parametersDigest: string;
  readonly planDigest: string;
  readonly window: Window;
  readonly keys: readonly KeyEntry[];
}

/** What a running block may ask of its surroundings. */
export interface BlockHooks {
  /** Reports progress. Throws `JOB_CANCELLED` when the block is to stop. */
  readonly progress: ProgressListener;
  /** Sends a serialised ciphertext to the client and waits for the same values encrypted anew. */
  refresh(ciphertext: Uint8Array): Promise<Uint8Array>;
  /** Aborted when the block is to stop at its next operation. */
  readonly signal?: AbortSignal;
}

export interface BlockResult {
  readonly rows: Rows;
  /** Bootstraps of this session so far. */
  readonly bootstraps: number;
  /** Code of the error because of which the encrypted state is not on disk as it was to be. */
  readonly notKept?: string;
}

/**
 * One session's parameters, keys and key-value cache, wherever they live. Calls are made one after the other;
 * an engine does not see two at a time.
 */
export interface Engine {
  readonly description: EngineDescription;
  /** Planned peak of the engine's process; 0 when absent. */
  readonly memoryBytes?: number;
  /** Largest memory of the engine's process so far; absent where it shares the server's. */
  readonly peakRssBytes?: number;
  /** Takes ownership of `bytes`. A key that is not for these parameters is refused with a typed error. */
  loadKey(index: number, bytes: Uint8Array): Promise<void>;
  /** As `loadKey`, from a key store that the engine reads by itself. Absent where it shares the server's process. @throws `KEYS_DAMAGED`. */
  loadStoredKey?(index: number, files: KeyFiles): Promise<void>;
  /** Runs the public part in clear; it precedes every private row. */
  loadPublic(tokens: readonly number[], hooks: BlockHooks): Promise<void>;
  /**
   * Runs a block of encrypted rows and extends the encrypted key-value cache by them. Rows of the block before that stand at or
   * after the block's position are forgotten. After an error the cache is as it was before the call, but for those.
   */
  run(rows: Rows, hooks: BlockHooks): Promise<BlockResult>;
  /** Forgets public part and rows; keys stay. */
  reset(): Promise<void>;
  /** Frees keys and caches. A block in progress ends with `JOB_CANCELLED` first. */
  close(): Promise<void>;
}

export type StartEngine = (options: EngineOptions, publicStore?: PublicStore) => Promise<Engine>;
