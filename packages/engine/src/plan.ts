import { SottoError, sha256, toHex } from '@sotto/base';
import type { LlamaModel } from '@sotto/model';
import { type Calibration, writeCalibration } from './calibration.js';
import { chooseDegrees, type DegreeChoice } from './degrees.js';
import {
  type DryCiphertext,
  DryRunEvaluator,
  DryRunRefresher,
  type RefreshUse,
  type WorkCounts,
} from './dry-run.js';
import { EncryptedTransformer } from './execute.js';
import { type Layout, makeLayout } from './layout.js';
import type { Degrees, LayerPolynomials } from './polynomials.js';
import {
  type CutName,
  carriesNorms,
  cutNames,
  kindsOf,
  type LayerKinds,
  layerDepths,
  passStretches,
  refreshesOf,
} from './schedule.js';
import { watchedEvaluations } from './window-guard.js';

/** The evaluation keys a plan uses, and the highest level at which each is used. */
export interface EvaluationKeyNeeds {
  readonly rotations: readonly { readonly rotation: number; readonly level: number }[];
  readonly conjugationLevel: number;
  readonly relinearisationLevel: number;
}

/**
 * How one model runs on one kind of ciphertext: plain data, the same for the same inputs, bound to the model by its digest. What
 * the client needs of it is in `client`.
 */
export interface Plan {
  readonly version: 1;
  readonly modelDigest: string;
  readonly calibrationDigest: string;
  readonly layout: Layout;
  /** Of every layer. */
  readonly degrees: readonly Degrees[];
  /** Level of fresh and refreshed ciphertexts, and the lowest level of a result. */
  readonly topLevel: number;
  readonly bottomLevel: number;
  /** Where each layer refreshes, and which of these refreshes carries the row norms of the keys. */
  readonly cuts: readonly (readonly CutName[])[];
  readonly normRides: readonly (CutName | null)[];
  /** Two pages of scores share a refresh at every cut; otherwise where a level is left to take them apart. */
  readonly sharesAll: boolean;
  /** Level at which each stretch begins. */
  readonly startLevels: Readonly<Partial<Record<CutName, number>>>;
  /** Refreshes of one block, one after the other. */
  readonly refreshes: number;
  /** Their shapes, and how many refreshes of a block behind a short public part have each. */
  readonly refreshShapes: readonly RefreshUse[];
  readonly polynomials: readonly LayerPolynomials[];
  readonly client: ClientPlan;
  readonly keys: EvaluationKeyNeeds;
  /** Work of a full block once weights and public keys are encoded. */
  readonly block: WorkCounts;
  /** Encoded plaintexts that stay from block to block, public keys included, by level. */
  readonly weights: readonly { readonly level: number; readonly count: number }[];
}

/** What the client must know to make inputs and read outputs. */
export interface ClientPlan {
  readonly modelDigest: string;
  readonly slots: number;
  readonly blockRows: number;
  readonly width: number;
  readonly dim: number;
  readonly inputLevel: number;
  /** Embeddings are multiplied by this; outputs come multiplied by the other. */
  readonly inputScale: number;
  readonly outputScale: number;
  /** Private and public positions that fit. */
  readonly privateCapacity: number;
  readonly publicCapacity: number;
  /** The sum of the window guards stays below this where no window was left. */
  readonly healthLimit: number;
  /** Tokens that may stand in a private part. */
  readonly knownTokens: readonly number[];
  /** Tokens with which every public part begins; see `withPublicPrefix`. */
  readonly publicPrefix: readonly number[];
  /** Of the rotation of the residual stream: inputs are rotated, outputs turned back; null without one. */
  readonly rotationSeed: number | null;
}

export interface PlanOptions {
  readonly slots: number;
  /** Level of fresh and refreshed ciphertexts. */
  readonly topLevel: number;
  /** Lowest level at which a refresh accepts its input. 0 when absent. */
  readonly bottomLevel?: number;
  /** Encrypted tokens processed in one pass, a power of two; what fits when absent (at most 16). */
  readonly blockRows?: number;
  /** Encrypted positions a conversation can have; half of the columns, or a block and an answer, when absent. */
  readonly privateTokens?: number;
  /** Public positions, BOS included, that must fit. 1 when absent. */
  readonly publicTokens?: number;
  /** Degrees to use in every layer; chosen for each layer when absent. */
  readonly degrees?: Degrees;
}

/** Room that a full first block leaves for the answer. */
const ANSWER_ROWS = 8;

/** From this many rows on, a block without groups of columns is better than a wider one with them. */
const PLAIN_ROWS = 8;

/** Numbers of rows to try; the first that fits is taken. */
function blockSizes(options: PlanOptions): { blockRows: number; grouped: boolean }[] {
  if (options.blockRows !== undefined) return [{ blockRows: options.blockRows, grouped: true }];
  const sizes = [16, 8, 4, 2, 1];
  return [
    ...sizes.filter((rows) => rows >= PLAIN_ROWS).map((blockRows) => ({ blockRows, grouped: false })),
    ...sizes.map((blockRows) => ({ blockRows, grouped: true })),
  ];
}

/**
 * As many rows a block as leave room for an answer. Half of the key columns are for private positions; where those are too few even
 * for narrow blocks (wide models), they come in as many groups as are needed.
 */
function chooseLayout(model: LlamaModel, options: PlanOptions): Layout {
  const { slots } = options;
  let problem: unknown;
  for (const { blockRows, grouped } of blockSizes(options)) {
    try {
      const { columns } = makeLayout(model.config, { slots, blockRows, privateTokens: blockRows });
      const privateTokens = options.privateTokens ?? Math.max(columns / 2, blockRows + ANSWER_ROWS);
      if (!grouped && privateTokens > columns / 2) continue;
      return makeLayout(model.config, { slots, blockRows, privateTokens });
    } catch (error) {
      problem ??= error;
    }
  }
  throw (
    problem ??
    new SottoError('The model does not fit the ciphertext.', {
      code: 'PLAN_LAYOUT_IMPOSSIBLE',
      facts: { slots },
      fix: 'Use a larger ring, or a smaller model.',
    })
  );
}

/**
 * Plans the encrypted forward pass of a model: layout, polynomials, refresh points, and by a dry run the exact keys and counts.
 *
 * @throws SottoError `PLAN_LAYOUT_IMPOSSIBLE`, `PLAN_WINDOW_EXCEEDED`, `PLAN_TOO_FEW_LEVELS`,
 * `PLAN_INACCURATE`, `PLAN_CALIBRATION_MISMATCH`.
 */
export async function makePlan(
  model: LlamaModel,
  calibration: Calibration,
  options: PlanOptions,
): Promise<Plan> {
  const { config } = model;
  if (calibration.modelDigest !== model.digest || calibration.layers.length !== config.layerCount) {
    throw new SottoError('The calibration belongs to another model.', {
      code: 'PLAN_CALIBRATION_MISMATCH',
      facts: { model: model.digest, calibration: calibration.modelDigest },
      fix: 'Calibrate this model.',
    });
  }
  const { topLevel, bottomLevel = 0 } = options;
  const usable = topLevel - bottomLevel;
  const layout = chooseLayout(model, options);
  const chosen = chooseDegrees(calibration, config, usable, options.degrees);
  let problem: unknown;
  for (const choice of chosen.shared === undefined ? [chosen] : [chosen, chosen.shared]) {
    const base = wantedPlan(model, calibration, layout, choice, { topLevel, bottomLevel });
    for (const placed of placements(base, kindsOf(config))) {
      try {
        const plan = await withDryRun(model, calibration, placed);
        requirePublic(plan, options.publicTokens ?? 1);
        return plan;
      } catch (error) {
        if (!SottoError.is(error) || error.code !== 'HE_LEVEL_EXHAUSTED') throw error;
        problem ??= error;
      }
    }
  }
  throw new SottoError('The circuit is deeper than the levels between two refreshes.', {
    code: 'PLAN_TOO_FEW_LEVELS',
    facts: { usableLevels: usable },
    fix: 'Use parameters with more levels, or polynomials of lower degree.',
    cause: problem,
  });
}

/** A plan before its dry run: without levels of stretches, keys and counts. */
function wantedPlan(
  { digest, config }: LlamaModel,
  calibration: Calibration,
  layout: Layout,
  { degrees, cuts, polynomials }: DegreeChoice,
  { topLevel, bottomLevel }: { readonly topLevel: number; readonly bottomLevel: number },
): Plan {
  return {
    version: 1,
    modelDigest: digest,
    calibrationDigest: toHex(sha256(new TextEncoder().encode(writeCalibration(calibration)))),
    layout,
    degrees,
    topLevel,
    bottomLevel,
    cuts,
    normRides: cuts.map(() => null),
    sharesAll: true,
    startLevels: {},
    refreshes: refreshesOf(cuts),
    refreshShapes: [],
    polynomials,
    client: {
      modelDigest: digest,
      slots: layout.slots,
      blockRows: layout.blockRows,
      width: layout.width,
      dim: config.dim,
      inputLevel: topLevel,
      inputScale: polynomials[0]!.attentionNorm.streamScale,
      outputScale: 1 / calibration.finalResidual,
      privateCapacity: layout.privateCapacity,
      publicCapacity: Math.max(1, config.contextLength - 1),
      healthLimit: watchedEvaluations(config, layout, Math.max(1, config.contextLength - 1)),
      knownTokens: calibration.knownTokens,
      publicPrefix: calibration.publicPrefix,
      rotationSeed: calibration.rotationSeed,
    },
    keys: { rotations: [], conjugationLevel: -1, relinearisationLevel: -1 },
    block: new DryRunEvaluator(1, 0, 0).counts,
    weights: [],
  };
}

/**
 * A plan with the levels at which stretches begin, and the refreshes that carry norms, in the order to be tried. Low starts make cheap
 * operations; but what waits for a later stretch may need the higher ones.
 */
function placements(base: Plan, kinds: LayerKinds): Plan[] {
  const { cuts, degrees, topLevel, bottomLevel } = base;
  const stretches = passStretches(
    degrees.map((ofLayer) => layerDepths(ofLayer, kinds)),
    cuts,
  );
  const used = cutNames.filter((cut) => stretches.some((ofLayer) => ofLayer[cut] !== undefined));
  const longest = (cut: CutName): number => Math.max(...stretches.map((ofLayer) => ofLayer[cut] ?? 0));
  const trimmed: Plan['startLevels'] = Object.fromEntries(
    used.map((cut) => [cut, Math.min(topLevel, bottomLevel + longest(cut))]),
  );
  return rideChoices(cuts).flatMap((normRides) =>
    [trimmed, {}].map((startLevels: Plan['startLevels']) => {
      const client = { ...base.client, inputLevel: startLevels.start ?? topLevel };
      return { ...base, normRides, startLevels, client };
    }),
  );
}

/**
 * Which refresh of a layer carries the row norms, to be tried in this order: none; the same in all layers; none where a layer starts
 * with a refresh, the first that can in the others; the first that can in all.
 */
function rideChoices(cuts: readonly (readonly CutName[])[]): (CutName | null)[][] {
  const firstOf = (ofLayer: readonly CutName[]): CutName | null => ofLayer.find(carriesNorms) ?? null;
  const shared = cutNames.filter(
    (cut) => carriesNorms(cut) && cuts.every((ofLayer) => ofLayer.includes(cut)),
  );
  const same = [null, ...shared].map((cut) => cuts.map(() => cut));
  if (cuts.every((ofLayer) => ofLayer.length === cuts[0]!.length && ofLayer.includes('start'))) return same;
  return [
    ...same,
    cuts.map((ofLayer) => (ofLayer.includes('start') ? null : firstOf(ofLayer))),
    cuts.map(firstOf),
  ];
}

function requirePublic({ layout, client }: Plan, publicTokens: number): void {
  const { blockRows, privateCapacity: privateTokens } = layout;
  if (publicTokens <= client.publicCapacity) return;
  throw new SottoError('The public part of the prompt does not fit.', {
    code: 'PLAN_WINDOW_EXCEEDED',
    facts: { publicTokens, capacity: client.publicCapacity, privateTokens, blockRows },
    fix: 'Shorten the prompt, or use parameters with more levels.',
  });
}

/** A full first block after a public part. */
async function dryBlock(
  model: LlamaModel,
  calibration: Calibration,
  plan: Plan,
  publicTokens: number,
): Promise<{
  ev: DryRunEvaluator;
  uses: readonly RefreshUse[];
  transformer: EncryptedTransformer<DryCiphertext>;
}> {
  const { layout, topLevel, bottomLevel, client } = plan;
  const ev = new DryRunEvaluator(layout.slots, topLevel, bottomLevel);
  const refresher = new DryRunRefresher(ev, topLevel, bottomLevel);
  // Nothing is held, so everything stays: what is encoded twice in one pass would be counted twice.
  const transformer = new EncryptedTransformer({
    ...{ model, calibration, plan, evaluator: ev, refresher },
    weightCacheBytes: Number.POSITIVE_INFINITY,
  });
  const talk = transformer.dryConversation(publicTokens);
  const rows = Math.min(layout.blockRows, model.config.contextLength - publicTokens);
  await transformer.forward(talk, { level: client.inputLevel }, rows);
  return { ev, uses: refresher.uses, transformer };
}

/** Work of a full block after a public part of so many tokens, once everything that stays is encoded. */
export async function workOfBlock(
  model: LlamaModel,
  calibration: Calibration,
  plan: Plan,
  publicTokens: number,
): Promise<WorkCounts & { readonly refreshShapes: readonly RefreshUse[] }> {
  const { ev, uses, transformer } = await dryBlock(model, calibration, plan, publicTokens);
  const kept = transformer.plains.contents().reduce((sum, { count }) => sum + count, 0);
  return { ...ev.counts, encodings: ev.counts.encodings - kept, refreshShapes: uses };
}

/** Public tokens that fill two pages, or as many as there can be: a third needs no other keys and levels. */
const twoPages = ({ layout, client }: Plan): number =>
  Math.min(layout.publicCapacity + layout.columns * layout.pairs, client.publicCapacity);

async function withDryRun(model: LlamaModel, calibration: Calibration, wanted: Plan): Promise<Plan> {
  let plan = wanted;
  // Two pages share a refresh, or have one each where a stretch has no level to take them apart; where neither fits, there is one.
  const fits = async (tried: Plan): Promise<boolean> => {
    try {
      await dryBlock(model, calibration, tried, twoPages(tried));
      return true;
    } catch (error) {
      if (!SottoError.is(error) || error.code !== 'HE_LEVEL_EXHAUSTED') throw error;
      return false;
    }
  };
  if (!(await fits(plan))) {
    const apart = { ...plan, sharesAll: false };
    const publicCapacity = Math.min(plan.layout.publicCapacity, plan.client.publicCapacity);
    plan = (await fits(apart)) ? apart : { ...plan, client: { ...plan.client, publicCapacity } };
  }
  // A full first block uses every key; earlier private positions only add to it.
  const { ev, uses, transformer } = await dryBlock(model, calibration, plan, 1);
  const long = (await dryBlock(model, calibration, plan, twoPages(plan))).ev;
  const weights = new Map<number, number>();
  for (const { level, count } of transformer.plains.contents()) {
    weights.set(level, (weights.get(level) ?? 0) + count);
  }
  const kept = [...weights.values()].reduce((sum, count) => sum + count, 0);
  const block: WorkCounts = { ...ev.counts, encodings: ev.counts.encodings - kept };
  const rotations = new Map(long.rotations);
  for (const [rotation, level] of ev.rotations) {
    rotations.set(rotation, Math.max(level, rotations.get(rotation) ?? -1));
  }
  return {
    ...plan,
    refreshShapes: uses,
    keys: {
      rotations: [...rotations]
        .map(([rotation, level]) => ({ rotation, level }))
        .sort((a, b) => a.rotation - b.rotation),
      conjugationLevel: Math.max(ev.conjugationLevel, long.conjugationLevel),
      relinearisationLevel: Math.max(ev.relinearisationLevel, long.relinearisationLevel),
    },
    block,
    weights: [...weights].map(([level, count]) => ({ level, count })).sort((a, b) => a.level - b.level),
  };
}
