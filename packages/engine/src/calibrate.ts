import { SottoError } from '@sotto/base';
import {
  accelerate,
  attentionKindOf,
  bosTokenOf,
  embedTokens,
  type LlamaModel,
  type LlamaTrace,
  SeededRandom,
  traceRows,
} from '@sotto/model';
import {
  type AnyLayerCalibration,
  CALIBRATION_VERSION,
  type Calibration,
  type ScanResult,
} from './calibration.js';
import {
  type CalibrationCorpus,
  type PrefixContext,
  prefixContext,
  sampleText,
} from './calibration-texts.js';
import { Extremes } from './extremes.js';
import { expectedMagnitude, LayerMeter, widened } from './layer-meter.js';
import { StreamRotation } from './rotation.js';
import { chooseRotation } from './rotation-choice.js';
import { observeRanges, type RangeListener, type RowShift, windowOf } from './row-ranges.js';
import { fitRowShift } from './row-shift.js';
import { ShiftCollector } from './shift-samples.js';
import { findPublicPrefix } from './sinks.js';
import { probeRowsBefore, probeTokens } from './token-probe.js';

export interface CalibrateOptions {
  /** Texts sampled from the model itself at temperature 1. */
  readonly texts: number;
  /** Tokens of a text at most, public prefix included. */
  readonly tokens: number;
  readonly seed: number;
  /** Further texts whose ranges count. Every third text of a corpus is kept for the scan. */
  readonly corpora?: readonly CalibrationCorpus[];
  /**
   * Public prefixes to choose from, BOS first; BOS alone when absent. Tokens that turn out to be sinks are appended where that
   * narrows the private rows.
   */
  readonly publicPrefixes?: readonly (readonly number[])[];
  /** Take the first prefix as it is, without a search. */
  readonly keepPrefix?: boolean;
  /** Rotation of the residual stream, null for none; the one that {@link chooseRotation} measures to be best when absent. */
  readonly rotationSeed?: number | null;
  /**
   * Scan texts that were not measured, own ones and kept ones, until so many in a row stay inside every window; each that leaves one
   * widens it. 0 when absent.
   */
  readonly scanTexts?: number;
  /** Tokens of the own texts that are scanned, in turn; `tokens` when absent. Short texts are other texts than the beginnings of long ones. */
  readonly scanTokens?: readonly number[];
  /** Rows for the fit of the row shift; 24,000 when absent. More of them narrow the softmax of models with few layers. */
  readonly shiftRows?: number;
  /** Only tokens of the texts may stand in a private part: skips the probe of all others, long for large vocabularies. */
  readonly skipProbe?: boolean;
}

/** How far a calibration is. */
export interface CalibrationStep {
  readonly phase: 'prefix' | 'sample' | 'measure' | 'scan' | 'probe';
  readonly done: number;
  readonly total: number;
  /** What is known so far, for people. */
  readonly label: string;
}

/** Every third text of a corpus is kept for the scan, when there is one. */
const isKept = (index: number): boolean => index % 3 === 2;
/** Every fourth text is not fitted: it judges the fits. */
const isHeld = (index: number): boolean => index % 4 === 3;
/** Texts of the search for a prefix. */
const PREFIX_TEXTS = 24;
/** The scan ends after this many times the wanted texts, however many left a window. */
const SCAN_LIMIT = 8;

function requireOptions(options: CalibrateOptions): void {
  const { texts, corpora = [] } = options;
  if (texts + corpora.reduce((sum, corpus) => sum + corpus.texts.length, 0) > 1) return;
  throw new SottoError('A calibration needs texts.', {
    code: 'CALIBRATION_NO_TEXTS',
    facts: { texts, corpora: corpora.length },
    fix: 'Let the model write some (texts), or give a corpus.',
  });
}

/**
 * Measures every range the polynomial circuit needs, in memory that does not grow with the texts: on texts of the model itself and
 * on corpora. A generator, so that whoever drives it can report progress, stop, or do other work in between; {@link calibrate}
 * drives it in one go.
 *
 * 1. The public prefix that absorbs massive activations ({@link findPublicPrefix}); its rows are public and not measured.
 * 2. The rotation of the residual stream that narrows its refreshes ({@link chooseRotation}), where one does.
 * 3. The row shift of every head. Softmax does not change when a constant is taken from a row's scores, so a linear function of the
 *    normalised row that follows the log-sum-exp brings all rows into one window; it is one more column of the query product. Kernel
 *    attention needs none.
 * 4. Ranges of all rows, and how the extremes of single texts scatter: windows reach to what one text in 100,000 is expected to
 *    exceed, within guards.
 * 5. A scan of texts that were not measured, until enough in a row stay inside.
 * 6. The tokens that may stand in a private part.
 *
 * @throws SottoError `CALIBRATION_NO_TEXTS`, `TOKEN_OUT_OF_RANGE`, `CONTEXT_EXCEEDED`.
 */
export function* calibrationSteps(
  given: LlamaModel,
  options: CalibrateOptions,
): Generator<CalibrationStep, Calibration> {
  requireOptions(options);
  const model = given.products === undefined ? accelerate(given) : given;
  const { config } = model;
  const { layerCount } = config;
  const { corpora = [], scanTexts = 0, seed } = options;
  const random = new SeededRandom(seed);

  const sampled = (prefix: PrefixContext, source: SeededRandom, trace?: LlamaTrace): number[] =>
    sampleText(model, prefix, room(prefix), source, trace);
  const room = (prefix: PrefixContext, tokens = options.tokens): number =>
    Math.min(tokens, config.contextLength) - prefix.tokens.length;
  const keeps = scanTexts > 0;
  const measured = corpora.flatMap(({ texts }) => texts.filter((_, i) => !(keeps && isKept(i))));
  const kept = corpora.flatMap(({ texts }) => texts.filter((_, i) => keeps && isKept(i)));

  yield { phase: 'prefix', done: 0, total: 1, label: 'searching massive activations' };
  const starts = options.publicPrefixes ?? [[bosTokenOf(config)]];
  const probeSeed = new SeededRandom(seed ^ 0x51e7);
  const first = prefixContext(model, starts[0]!);
  const own = Array.from({ length: Math.min(options.texts, PREFIX_TEXTS) }, () => sampled(first, probeSeed));
  const stride = Math.max(1, Math.floor(measured.length / PREFIX_TEXTS));
  const some = measured.filter((_, i) => i % stride === 0).slice(0, PREFIX_TEXTS);
  const fitting = [...own, ...some].map((text) => text.slice(0, room(first)));
  const [chosen] = options.keepPrefix === true ? [first] : findPublicPrefix(model, fitting, starts);
  const prefix = prefixContext(model, chosen!.tokens);
  const from = prefix.tokens.length;
  yield { phase: 'prefix', done: 1, total: 1, label: `${from} public tokens in front` };
  const trial = [...own, ...some].map((text) => text.slice(0, room(prefix)));
  const rotationSeed =
    options.rotationSeed === undefined ? chooseRotation(model, prefix, trial)[0]!.seed : options.rotationSeed;
  const rotation = rotationSeed === null ? null : new StreamRotation(config.dim, rotationSeed);

  const shifted = attentionKindOf(config) === 'softmax';
  const collectors = [0.75, 0.25].map(
    (share) => new ShiftCollector(config.dim, layerCount, config.headCount, share, options.shiftRows),
  );
  const count = options.texts + measured.length;
  const texts: number[][] = [];
  for (let i = 0; i < count; i++) {
    const collector = collectors[isHeld(i) ? 1 : 0]!;
    const trace = shifted ? collector.observe(from) : undefined;
    if (i < options.texts) texts.push(sampled(prefix, random, trace));
    else {
      texts.push(measured[i - options.texts]!.slice(0, room(prefix)));
      if (trace) traceRows(model, embedTokens(model, texts[i]!), prefix.cache.fork(), trace);
    }
    collector.endText();
    yield { phase: 'sample', done: i + 1, total: count, label: 'texts for the row shift' };
  }
  const shifts: (RowShift | null)[] = [];
  for (let layer = 0; layer < layerCount; layer++) {
    const [fitted, held] = collectors.map(({ layers }) => layers[layer]!);
    shifts.push(shifted ? fitRowShift(fitted!, held!) : null);
    yield { phase: 'sample', done: layer + 1, total: layerCount, label: 'fitting the row shift' };
  }

  const meters = Array.from({ length: layerCount }, () => new LayerMeter());
  const final = new Extremes();
  const see: RangeListener = (kind, layer, low, high) => {
    if (layer < layerCount) return meters[layer]!.see(kind, low, high);
    const size = Math.log(Math.max(-low, high));
    final.see(size, size);
  };
  const trace = observeRanges(shifts, from, see, rotation);
  for (const [i, text] of texts.entries()) {
    traceRows(model, embedTokens(model, text), prefix.cache.fork(), trace);
    for (const meter of meters) meter.endText();
    final.endText();
    yield { phase: 'measure', done: i + 1, total: count, label: 'ranges of all rows' };
  }
  const layers = meters.map((meter, layer) => meter.finish(shifts[layer]!));

  const fresh = new SeededRandom(seed ^ 0x5ca9);
  const unseen = [...kept];
  const lengths = options.scanTokens ?? [options.tokens];
  const takeText = (scanned: number, watch: LlamaTrace): number[] | null => {
    const wantsOwn = options.texts > 0 && (unseen.length === 0 || scanned % (corpora.length + 1) === 0);
    if (wantsOwn) {
      return sampleText(model, prefix, room(prefix, lengths[scanned % lengths.length]!), fresh, watch);
    }
    const text = unseen.pop()?.slice(0, room(prefix));
    if (text === undefined) return null;
    traceRows(model, embedTokens(model, text), prefix.cache.fork(), watch);
    return text;
  };
  const known = new Set(texts.flat());
  const scan = { texts: 0, escapes: 0, clean: 0, wanted: scanTexts };
  while (scan.clean < scanTexts && scan.texts < SCAN_LIMIT * scanTexts) {
    let escaped = false;
    const watch = observeRanges(layers, from, (kind, layer, low, high) => {
      const window = windowOf({ layers }, kind, layer);
      if (low >= window[0] && high <= window[1]) return;
      escaped = true;
      layers[layer] = widened(layers[layer]!, kind, low, high);
    });
    const text = takeText(scan.texts, watch);
    if (text === null) break;
    for (const token of text) known.add(token);
    scan.texts++;
    scan.escapes += Number(escaped);
    scan.clean = escaped ? 0 : scan.clean + 1;
    const label = `${scan.escapes} texts left a window so far`;
    yield { phase: 'scan', done: scan.clean, total: scanTexts, label };
  }

  const knownTokens = yield* probed(model, layers, prefix, texts[0]!, known, options.skipProbe === true);
  return {
    version: CALIBRATION_VERSION,
    modelDigest: given.digest,
    made: {
      texts: options.texts,
      tokens: options.tokens,
      seed,
      corpora: corpora.map(({ name, texts }) => ({ name, texts: texts.length })),
      scan: scan satisfies ScanResult,
    },
    publicPrefix: prefix.tokens,
    rotationSeed,
    layers,
    finalResidual: expectedMagnitude(final),
    knownTokens,
  };
}

function* probed(
  model: LlamaModel,
  layers: readonly AnyLayerCalibration[],
  prefix: PrefixContext,
  text: readonly number[],
  known: ReadonlySet<number>,
  skip: boolean,
): Generator<CalibrationStep, number[]> {
  if (skip) return [...known].sort((a, b) => a - b);
  const rowsBefore = probeRowsBefore(text);
  const before = prefixContext(model, [...prefix.tokens, ...text.slice(0, rowsBefore)]);
  const steps = probeTokens(model, layers, before, text.slice(rowsBefore), known);
  for (let done = 0; ; ) {
    const step = steps.next();
    if (step.done) return step.value;
    done = Math.min(done + step.value, model.config.vocabSize);
    yield { phase: 'probe', done, total: model.config.vocabSize, label: 'tokens that texts did not have' };
  }
}

/** {@link calibrationSteps} in one go. */
export function calibrate(model: LlamaModel, options: CalibrateOptions): Calibration {
  const steps = calibrationSteps(model, options);
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

/**
 * {@link calibrationSteps} with pauses in which timers and signals are served.
 *
 * @throws SottoError `CALIBRATION_ABORTED` and the errors of {@link calibrationSteps}.
 */
export async function calibrateInSteps(
  model: LlamaModel,
  options: CalibrateOptions,
  hooks: { readonly onProgress?: (step: CalibrationStep) => void; readonly signal?: AbortSignal } = {},
): Promise<Calibration> {
  const steps = calibrationSteps(model, options);
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    hooks.onProgress?.(step.value);
    await new Promise<void>((resolve) => (globalThis.setImmediate ?? globalThis.setTimeout)(resolve));
    if (hooks.signal?.aborted === true) {
      throw new SottoError('The calibration was stopped.', {
        code: 'CALIBRATION_ABORTED',
        fix: 'Start it again; nothing was written.',
        retryable: true,
        cause: hooks.signal.reason,
      });
    }
  }
}

const DEFAULT_TEXTS = 500;
const FEWEST_TEXTS = 32;
/** Weights times texts that a calibration nobody asked for may cost. */
const DEFAULT_WORK = 5e8;
/** Vocabularies up to this size are probed token by token. */
const PROBED_VOCABULARY = 4096;

/** What is measured when nobody gives options: as many own texts as take minutes. */
export function defaultCalibrateOptions(model: LlamaModel): CalibrateOptions {
  const { dim, hiddenDim, layerCount, contextLength, vocabSize } = model.config;
  const weights = vocabSize * dim + layerCount * (4 * dim * dim + 3 * dim * hiddenDim);
  const texts = Math.max(FEWEST_TEXTS, Math.min(DEFAULT_TEXTS, Math.floor(DEFAULT_WORK / weights)));
  return {
    texts,
    tokens: Math.min(128, contextLength),
    seed: 1,
    scanTexts: 2 * texts,
    skipProbe: vocabSize > PROBED_VOCABULARY,
  };
}
