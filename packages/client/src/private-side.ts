import type { KeyEntry, ParameterChoice, RefreshMode, Window } from '@sotto/protocol';
import type { LocalModel } from './local-model.js';

/** Facts about the ring that protects a session. */
export interface RingFacts {
  readonly parametersName: string;
  readonly logN: number;
  readonly logQP: number;
  /** `null` for a uniform ternary secret. */
  readonly secretWeight: number | null;
  /** Weight of the ephemeral secret of bootstrapping; `null` without bootstrapping. */
  readonly ephemeralWeight: number | null;
  readonly securityBits: number;
}

/**
 * Everything that knows the secret key. It is made in the client's process, its keys and ciphertexts leave as bytes, the
 * secret never does.
 */
export interface PrivateSide {
  readonly ring: RingFacts;
  readonly parametersDigest: string;
  readonly planDigest: string;
  /** Tokens with which every public part begins. */
  readonly publicPrefix: readonly number[];
  /** How much fits into a conversation, by the plan. */
  readonly window: Window;
  /** Names the secret without telling anything about it: 32 hex digits. */
  readonly secretId: string;
  /** The keys that the plan needs, in the order of the server's list. */
  readonly keys: readonly KeyEntry[];
  /** Refreshes of one block that an honest server may ask for, restarts of the server included. */
  readonly largestRefreshes: number;
  /** Makes one key, serialised. */
  makeKey(index: number): Uint8Array;
  /** The token may stand in a private row. */
  knows(token: number): boolean;
  /** @throws `ENGINE_TOKEN_UNCALIBRATED` when one of the tokens may not stand in a private row. */
  requireKnown(tokens: readonly number[]): void;
  /** Embeds and encrypts tokens as rows from `position` on. */
  encryptRows(tokens: readonly number[], position: number): readonly Uint8Array[];
  /** Hidden rows (before the final norm) of a result. */
  decryptRows(ciphertexts: readonly Uint8Array[], rows: number): readonly Float64Array[];
  /** Decrypts and encrypts anew at the highest level. */
  refresh(ciphertext: Uint8Array): Uint8Array;
  /** The secret itself, serialised: for the user's own key file and nothing else. */
  exportSecret(): Uint8Array;
  /** Overwrites the secret and frees memory. */
  dispose(): void;
}

export interface PrivateSideOptions {
  readonly model: LocalModel;
  /** Calibration file of the model; the one at hand when absent. */
  readonly calibrationPath?: string | undefined;
  readonly refresh: RefreshMode;
  readonly parameters: ParameterChoice;
  readonly backend: string;
  readonly threads: number;
  /** A secret of an earlier {@link PrivateSide.exportSecret}; a fresh one is made without it. */
  readonly secret?: Uint8Array | undefined;
}

export type CreatePrivateSide = (options: PrivateSideOptions) => Promise<PrivateSide>;
