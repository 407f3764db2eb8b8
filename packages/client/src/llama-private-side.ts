import { SottoError } from '@sotto/base';
import { embedRows, makeSetup, readHidden, requireCalibrated, type SessionSetup } from '@sotto/engine';
import { selectBackend } from '@sotto/he/ring';
import type { KeyEntry, Window } from '@sotto/protocol';
import type { LocalModel } from './local-model.js';
import type { CreatePrivateSide, PrivateSide, RingFacts } from './private-side.js';
import { Vault } from './vault.js';

const REQUIRED_BITS = 128;
/** A server that was restarted repeats the refreshes of an unfinished layer. */
const REFRESH_REPEATS = 4;
const REFRESH_RESERVE = 16;

/** The client's half of the encrypted transformer: embeds and encrypts rows, decrypts what comes back. */
class LlamaPrivateSide implements PrivateSide {
  readonly ring: RingFacts;
  readonly parametersDigest: string;
  readonly planDigest: string;
  readonly publicPrefix: readonly number[];
  readonly window: Window;
  readonly keys: readonly KeyEntry[];
  readonly largestRefreshes: number;
  readonly #model: LocalModel;
  readonly #setup: SessionSetup;
  readonly #vault: Vault;
  readonly #known: ReadonlySet<number>;

  constructor(model: LocalModel, setup: SessionSetup, vault: Vault) {
    const { parameters } = setup;
    this.#model = model;
    this.#setup = setup;
    this.#vault = vault;
    this.#known = new Set(setup.plan.client.knownTokens);
    this.parametersDigest = parameters.digest;
    this.planDigest = setup.planDigest;
    this.publicPrefix = setup.plan.client.publicPrefix;
    const { blockRows, publicCapacity, privateCapacity } = setup.plan.client;
    this.window = {
      blockRows,
      publicTokens: publicCapacity,
      privateTokens: privateCapacity,
      positions: model.weights.config.contextLength,
    };
    this.keys = setup.keys.map(({ name, wireBytes }, index) => ({ index, id: name, sizeBytes: wireBytes }));
    const planned = setup.plan.refreshShapes.reduce((sum, { count }) => sum + count, 0);
    this.largestRefreshes = REFRESH_REPEATS * Math.max(planned, setup.plan.refreshes) + REFRESH_RESERVE;
    this.ring = {
      parametersName: parameters.name,
      logN: parameters.logN,
      logQP: parameters.logQP,
      secretWeight: parameters.secret.kind === 'fixedWeight' ? parameters.secret.weight : null,
      ephemeralWeight: parameters.bootstrap?.ephemeralWeight ?? null,
      securityBits: parameters.security.bits,
    };
  }

  get secretId(): string {
    return this.#vault.secretId;
  }

  exportSecret(): Uint8Array {
    return this.#vault.exportSecret();
  }

  makeKey(index: number): Uint8Array {
    const { id, maxLevel } = this.#setup.keys[index]!;
    return this.#vault.makeKey(id, maxLevel);
  }

  knows(token: number): boolean {
    return this.#known.has(token);
  }

  requireKnown(tokens: readonly number[]): void {
    requireCalibrated(this.#setup.plan.client, tokens);
  }

  encryptRows(tokens: readonly number[]): readonly Uint8Array[] {
    const { client } = this.#setup.plan;
    return [this.#vault.encrypt(embedRows(this.#model.weights, client, tokens), client.inputLevel)];
  }

  decryptRows(ciphertexts: readonly Uint8Array[], rows: number): readonly Float64Array[] {
    const [only, ...more] = ciphertexts;
    if (only === undefined || more.length > 0) {
      throw new SottoError('The result is not one ciphertext.', {
        code: 'RESULT_MISMATCH',
        facts: { ciphertexts: ciphertexts.length },
        fix: 'Use the same Sotto version at client and server.',
      });
    }
    return readHidden(this.#setup.plan.client, this.#vault.decrypt(only), rows);
  }

  refresh(ciphertext: Uint8Array): Uint8Array {
    return this.#vault.refresh(ciphertext, this.#setup.plan.topLevel);
  }

  dispose(): void {
    this.#vault.dispose();
  }
}

/**
 * Builds parameters and plan from the client's own model, checks that they are secure unless insecure ones were asked for by
 * name, and makes a fresh secret or takes the given one.
 *
 * @throws `PARAMETERS_INSECURE`, `BACKEND_UNAVAILABLE`, and the errors of the plan.
 */
export const createPrivateSide: CreatePrivateSide = async (options) => {
  const setup = await makeSetup(options.model.weights, options);
  const { security, name } = setup.parameters;
  if (options.parameters === 'secure' && security.bits < REQUIRED_BITS) {
    throw new SottoError('The parameters have fewer bits of security than are required.', {
      code: 'PARAMETERS_INSECURE',
      facts: { parameters: name, bits: security.bits, required: REQUIRED_BITS },
      fix: 'Use a Sotto version with secure parameters.',
    });
  }
  const choice =
    options.backend === 'auto' ? {} : { name: options.backend as 'native' | 'wasm' | 'reference' };
  const backend = selectBackend({ ...choice, threads: options.threads });
  return new LlamaPrivateSide(options.model, setup, new Vault(setup.parameters, backend, options.secret));
};
