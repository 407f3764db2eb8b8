import { SottoError } from '@sotto/base';
import {
  type Conversation,
  type EncryptedTransformer,
  makeSetup,
  type PublicContext,
  prefillPublic,
  publicId,
  readPublic,
  requirePublicPrefix,
  type SessionSetup,
  type SetupKey,
  writePublic,
} from '@sotto/engine';
import {
  type Ciphertext,
  deserializeEvaluationKey,
  deserializeSeededCiphertext,
  EvaluationKey,
  EvaluationKeySet,
  expandCiphertext,
  RingContext,
  serializeCiphertext,
} from '@sotto/he/rlwe';
import { type LlamaModel, readModelFile } from '@sotto/model';
import { decodeRows, encodeRows, type Rows } from '@sotto/protocol';
import { stateLost } from '../disk.js';
import { openBackend } from './backend.js';
import { blockName, Checkpoints } from './checkpoints.js';
import { ClientRefresher } from './client-refresher.js';
import { type EngineMemory, engineMemory } from './forecast.js';
import { type Machine, makeMachine } from './machine.js';
import { availableMemoryBytes } from './memory.js';
import type {
  BlockHooks,
  BlockResult,
  Engine,
  EngineDescription,
  EngineOptions,
  PublicStore,
} from './port.js';

/** The encrypted transformer of one session. */
class LlamaEngine implements Engine {
  readonly description: EngineDescription;
  readonly #model: LlamaModel;
  readonly #setup: SessionSetup;
  readonly #context: RingContext;
  readonly #keys: EvaluationKeySet;
  readonly #checkpoints: Checkpoints | null;
  readonly #publicStore: PublicStore | undefined;
  readonly #memory: EngineMemory;
  #machine: Machine | undefined;
  #publicTokens: readonly number[] | undefined;
  #publicContext: PublicContext | undefined;
  #conversation: Conversation<Ciphertext> | undefined;
  #hooks: BlockHooks | undefined;

  constructor(
    model: LlamaModel,
    setup: SessionSetup,
    context: RingContext,
    stateFolder: string | undefined,
    publicStore: PublicStore | undefined,
    memory: EngineMemory,
  ) {
    this.#memory = memory;
    this.#publicStore = publicStore;
    this.#model = model;
    this.#setup = setup;
    this.#context = context;
    this.#keys = new EvaluationKeySet(context);
    const { parameters, plan, planDigest, keys } = setup;
    this.#checkpoints = stateFolder === undefined ? null : new Checkpoints(stateFolder, context, planDigest);
    this.description = {
      parametersName: parameters.name,
      parametersDigest: parameters.digest,
      planDigest,
      window: {
        blockRows: plan.client.blockRows,
        publicTokens: plan.client.publicCapacity,
        privateTokens: plan.client.privateCapacity,
        positions: model.config.contextLength,
      },
      keys: keys.map(({ name, wireBytes }, index) => ({ index, id: name, sizeBytes: wireBytes })),
    };
  }

  get memoryBytes(): number {
    return this.#memory.totalBytes;
  }

  async loadKey(index: number, bytes: Uint8Array): Promise<void> {
    const seeded = deserializeEvaluationKey(this.#setup.parameters, bytes);
    requireKey(this.#setup.keys[index]!, seeded.id, seeded.plan.maxLevel);
    this.#keys.add(EvaluationKey.expand(this.#context, seeded));
  }

  async loadPublic(tokens: readonly number[]): Promise<void> {
    const { publicTokens } = this.description.window;
    if (tokens.length > publicTokens) {
      throw new SottoError('The public part is longer than fits.', {
        code: 'PROMPT_TOO_LONG',
        facts: { publicTokens: tokens.length, largest: publicTokens },
        fix: 'Shorten the public part.',
      });
    }
    // The conversation opens with the first block, when the keys are there; a prefix that cannot be run is refused now.
    requirePublicPrefix(this.#setup.plan.client.publicPrefix, tokens);
    this.#publicContext = await this.#prefill(tokens);
    this.#publicTokens = tokens;
  }

  /** Runs a public part in the clear, unless a session of this server has run it before. */
  async #prefill(tokens: readonly number[]): Promise<PublicContext> {
    const id = publicId(this.#model, tokens);
    const known = (await this.#publicStore?.get(id)) ?? null;
    if (known !== null) return readPublic(id, known);
    const made = prefillPublic(this.#model, tokens);
    this.#publicStore?.put(id, writePublic(made));
    return made;
  }

  async run(rows: Rows, hooks: BlockHooks): Promise<BlockResult> {
    this.#hooks = hooks;
    const { parameters } = this.#setup;
    const [only, ...more] = rows.ciphertexts;
    if (only === undefined || more.length > 0) {
      throw new SottoError('A block of this plan is one ciphertext.', {
        code: 'BLOCK_CIPHERTEXTS',
        facts: { ciphertexts: rows.ciphertexts.length },
        fix: 'Use the same Sotto version at client and server.',
      });
    }
    const seeded = deserializeSeededCiphertext(parameters, only);
    if (seeded.level !== this.#setup.plan.client.inputLevel) {
      throw new SottoError('The block is not at the level of a fresh input.', {
        code: 'CIPHERTEXT_LEVEL',
        facts: { level: seeded.level, expected: this.#setup.plan.client.inputLevel },
        fix: 'Encrypt at the level of the plan.',
      });
    }
    const { evaluator, transformer, bootstrapper } = this.#start();
    const publicTokens = this.#publicTokens ?? [];
    const block = blockName(rows);
    const known = await this.#checkpoints?.result(block, publicTokens);
    if (known) return { rows: decodeRows(known), bootstraps: bootstrapper?.count ?? 0 };
    this.#conversation ??= await this.#open(transformer, publicTokens, rows.position);
    const resume = await this.#checkpoints?.resume(block);
    // A disk that fails must not cost the answer: the block then runs on without a net.
    let diskError: SottoError | undefined;
    const keep = async (save: (checkpoints: Checkpoints) => Promise<void>): Promise<void> => {
      if (!this.#checkpoints || diskError) return;
      try {
        await save(this.#checkpoints);
      } catch (error) {
        if (!SottoError.is(error)) throw error;
        diskError = error;
      }
    };
    const talk = this.#conversation;
    talk.cache.drop(talk.context.length + talk.cache.length - rows.position);
    const phase = rows.rows > 1 ? 'prefill' : 'decode';
    using input = expandCiphertext(this.#context, seeded);
    const out = await transformer.forward(talk, input, rows.rows, {
      progress: (event) => hooks.progress({ ...event, phase }),
      onLayer: (layer) => keep((state) => state.saveLayer(block, layer)),
      ...(resume ? { resume } : {}),
    });
    const low = evaluator.toLevel(out, parameters.bottomLevel);
    const result: Rows = { ...rows, ciphertexts: [serializeCiphertext(low)] };
    low.release();
    out.release();
    const { layerCount } = this.#model.config;
    const { place } = talk.cache;
    await keep((state) => state.commit(block, publicTokens, { layerCount, place }, encodeRows(result)));
    const bootstraps = bootstrapper?.count ?? 0;
    return { rows: result, bootstraps, ...(diskError ? { notKept: diskError.code } : {}) };
  }

  /** A conversation at `position`: a new one, or the stored one that goes on there. @throws `STATE_LOST`. */
  async #open(
    transformer: EncryptedTransformer<Ciphertext>,
    publicTokens: readonly number[],
    position: number,
  ): Promise<Conversation<Ciphertext>> {
    const conversation = transformer.conversation(this.#publicContext ?? publicTokens);
    const stored = await this.#checkpoints?.cache(publicTokens, position);
    if (stored) conversation.cache.restore(stored.layers, stored.place);
    // The rows before this block were computed by an engine that is gone.
    else if (position !== publicTokens.length) throw stateLost();
    return conversation;
  }

  async reset(): Promise<void> {
    this.#conversation?.cache.dispose();
    this.#conversation = undefined;
    this.#publicTokens = undefined;
    this.#publicContext = undefined;
    await this.#checkpoints?.clear();
  }

  async close(): Promise<void> {
    this.#context.ring.dispose();
  }

  #start(): Machine {
    this.#machine ??= this.#makeMachine();
    return this.#machine;
  }

  #makeMachine(): Machine {
    return makeMachine({
      model: this.#model,
      setup: this.#setup,
      context: this.#context,
      keys: this.#keys,
      plaintexts: this.#memory.plaintexts,
      clientRefresher: (evaluator) =>
        new ClientRefresher(
          this.#context,
          evaluator,
          (ciphertext) => this.#hooks!.refresh(ciphertext),
          this.#setup.plan.topLevel,
        ),
    });
  }
}

function requireKey(expected: SetupKey, id: SetupKey['id'], maxLevel: number): void {
  const same =
    id.kind === expected.id.kind &&
    (id.kind !== 'galois' || (expected.id.kind === 'galois' && id.galois === expected.id.galois));
  if (same && maxLevel === expected.maxLevel) return;
  throw new SottoError('This is not the key that the list names at this place.', {
    code: 'KEY_UNEXPECTED',
    facts: { expected: expected.name, kind: id.kind, maxLevel },
    fix: 'Send the keys in the order of the list.',
  });
}

/** What the same session would take when its client refreshes; undefined when it does. */
async function smaller(
  model: LlamaModel,
  options: EngineOptions,
  availableBytes: number,
): Promise<EngineMemory | undefined> {
  if (options.refresh === 'client') return undefined;
  return engineMemory(await makeSetup(model, { ...options, refresh: 'client' }), { availableBytes });
}

function tooLarge(memory: EngineMemory, availableBytes: number, other: EngineMemory | undefined): SottoError {
  const megabytes = (sizeBytes: number) => Math.ceil(sizeBytes / 1e6);
  const inFile = memory.totalBytes - memory.keyBytes;
  const ways = [
    ...(other && other.totalBytes <= availableBytes ? ['let the client refresh (--refresh client)'] : []),
    ...(inFile <= availableBytes && memory.keyBytes > 0 ? ['start the server with --key-memory DIR'] : []),
    'use a machine with more memory, or a larger --memory-budget',
  ];
  return new SottoError('There is too little memory for this session.', {
    code: 'MEMORY_INSUFFICIENT',
    facts: {
      neededMB: megabytes(memory.totalBytes),
      availableMB: Math.floor(availableBytes / 1e6),
      withKeysInFileMB: megabytes(inFile),
      ...(other ? { withClientRefreshMB: megabytes(other.totalBytes) } : {}),
    },
    fix: `What fits: ${ways.join('; or ')}.`,
  });
}

/**
 * Starts the engine of one session: parameters, plan and ring; keys follow one by one.
 *
 * @throws `MEMORY_INSUFFICIENT`, `BACKEND_UNAVAILABLE`, and the errors of model and plan.
 */
export async function startEngine(options: EngineOptions, publicStore?: PublicStore): Promise<Engine> {
  const { weights } = await readModelFile({ model: options.modelPath });
  const setup = await makeSetup(weights, options);
  const { parameters } = setup;
  const { keyMemoryFolder, memoryBudgetBytes = Number.POSITIVE_INFINITY } = options;
  // Keys in a file are read as they are used: a machine of less memory is slower then, and still runs.
  const keysInFile = keyMemoryFolder !== undefined;
  const availableBytes = Math.min(availableMemoryBytes(), memoryBudgetBytes);
  const memory = engineMemory(setup, { availableBytes, keysInFile });
  if (memory.totalBytes > availableBytes) {
    throw tooLarge(memory, availableBytes, await smaller(weights, options, availableBytes));
  }
  const backend = openBackend(options.backend, options.threads);
  const ring = backend.createRing({
    ...{ logN: parameters.logN, primes: parameters.primes },
    ...(keyMemoryFolder === undefined ? {} : { coldFolder: keyMemoryFolder }),
  });
  const context = new RingContext(parameters, ring);
  return new LlamaEngine(weights, setup, context, options.stateFolder, publicStore, memory);
}
