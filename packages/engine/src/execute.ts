import { type ProgressListener, ProgressMeter, SottoError } from '@sotto/base';
import type { Evaluator, Refresher } from '@sotto/he/scheme';
import { KvCache, type LlamaModel } from '@sotto/model';
import { Arithmetic } from './arithmetic.js';
import type { BlockPlace } from './block.js';
import type { Calibration } from './calibration.js';
import { requirePublicPrefix } from './client-side.js';
import { type ComputedModel, computedModel } from './computed-model.js';
import { type CachedLayer, EncryptedKvCache, partsOf } from './kv-cache.js';
import { type LayerScope, runLayer } from './layer.js';
import { publicPages } from './layout.js';
import { PlainCache } from './plain-cache.js';
import type { Plan } from './plan.js';
import { type PublicContext, prefillPublic, publicNames } from './public-context.js';
import { kindsOf, layerDepths, pageRefreshes, sharesRefresh, stepsOf } from './schedule.js';
import { WindowGuard } from './window-guard.js';

/** One prompt and its continuation: public part in the clear, private part in an encrypted cache. */
export interface Conversation<C> {
  readonly context: PublicContext;
  readonly cache: EncryptedKvCache<C>;
}

export interface TransformerOptions<C extends object> {
  readonly model: LlamaModel;
  readonly calibration: Calibration;
  readonly plan: Plan;
  readonly evaluator: Evaluator<C>;
  readonly refresher: Refresher<C>;
  /** Memory for encoded weights. 4 GiB when absent. */
  readonly weightCacheBytes?: number;
  /** Memory of one encoded plaintext at a level; estimated from the slots when absent. */
  readonly plainBytes?: (level: number) => number;
  /** Sees every intermediate state: a precision trace on the cleartext scheme. */
  readonly trace?: (event: { layer: number; name: string; level: number; value: C }) => void;
}

/** What is known after a layer: enough to continue from there, on another day if need be. */
export interface LayerState<C> {
  readonly index: number;
  /** The residual stream that leaves the layer. */
  readonly stream: C;
  /** The layer's cache with the block appended. */
  readonly cache: CachedLayer<C>;
  /** Sum of the window guards of all layers so far. */
  readonly health: C;
}

export interface ForwardOptions<C = unknown> {
  readonly progress?: ProgressListener;
  readonly signal?: AbortSignal;
  /** Called after every layer; the pass waits for it. The values are the pass's own and are not to be kept. */
  readonly onLayer?: (state: LayerState<C>) => Promise<void>;
  /** Continues a pass whose first layers are known: their caches, and what left the last of them. Taken over. */
  readonly resume?: Pick<LayerState<C>, 'stream' | 'health'> & { readonly layers: readonly CachedLayer<C>[] };
}

/** Steps that {@link EncryptedTransformer.forward} reports for each further page of scores in a layer with softmax. */
const STEPS_PER_PAGE = 5;

/** A limb of 30 bits for every 30 bits of modulus: about 40 bits a level above 51. */
const estimatedPlainBytes = (slots: number) => (level: number) =>
  8 * slots * Math.ceil((51 + 40 * level) / 30 + 1);

/**
 * The stock transformer over encrypted rows, on any scheme that implements the evaluator: executes a {@link Plan}.
 * Nothing here can decrypt.
 */
export class EncryptedTransformer<C extends object> {
  readonly plains: PlainCache<C>;
  readonly #options: TransformerOptions<C>;
  readonly #arithmetic: Arithmetic<C>;
  readonly #computed: ComputedModel;
  #blocks = 0;
  #context: PublicContext | undefined;

  /** @throws SottoError `PLAN_MISMATCH` when plan, model, evaluator and refresher do not belong together. */
  constructor(options: TransformerOptions<C>) {
    this.#options = options;
    const { plan, model, evaluator, refresher, calibration } = options;
    const pairs: [string, unknown, unknown][] = [
      ['model digest', model.digest, plan.modelDigest],
      ['calibration digest', calibration.modelDigest, plan.modelDigest],
      ['rotation', calibration.rotationSeed, plan.client.rotationSeed],
      ['slots', evaluator.slots, plan.layout.slots],
      ['level after a refresh', refresher.outputLevel, plan.topLevel],
    ];
    for (const [what, got, expected] of pairs) {
      if (got !== expected) {
        throw new SottoError(`The plan was made for another ${what}.`, {
          code: 'PLAN_MISMATCH',
          facts: { got: String(got), expected: String(expected) },
          fix: 'Make the plan for this model and these parameters.',
        });
      }
    }
    if (refresher.inputLevel > plan.bottomLevel) {
      throw new SottoError('The refresh needs a higher level than the plan leaves.', {
        code: 'PLAN_MISMATCH',
        facts: { inputLevel: refresher.inputLevel, bottomLevel: plan.bottomLevel },
        fix: 'Make the plan for these parameters.',
      });
    }
    this.#arithmetic = new Arithmetic(evaluator);
    this.#computed = computedModel(model, calibration);
    this.plains = new PlainCache(evaluator, {
      budgetBytes: options.weightCacheBytes ?? 4 * 2 ** 30,
      plainBytes: options.plainBytes ?? estimatedPlainBytes(evaluator.slots),
    });
  }

  /**
   * Begins after public tokens (BOS first): runs them in the clear, or takes them as run before by {@link prefillPublic}.
   *
   * @throws SottoError `PLAN_WINDOW_EXCEEDED` when they do not fit, and those of {@link prefillPublic}.
   */
  conversation(open: readonly number[] | PublicContext): Conversation<C> {
    const { model, plan } = this.#options;
    const capacity = plan.client.publicCapacity;
    if (open.length > capacity) throw windowExceeded('public', open.length, capacity);
    if ('cache' in open) return this.#open(open);
    requirePublicPrefix(plan.client.publicPrefix, open);
    return this.#open(prefillPublic(model, open));
  }

  /** A conversation whose `length` public keys have no values: for dry runs. */
  dryConversation(length = 1): Conversation<C> {
    const cache = new KvCache(this.#options.model.config.layerCount);
    return this.#open({ id: `dry-${length}`, length, cache });
  }

  #open(context: PublicContext): Conversation<C> {
    const { model, evaluator, plan } = this.#options;
    const cache = new EncryptedKvCache<C>(evaluator, model.config.layerCount, plan.layout.privateCapacity);
    return { context, cache };
  }

  /**
   * One pass over a block of encrypted rows: `input` holds `rows` embedded tokens (see `embedRows`), which continue the
   * conversation. Rows attend to the public prefix, to all earlier private rows and causally to each other; the cache grows by
   * them when the pass succeeds and is unchanged when it fails.
   *
   * @returns the residual stream after the last layer, and in its imaginary part twice the sum of the window guards: for the client's
   * `readHidden`. `input` is not freed.
   * @throws SottoError `PLAN_WINDOW_EXCEEDED`, `ENGINE_ABORTED`, `ENGINE_BLOCK_ROWS`.
   */
  async forward(talk: Conversation<C>, input: C, rows: number, options: ForwardOptions<C> = {}): Promise<C> {
    const { plan, evaluator, refresher, trace } = this.#options;
    const { model, calibration } = this.#computed;
    const { layout } = plan;
    if (!Number.isInteger(rows) || rows < 1 || rows > layout.blockRows) {
      throw new SottoError('A block has between one row and the rows of the plan.', {
        code: 'ENGINE_BLOCK_ROWS',
        facts: { rows, blockRows: layout.blockRows },
        fix: 'Split the prompt into blocks.',
      });
    }
    if (rows > talk.cache.remaining) {
      throw windowExceeded('private', talk.cache.columns.length + rows, layout.privateCapacity);
    }
    const start = talk.context.length + talk.cache.length;
    if (start + rows > model.config.contextLength) {
      throw windowExceeded('whole', start + rows, model.config.contextLength);
    }
    const positions = Array.from({ length: rows }, (_, row) => start + row);
    const block: BlockPlace = {
      id: `block/${this.#blocks++}`,
      start,
      rows,
      publicLength: talk.context.length,
      columns: [...talk.cache.columns, ...positions],
      firstColumn: talk.cache.columns.length,
    };
    const { kept } = talk.cache;
    const keptPlace = kept === null ? null : { ...block, id: `${block.id}/kept`, ...kept };
    this.#useContext(talk.context);
    const layerCount = model.config.layerCount;
    const pages = publicPages(layout, talk.context.length);
    const kinds = kindsOf(model.config);
    const furtherPages = kinds.attention === 'softmax' ? pages - 1 : 0;
    const stepsPerLayer = stepsOf(layerDepths(plan.degrees[0]!, kinds));
    const steps = stepsPerLayer + furtherPages * STEPS_PER_PAGE;
    const total = steps * layerCount + pageRefreshes(plan, pages) + plan.refreshes;
    const meter = new ProgressMeter('forward', total, 'operations', options.progress);
    const { resume } = options;
    const layers: CachedLayer<C>[] = [...(resume?.layers ?? [])];
    let x = resume?.stream ?? evaluator.copyNew(input);
    let health = resume?.health ?? null;
    if (resume) meter.advance(Math.round((total * layers.length) / layerCount), 'continued');
    try {
      for (let index = layers.length; index < layerCount; index++) {
        const see = (name: string, value: C): void => {
          this.#checkSignal(options.signal);
          meter.advance(1, `layer ${index + 1}/${layerCount} ${name}`);
          trace?.({ layer: index, name, level: evaluator.levelOf(value), value });
        };
        const { past, rows: keptRows } = talk.cache.layer(index);
        const scope: LayerScope<C> = {
          m: this.#arithmetic,
          layout,
          plains: this.plains,
          model,
          degrees: plan.degrees[index]!,
          polynomials: plan.polynomials[index]!,
          calibration: calibration.layers[index]!,
          index,
          block,
          context: talk.context,
          past,
          kept: keptRows === null ? null : { ...keptRows, place: keptPlace! },
          droppable: rows > 1,
          nextStreamScale: plan.polynomials[index + 1]?.attentionNorm.streamScale ?? plan.client.outputScale,
          cuts: plan.cuts[index]!,
          normRide: plan.normRides[index]!,
          guard: new WindowGuard(this.#arithmetic, plan.bottomLevel),
          startLevel: (cut) => plan.startLevels[cut] ?? plan.topLevel,
          sharesRefresh: (cut) => sharesRefresh(plan, cut),
          refresh: async (a, what, shape) => {
            const fresh = await refresher.refresh(a, shape);
            try {
              see(`refresh ${what}`, fresh);
              return fresh;
            } catch (error) {
              evaluator.release(fresh);
              throw error;
            }
          },
          see,
        };
        const result = await runLayer(scope, x);
        evaluator.release(x);
        x = result.x;
        layers.push(result.cache);
        health = this.#sum(health, result.health);
        await options.onLayer?.({ index, stream: x, cache: result.cache, health });
      }
      // The guards' imaginary noise would be noise of the result.
      const m = this.#arithmetic;
      const both = evaluator.scope(() => m.pack(x, m.twiceReal(health!)));
      evaluator.release(x);
      x = both;
    } catch (error) {
      evaluator.release(x);
      if (health !== null) evaluator.release(health);
      const old = talk.cache.parts();
      for (const part of layers.flatMap(partsOf)) if (!old.has(part)) evaluator.release(part);
      throw error;
    } finally {
      this.plains.dropPrefix(`${block.id}/`);
    }
    evaluator.release(health!);
    talk.cache.commit(layers, { start, rows, firstColumn: block.firstColumn });
    return x;
  }

  /** Adds one layer's health to that of the layers before; both are freed. */
  #sum(before: C | null, health: C): C {
    if (before === null) return health;
    const { evaluator } = this.#options;
    const sum = evaluator.scope(() => this.#arithmetic.add(before, health));
    evaluator.release(before);
    evaluator.release(health);
    return sum;
  }

  /** Plaintexts of the public part that was used before stay, but make room first. */
  #useContext(context: PublicContext): void {
    if (this.#context?.id === context.id) return;
    if (this.#context !== undefined) this.plains.retire(publicNames(this.#context));
    this.plains.revive(publicNames(context));
    this.#context = context;
  }

  #checkSignal(signal: AbortSignal | undefined): void {
    if (signal?.aborted !== true) return;
    throw new SottoError('The pass was stopped.', {
      code: 'ENGINE_ABORTED',
      fix: 'Start it again; the conversation is as it was before.',
      retryable: true,
      cause: signal.reason,
    });
  }

  /** Frees every encoded weight. Conversations are freed by their cache's `dispose`. */
  dispose(): void {
    this.plains.dispose();
  }
}

function windowExceeded(part: string, length: number, capacity: number): SottoError {
  return new SottoError(`The ${part} part of the conversation does not fit the plan.`, {
    code: 'PLAN_WINDOW_EXCEEDED',
    facts: { length, capacity },
    fix: 'Start a new conversation, or plan with more room.',
  });
}
